"""Compares an answer with the recorded answer, in those parts that do not differ from cluster to cluster."""

import re
from datetime import UTC, datetime
from typing import Any

from tests.k8s.devcluster.states import conditions, without_minute

Obj = dict[str, Any]

_COUNTERS = ("active", "ready", "succeeded", "failed", "terminating", "completedIndexes", "phase", "qosClass")
_SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
_PATCHED = re.compile(r'"\{.*\}"(?=: json:)')
"""The object that a patch led to, in a message: it has uids, versions and times."""
_UID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_GROUPS_NOT_RECORDED = {"scheduling.k8s.io"}  # the list was cut to what Jobs need


def differences(real: Any, ours: Any, *, path: str) -> list[str]:
    """One line per difference; nothing when the answers agree."""
    return _compare(_essence(real, path), _essence(ours, path), "")


def _compare(real: Any, ours: Any, where: str) -> list[str]:
    if isinstance(real, dict) and isinstance(ours, dict):
        return [
            line
            for name in real.keys() | ours.keys()
            for line in _compare(real.get(name), ours.get(name), f"{where}.{name}")
        ]
    return [] if real == ours else [f"{where}: real {real!r}, ours {ours!r}"]


def _essence(body: Any, path: str) -> Any:
    if isinstance(body, list):  # a watch: what its events say
        return [(event["type"], _essence(event["object"], path)) for event in body]
    if not isinstance(body, dict):
        return body
    kind = body.get("kind", "")
    if kind == "Status":
        return _status(body)
    if kind == "EventList":
        return {_event(event) for event in body["items"]}
    if kind == "APIResourceList":
        return _resources(body)
    if kind.endswith("List") and "items" in body:
        return {
            "kind": kind,
            "items": [_object(item) for item in body["items"]],
            "continues": "continue" in body["metadata"],
            "remaining": body["metadata"].get("remainingItemCount"),
        }
    if "metadata" in body:
        return {"kind": kind, "apiVersion": body["apiVersion"]} | _object(body)
    return _document(body, path)


def _status(body: Obj) -> Obj:
    details = body.get("details") or {}
    return {
        "status": body["status"],
        "reason": body.get("reason"),
        "code": body.get("code"),
        "message": _message(body),
        "about": {name: details.get(name) for name in ("name", "group", "kind")},
        "causes": sorted((cause.get("reason"), cause.get("field")) for cause in details.get("causes") or []),
    }


def _message(body: Obj) -> str | None:
    """The text of the errors that people read most; that of others differs between versions and decoders."""
    message: str | None = _UID.sub("<uid>", _PATCHED.sub("<object>", body.get("message") or "")) or None
    exact = body.get("reason") in ("NotFound", "AlreadyExists", "Conflict", "Forbidden", "Unauthorized", "Invalid")
    return message if exact else None


def _event(event: Obj) -> tuple[Any, ...]:
    about = event["involvedObject"]
    return (event["type"], event["reason"], about["kind"], about["name"], event["source"]["component"])


def _resources(body: Obj) -> Obj:
    return {
        resource["name"]: {name: value for name, value in resource.items() if name != "storageVersionHash"}
        for resource in body["resources"]
    }


def _document(body: Obj, path: str) -> Obj:
    if path == "/version":
        return {name: body[name] for name in ("major", "minor")}
    if path == "/api":
        return {"versions": body["versions"]}
    if path == "/apis":
        return body | {"groups": [group for group in body["groups"] if group["name"] not in _GROUPS_NOT_RECORDED]}
    return body


def _object(obj: Obj) -> Obj:
    metadata = obj["metadata"]
    if "name" not in metadata:  # a bookmark: it has no object
        return {"annotations": metadata.get("annotations")}
    return {
        "labels": _labels(metadata.get("labels")),
        "annotations": _annotations(metadata),
        "owners": [{**owner, "name": "", "uid": ""} for owner in metadata.get("ownerReferences") or []],
        "finalizers": metadata.get("finalizers"),
        "generation": metadata.get("generation"),
        "deleting": "deletionTimestamp" in metadata,
        "grace": metadata.get("deletionGracePeriodSeconds"),
        "spec": _spec(obj.get("spec") or {}),
        "status": _counters(obj.get("status") or {}),
    }


def _labels(labels: Any) -> Any:
    """Without what differs: labels have uids and names of Jobs too."""
    return labels and {
        name: "" if name.endswith("controller-uid") else without_minute(value) for name, value in labels.items()
    }


def _annotations(metadata: Obj) -> Any:
    """With the scheduled time of a CronJob's Job replaced if it is the minute in the Job's name."""
    annotations = metadata.get("annotations")
    if not annotations or _SCHEDULED not in annotations:
        return annotations
    minute = datetime.fromtimestamp(60 * int(metadata["name"].rpartition("-")[2]), UTC)
    agrees = annotations[_SCHEDULED] == minute.strftime("%Y-%m-%dT%H:%M:%SZ")
    return annotations | {_SCHEDULED: "the minute in the name" if agrees else annotations[_SCHEDULED]}


def _spec(spec: Obj) -> Obj:
    if "template" in spec:  # a Job
        template = spec["template"]
        labels = _labels(template["metadata"].get("labels"))
        return spec | {
            "selector": _labels(spec["selector"]["matchLabels"]),
            "template": {"metadata": {"labels": labels}, "spec": template["spec"]},
        }
    if "containers" in spec:
        return _pod_spec(spec)
    return spec


def _pod_spec(spec: Obj) -> Obj:
    """Without the token that a real cluster projects into every pod, and without the node's name."""
    mine = [volume for volume in spec.get("volumes") or [] if not volume["name"].startswith("kube-api-access-")]
    places = {place: _without_token(spec[place]) for place in ("containers", "initContainers") if place in spec}
    return spec | places | {"volumes": mine, "nodeName": bool(spec.get("nodeName"))}


def _without_token(containers: list[Obj]) -> list[Obj]:
    return [
        container
        | {
            "volumeMounts": [
                mount
                for mount in container.get("volumeMounts") or []
                if not mount["name"].startswith("kube-api-access-")
            ]
        }
        for container in containers
    ]


def _counters(status: Obj) -> Obj:
    """With the conditions of Jobs only: a pod's come one by one."""
    counted = {name: status.get(name) for name in _COUNTERS}
    if "phase" not in status:
        counted["conditions"] = conditions(status)
        for name in ("startTime", "completionTime", "lastScheduleTime", "lastSuccessfulTime"):
            counted[name] = name in status
    return counted
