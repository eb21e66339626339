"""Checks a function's manifest before the first event: its shape, and fields that jobrelay sets itself. Pure."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson

from events.names import DOMAIN, MANAGED_BY, Label
from events.problems import FieldError, path_of
from events.request.fields import is_dns_label
from events.request.strings import too_long
from k8s.base import Manifest
from k8s.manifests.pod import EVENT_DIRECTORY, EVENT_VOLUME
from k8s.manifests.schema import Path, unfit

_METADATA = ("namespace", "labels", "annotations")
_NAMES = ("name", "generateName")
"""Fields of `metadata` that a chart or `kubectl create --dry-run` writes, and that are dropped."""
_OURS = frozenset({Label.INSTANCE, Label.REQUEST})
_CONTAINERS = ("containers", "initContainers")
_RESTARTS = ("Never", "OnFailure")
_CRON = "CronJob"


def problems(job: Manifest, path: Path) -> list[FieldError]:
    """Everything that is wrong with it, whatever else is. `path`: where it is in the operator's file.

    What only a server can tell (does a class exist, do values go together) shows when the first Job is created.
    """
    if job.get("kind") == _CRON:
        inner: Path = (*path, "spec", "jobTemplate")
        model, rules = "V1CronJob", _rules(_object(_object(job, "spec"), "jobTemplate"), inner)
    else:
        model, rules = "V1Job", _rules(job, path)
    return [*_kind(job, path), *unfit(model, job, path), *_not_json(job, path), *rules]


def dropped(job: Manifest, path: Path) -> list[FieldError]:
    """What it says and its Jobs do not get: names, and the label that says who manages them."""
    metadata = _object(job, "metadata")
    found = [
        FieldError(path_of([*path, "metadata", name]), "is dropped: jobrelay names each Job")
        for name in _NAMES
        if metadata.get(name) is not None
    ]
    template: Path = ("spec", "template", "metadata")
    for place, holder in ((("metadata",), metadata), (template, _at(job, template))):
        if _object(holder, "labels").get(Label.MANAGED_BY) not in (None, MANAGED_BY):
            where = path_of([*path, *place, "labels", Label.MANAGED_BY])
            found.append(FieldError(where, f"is dropped: jobrelay finds its Jobs by {MANAGED_BY} there"))
    return found


def _not_json(job: Manifest, path: Path) -> Iterator[FieldError]:
    """YAML can say more than JSON: bytes, sets, cycles."""
    try:
        orjson.dumps(job)
    except TypeError as error:
        yield FieldError(path_of(path), f"is nothing that JSON can say: {error}")


def _kind(job: Manifest, path: Path) -> Iterator[FieldError]:
    if job.get("apiVersion") != "batch/v1":
        yield FieldError(path_of([*path, "apiVersion"]), "must be batch/v1")
    if job.get("kind") == _CRON:
        inner = path_of([*path, "spec", "jobTemplate", "spec"])
        message = (
            f"must be Job: of a CronJob, give kind Job and as its spec what is in {inner}; events say when it runs"
        )
        yield FieldError(path_of([*path, "kind"]), message)
    elif job.get("kind") != "Job":
        yield FieldError(path_of([*path, "kind"]), "must be Job")
    if "status" in job:
        yield FieldError(path_of([*path, "status"]), "is Kubernetes' to write")


def _rules(job: Manifest, path: Path) -> Iterator[FieldError]:
    """Rules about what has the right shape. What has not is skipped: that is an error already."""
    yield from _metadata(_object(job, "metadata"), (*path, "metadata"))
    if job.get("spec") is None:
        yield FieldError(path_of([*path, "spec"]), "is missing")
        return
    spec = _object(job, "spec")
    for name in ("selector", "manualSelector"):
        if spec.get(name) is not None:
            yield FieldError(path_of([*path, "spec", name]), "is made by Kubernetes, for each Job its own")
    template = _object(spec, "template")
    yield from _ours(_object(template, "metadata"), (*path, "spec", "template", "metadata"))
    if _is(template, "spec", dict) and _is(spec, "template", dict) and _is(job, "spec", dict):
        yield from _pod(_object(template, "spec"), (*path, "spec", "template", "spec"))


def _metadata(metadata: Manifest, path: Path) -> Iterator[FieldError]:
    for name, value in metadata.items():
        if name not in (*_METADATA, *_NAMES) and value is not None:
            yield FieldError(path_of([*path, str(name)]), "is not the operator's to give", ", ".join(_METADATA))
    namespace = metadata.get("namespace")
    if isinstance(namespace, str) and not is_dns_label(namespace):
        yield FieldError(path_of([*path, "namespace"]), "is no name of a namespace")
    yield from _ours(metadata, path)


def _ours(metadata: Manifest, path: Path) -> Iterator[FieldError]:
    """Labels and annotations that are jobrelay's own: it finds and follows Jobs by them."""
    for kind in ("labels", "annotations"):
        for name in _object(metadata, kind):
            if name in _OURS or str(name).rpartition("/")[0] == DOMAIN:
                yield FieldError(path_of([*path, kind, name]), "is jobrelay's own")


def _pod(pod: Manifest, path: Path) -> Iterator[FieldError]:
    if not pod.get("containers") and _is(pod, "containers", list):
        yield FieldError(path_of([*path, "containers"]), "is missing: at least one container")
    restarts = pod.get("restartPolicy")
    if isinstance(restarts, str) and restarts not in _RESTARTS:
        yield FieldError(path_of([*path, "restartPolicy"]), f"must be {' or '.join(_RESTARTS)} in a Job")
    for number, volume in _objects(pod, "volumes"):
        if volume.get("name") == EVENT_VOLUME:
            yield FieldError(path_of([*path, "volumes", number, "name"]), "is the name of jobrelay's own volume")
    names: set[str] = set()
    for kind in _CONTAINERS:
        for number, container in _objects(pod, kind):
            yield from _container(container, (*path, kind, number), names)


def _container(container: dict[str, Any], path: Path, names: set[str]) -> Iterator[FieldError]:
    for field in ("name", "image"):
        if not container.get(field) and _is(container, field, str):
            yield FieldError(path_of([*path, field]), "is missing")
    name = container.get("name")
    if isinstance(name, str) and name:
        if name in names:
            yield FieldError(path_of([*path, "name"]), "is the name of another container too")
        names.add(name)
    for number, mount in _objects(container, "volumeMounts"):
        place = str(mount.get("mountPath", "")).rstrip("/")
        if place == EVENT_DIRECTORY or place.startswith(f"{EVENT_DIRECTORY}/"):
            yield FieldError(path_of([*path, "volumeMounts", number, "mountPath"]), "is where the event is")
    for error in too_long(container):
        yield replace(error, path=f"{path_of(path)}.{error.path}")


def _object(holder: Manifest, name: str) -> Manifest:
    found = holder.get(name)
    return found if isinstance(found, dict) else {}


def _objects(holder: Manifest, name: str) -> Iterator[tuple[int, Manifest]]:
    """The objects in a list, each with its place in it."""
    found = holder.get(name)
    for number, one in enumerate(found if isinstance(found, list) else ()):
        if isinstance(one, dict):
            yield number, one


def _at(holder: Manifest, names: Path) -> Manifest:
    for name in names:
        holder = _object(holder, str(name))
    return holder


def _is(holder: Manifest, name: str, kind: type) -> bool:
    """Whether the field is absent, or of this kind: then a rule about it does not repeat an error about its shape."""
    found = holder.get(name)
    return found is None or isinstance(found, kind)
