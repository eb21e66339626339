"""Checks a function's manifest before the first event: its shape, and fields that jobrelay sets itself. Pure."""

from collections.abc import Iterator
from typing import Any

import orjson

from events.names import DOMAIN, Label
from events.problems import FieldError, path_of
from events.request.fields import is_dns_label
from k8s.base import Manifest
from k8s.manifests.pod import EVENT_DIRECTORY, EVENT_VOLUME
from k8s.manifests.schema import Path, unfit

_METADATA = ("namespace", "labels", "annotations")
_OURS = frozenset({Label.MANAGED_BY, Label.INSTANCE, Label.REQUEST})
_CONTAINERS = ("containers", "initContainers")
_RESTARTS = ("Never", "OnFailure")


def problems(job: Manifest, path: Path) -> list[FieldError]:
    """Everything that is wrong with it. `path`: where it is in the operator's file.

    What only a server can tell (does a class exist, do values go together) shows when the first Job is created.
    """
    shape = [*unfit("V1Job", job, path), *_not_json(job, path)]
    return [*_kind(job, path), *shape, *(() if shape else _rules(job, path))]


def _not_json(job: Manifest, path: Path) -> Iterator[FieldError]:
    """YAML can say more than JSON: bytes, sets, cycles."""
    try:
        orjson.dumps(job)
    except TypeError as error:
        yield FieldError(path_of(path), f"is nothing that JSON can say: {error}")


def _kind(job: Manifest, path: Path) -> Iterator[FieldError]:
    for name, wanted in (("apiVersion", "batch/v1"), ("kind", "Job")):
        if job.get(name) != wanted:
            yield FieldError(path_of([*path, name]), f"must be {wanted}")
    if "status" in job:
        yield FieldError(path_of([*path, "status"]), "is Kubernetes' to write")


def _rules(job: Manifest, path: Path) -> Iterator[FieldError]:
    """Rules that need a manifest of the right shape."""
    metadata = job.get("metadata") or {}
    for name in metadata:
        if name not in _METADATA:
            yield FieldError(path_of([*path, "metadata", name]), "is not the operator's to give", ", ".join(_METADATA))
    namespace = metadata.get("namespace")
    if namespace is not None and not is_dns_label(namespace):
        yield FieldError(path_of([*path, "metadata", "namespace"]), "is no name of a namespace")
    yield from _ours(metadata, (*path, "metadata"))
    spec = job.get("spec")
    if spec is None:
        yield FieldError(path_of([*path, "spec"]), "is missing")
        return
    for name in ("selector", "manualSelector"):
        if spec.get(name) is not None:
            yield FieldError(path_of([*path, "spec", name]), "is made by Kubernetes, for each Job its own")
    template = spec.get("template") or {}
    yield from _ours(template.get("metadata") or {}, (*path, "spec", "template", "metadata"))
    yield from _pod(template.get("spec") or {}, (*path, "spec", "template", "spec"))


def _ours(metadata: Manifest, path: Path) -> Iterator[FieldError]:
    """Labels and annotations that are jobrelay's own: it finds and follows Jobs by them."""
    for kind in ("labels", "annotations"):
        for name in metadata.get(kind) or {}:
            if name in _OURS or name.rpartition("/")[0] == DOMAIN:
                yield FieldError(path_of([*path, kind, name]), "is jobrelay's own")


def _pod(pod: Manifest, path: Path) -> Iterator[FieldError]:
    if not pod.get("containers"):
        yield FieldError(path_of([*path, "containers"]), "is missing: at least one container")
    if pod.get("restartPolicy", _RESTARTS[0]) not in _RESTARTS:
        yield FieldError(path_of([*path, "restartPolicy"]), f"must be {' or '.join(_RESTARTS)} in a Job")
    for number, volume in enumerate(pod.get("volumes") or ()):
        if volume.get("name") == EVENT_VOLUME:
            yield FieldError(path_of([*path, "volumes", number, "name"]), "is the name of jobrelay's own volume")
    names: set[str] = set()
    for kind in _CONTAINERS:
        for number, container in enumerate(pod.get(kind) or ()):
            yield from _container(container, (*path, kind, number), names)


def _container(container: dict[str, Any], path: Path, names: set[str]) -> Iterator[FieldError]:
    for name in ("name", "image"):
        if not container.get(name):
            yield FieldError(path_of([*path, name]), "is missing")
    if container.get("name") in names:
        yield FieldError(path_of([*path, "name"]), "is the name of another container too")
    names.add(container.get("name", ""))
    for number, mount in enumerate(container.get("volumeMounts") or ()):
        place = str(mount.get("mountPath", "")).rstrip("/")
        if place == EVENT_DIRECTORY or place.startswith(f"{EVENT_DIRECTORY}/"):
            yield FieldError(path_of([*path, "volumeMounts", number, "mountPath"]), "is where the event is")
