"""The tables that `kubectl get` prints: columns and cells for each kind. They are for people, not for programs."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from k8s.devcluster.resources import Obj
from k8s.devcluster.times import parse_time

Cells = list[Any]


@dataclass(frozen=True, slots=True)
class Layout:
    """Columns as (name, type, priority). A priority above 0: only with `-o wide`."""

    columns: tuple[tuple[str, str, int], ...]
    cells: Callable[[Obj], Cells]


def table(kind: str, objects: Iterable[Obj], *, metadata: Obj, include: str = "Metadata", columns: bool = True) -> Obj:
    """`include`: how much of its object each row contains: None, Metadata or Object."""
    layout = _LAYOUTS.get(kind, _GENERIC)
    rows = []
    for obj in objects:
        row: Obj = {"cells": layout.cells(obj)}
        if include == "Object":
            row["object"] = obj
        elif include == "Metadata":
            row["object"] = partial(obj["metadata"])
        rows.append(row)
    described = [
        {
            "name": name,
            "type": type_,
            "format": "name" if name == "Name" else "",
            "description": "",
            "priority": priority,
        }
        for name, type_, priority in layout.columns
    ]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": described if columns else None,
        "rows": rows,
    }


def partial(metadata: Any) -> Obj:
    """A PartialObjectMetadata: what there is of an object where only its metadata is wanted."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}


def human_duration(seconds: float) -> str:
    """An age in at most two units, like kubectl's: 45s, 3m20s, 12m, 5h3m, 2d4h, 90d."""
    whole = max(int(seconds), 0)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if whole < 120:
        return f"{whole}s"
    if minutes < 10:
        return f"{minutes}m{whole % 60}s" if whole % 60 else f"{minutes}m"
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if days < 2:
        return f"{hours}h"
    if days < 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    return f"{days}d"


def _age(moment: str | None) -> str:
    return "<unknown>" if not moment else human_duration(time.time() - parse_time(moment))


def _name(obj: Obj) -> str:
    name: str = obj["metadata"]["name"]
    return name


def _created(obj: Obj) -> str:
    return _age(obj["metadata"].get("creationTimestamp"))


def _generic(obj: Obj) -> Cells:
    return [_name(obj), _created(obj)]


def _job(job: Obj) -> Cells:
    spec, status = job["spec"], job.get("status") or {}
    done, wanted = status.get("succeeded", 0), spec.get("completions")
    if wanted is None:
        parallelism = spec.get("parallelism") or 0
        completions = f"{done}/1 of {parallelism}" if parallelism > 1 else f"{done}/1"
    else:
        completions = f"{done}/{wanted}"
    started, ended = status.get("startTime"), status.get("completionTime")
    duration = ""
    if started:
        until = parse_time(ended) if ended else time.time()
        duration = human_duration(until - parse_time(started))
    pod = spec["template"]["spec"]
    labels = (spec.get("selector") or {}).get("matchLabels") or {}
    return [
        _name(job),
        _job_status(job),
        completions,
        duration,
        _created(job),
        ",".join(container["name"] for container in pod["containers"]),
        ",".join(container["image"] for container in pod["containers"]),
        ",".join(f"{name}={value}" for name, value in labels.items()),
    ]


def _job_status(job: Obj) -> str:
    conditions = (job.get("status") or {}).get("conditions") or []
    true = {condition["type"] for condition in conditions if condition.get("status") == "True"}
    if "Complete" in true:
        return "Complete"
    if "Failed" in true:
        return "Failed"
    if "deletionTimestamp" in job["metadata"]:
        return "Terminating"
    if "Suspended" in true:
        return "Suspended"
    if "FailureTarget" in true:
        return "FailureTarget"
    return "SuccessCriteriaMet" if "SuccessCriteriaMet" in true else "Running"


def _cron_job(cron_job: Obj) -> Cells:
    spec, status = cron_job["spec"], cron_job.get("status") or {}
    last = status.get("lastScheduleTime")
    containers = spec["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    return [
        _name(cron_job),
        spec["schedule"],
        spec.get("timeZone") or "<none>",
        str(spec["suspend"]),
        len(status.get("active") or []),
        _age(last) if last else "<none>",
        _created(cron_job),
        ",".join(container["name"] for container in containers),
        ",".join(container["image"] for container in containers),
        "<none>",
    ]


def _pod(pod: Obj) -> Cells:
    status = pod.get("status") or {}
    containers = status.get("containerStatuses") or []
    ready = sum(1 for container in containers if container.get("ready"))
    restarts = sum(container.get("restartCount", 0) for container in containers)
    return [
        _name(pod),
        f"{ready}/{len(pod['spec']['containers'])}",
        _pod_status(pod),
        str(restarts),
        _created(pod),
        status.get("podIP") or "<none>",
        pod["spec"].get("nodeName") or "<none>",
        status.get("nominatedNodeName") or "<none>",
        "<none>",
    ]


def _pod_status(pod: Obj) -> str:
    status = pod.get("status") or {}
    reason = status.get("reason") or status.get("phase") or "Unknown"
    for container in status.get("containerStatuses") or []:
        state = container.get("state") or {}
        told = state.get("waiting") or state.get("terminated") or {}
        if told.get("reason"):
            reason = told["reason"]
        elif "terminated" in state:
            reason = f"ExitCode:{told.get('exitCode', 0)}"
    if "deletionTimestamp" in pod["metadata"] and status.get("phase") not in ("Succeeded", "Failed"):
        return "Terminating"
    return str(reason)


def _event(event: Obj) -> Cells:
    about = event.get("involvedObject") or {}
    seen = event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp")
    return [
        _age(seen),
        event.get("type", ""),
        event.get("reason", ""),
        f"{about.get('kind', '').lower()}/{about.get('name', '')}",
        (event.get("message") or "").strip(),
        _name(event),
    ]


def _node(node: Obj) -> Cells:
    status = "Ready,SchedulingDisabled" if (node.get("spec") or {}).get("unschedulable") else "Ready"
    version = ((node.get("status") or {}).get("nodeInfo") or {}).get("kubeletVersion", "")
    return [_name(node), status, "<none>", _created(node), version]


_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def _claim(claim: Obj) -> Cells:
    status = claim.get("status") or {}
    return [
        _name(claim),
        status.get("phase", ""),
        claim["spec"].get("volumeName", ""),
        (status.get("capacity") or {}).get("storage", ""),
        ",".join(_MODES.get(mode, mode) for mode in status.get("accessModes") or []),
        _created(claim),
    ]


def _quota(quota: Obj) -> Cells:
    status = quota.get("status") or {}
    used = status.get("used") or {}
    cells: dict[bool, list[str]] = {False: [], True: []}
    for name, hard in sorted((status.get("hard") or {}).items()):
        cells[name.startswith("limits.")].append(f"{name}: {used.get(name, '0')}/{hard}")
    return [_name(quota), ", ".join(cells[False]), ", ".join(cells[True]), _created(quota)]


_NAME = ("Name", "string", 0)
_AGE = ("Age", "string", 0)
_GENERIC = Layout((_NAME, _AGE), _generic)
_LAYOUTS = {
    "Job": Layout(
        (
            _NAME, ("Status", "string", 0), ("Completions", "string", 0), ("Duration", "string", 0), _AGE,
            ("Containers", "string", 1), ("Images", "string", 1), ("Selector", "string", 1),
        ),
        _job,
    ),
    "CronJob": Layout(
        (
            _NAME, ("Schedule", "string", 0), ("Timezone", "string", 0), ("Suspend", "boolean", 0),
            ("Active", "integer", 0), ("Last Schedule", "string", 0), _AGE,
            ("Containers", "string", 1), ("Images", "string", 1), ("Selector", "string", 1),
        ),
        _cron_job,
    ),
    "Pod": Layout(
        (
            _NAME, ("Ready", "string", 0), ("Status", "string", 0), ("Restarts", "string", 0), _AGE,
            ("IP", "string", 1), ("Node", "string", 1), ("Nominated Node", "string", 1),
            ("Readiness Gates", "string", 1),
        ),
        _pod,
    ),
    "Event": Layout(
        (
            ("Last Seen", "string", 0), ("Type", "string", 0), ("Reason", "string", 0), ("Object", "string", 0),
            ("Message", "string", 0), ("Name", "string", 1),
        ),
        _event,
    ),
    "Node": Layout(
        (_NAME, ("Status", "string", 0), ("Roles", "string", 0), _AGE, ("Version", "string", 0)),
        _node,
    ),
    "PersistentVolumeClaim": Layout(
        (
            _NAME, ("Status", "string", 0), ("Volume", "string", 0), ("Capacity", "string", 0),
            ("Access Modes", "string", 0), _AGE,
        ),
        _claim,
    ),
    "LimitRange": Layout(
        (_NAME, ("Created At", "date", 0)),
        lambda obj: [_name(obj), obj["metadata"].get("creationTimestamp", "")],
    ),
    "ResourceQuota": Layout((_NAME, ("Request", "string", 0), ("Limit", "string", 0), _AGE), _quota),
    "Namespace": Layout(
        (_NAME, ("Status", "string", 0), _AGE),
        lambda obj: [_name(obj), (obj.get("status") or {}).get("phase", ""), _created(obj)],
    ),
    "Lease": Layout(
        (_NAME, ("Holder", "string", 0), _AGE),
        lambda obj: [_name(obj), (obj.get("spec") or {}).get("holderIdentity", ""), _created(obj)],
    ),
    "ConfigMap": Layout(
        (_NAME, ("Data", "string", 0), _AGE),
        lambda obj: [_name(obj), len(obj.get("data") or {}) + len(obj.get("binaryData") or {}), _created(obj)],
    ),
    "Secret": Layout(
        (_NAME, ("Type", "string", 0), ("Data", "string", 0), _AGE),
        lambda obj: [_name(obj), obj.get("type", ""), len(obj.get("data") or {}), _created(obj)],
    ),
}  # fmt: skip
