"""Makes a request of what its Job says, or of what the record says: as much as there is. Pure."""

from typing import Any

from events.names import REQUESTED_TYPE, Annotation
from handler.history.base import Request
from handler.operations.documents import Document
from k8s.base import Manifest
from k8s.reading.pod import MAIN

_OURS = frozenset(
    {
        *("CE_ID", "CE_SOURCE", "CE_TYPE", "CE_SUBJECT", "TRACEPARENT"),
        *("JOBRELAY_JOB_ID", "JOBRELAY_EVENT_PATH", "JOBRELAY_RESULT_PATH"),
    }
)
"""Variables that every container gets from jobrelay."""
_SPEC = ("parallelism", "completions", "completionMode", "activeDeadlineSeconds", "backoffLimit")
_POD = ("nodeSelector", "tolerations", "affinity", "serviceAccountName", "priorityClassName")
_NAMES = {"serviceAccountName": "serviceAccount"}
_CONTAINER = ("image", "imagePullPolicy", "command", "args", "workingDir", "resources")


def rebuilt(manifest: Manifest, template: Manifest, request: Request) -> tuple[Document, tuple[str, ...]]:
    """The structured event of a request that would make such a Job, and what of the Job it does not say."""
    spec, pod = manifest["spec"], template["spec"]
    containers = pod.get("containers") or [{}]
    container = next((one for one in containers if one.get("name") == MAIN), containers[0])
    job: Document = {name: container[name] for name in _CONTAINER if container.get(name)}
    env, unsaid = _env(container.get("env") or ())
    if env:
        job["env"] = env
    job |= {name: spec[name] for name in _SPEC if spec.get(name)}
    job |= {_NAMES.get(name, name): pod[name] for name in _POD if pod.get(name)}
    missing = ["Variables from elsewhere are missing."] if unsaid or container.get("envFrom") else []
    if len(pod.get("volumes") or ()) > 1:
        missing.append("Volumes are missing.")
    if len(containers) > 1 or pod.get("initContainers"):
        missing.append("Further containers are missing.")
    annotations = manifest["metadata"].get("annotations") or {}
    data = _around(request, job)
    if timeout := annotations.get(Annotation.TIMEOUT):
        data["timeout"] = int(timeout) if str(timeout).isdigit() else timeout
    return _event(request, data), tuple(missing)


def summarised(request: Request) -> Document:
    """The structured event of a request with what the record says."""
    job: Document = {} if request.image is None else {"image": request.image}
    asked = {
        "cpu": None if request.cpu is None else f"{round(request.cpu * 1000)}m",
        "memory": None if request.memory is None else str(request.memory),
    }
    if requests := {name: amount for name, amount in asked.items() if amount is not None}:
        job["resources"] = {"requests": requests}
    if request.gpus:
        job |= {"gpuEnable": True, "gpuNumber": request.gpus}
    return _event(request, _around(request, job))


def _around(request: Request, job: Document) -> Document:
    data: Document = {"id": request.key.id, "job": job}
    if request.service is not None:
        data["service"] = request.service
    if request.priority:
        data["priority"] = request.priority
    return data


def _event(request: Request, data: Document) -> Document:
    return {
        "specversion": "1.0",
        "id": request.key.cause,
        "source": request.key.source,
        "type": REQUESTED_TYPE,
        "data": data,
    }


def _env(variables: Any) -> tuple[list[Document], bool]:
    """Those with values, and whether there are others."""
    others = [one for one in variables if one.get("name") not in _OURS]
    found = [{"name": one["name"], "value": one.get("value", "")} for one in others if "valueFrom" not in one]
    return found, len(found) < len(others)
