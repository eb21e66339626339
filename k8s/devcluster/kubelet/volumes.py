"""A pod's volumes: directories that are filled once, when the pod starts.

Nothing is mounted: environment.py makes a container's paths lead here.
"""

import base64
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from k8s.devcluster.controllers.claims import CLAIMS, claim_directory, claim_name
from k8s.devcluster.kubelet.downward import field_value
from k8s.devcluster.resources import Obj

Lookup = Callable[[str, str], Obj | None]
"""(plural, name) -> the Secret, ConfigMap or claim in the pod's namespace, or None."""

File = tuple[str, bytes, int | None]
"""(path in the volume, content, file mode)"""

# What a cluster mounts into every pod for access to the API. Here, pods get no access.
ROOT_CERTIFICATES = ("kube-root-ca.crt", "openshift-service-ca.crt")


class VolumeUnavailable(Exception):
    """The pod cannot start yet: something that a volume needs does not exist, or can never exist."""


def fill(pod: Obj, *, directory: Path, claims: Path, lookup: Lookup) -> None:
    """Create and fill `directory`/<volume> for each volume. VolumeUnavailable: something is missing; try later."""
    for volume in pod["spec"].get("volumes") or []:
        try:
            _fill_one(pod, volume, target=directory / volume["name"], claims=claims, lookup=lookup)
        except VolumeUnavailable as error:
            raise VolumeUnavailable(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}') from error


def _fill_one(pod: Obj, volume: Obj, *, target: Path, claims: Path, lookup: Lookup) -> None:
    name = claim_name(pod, volume)
    if name is not None:
        claim = lookup(CLAIMS, name)
        if claim is None:
            raise VolumeUnavailable(f'persistentvolumeclaim "{name}" not found')
        kept = claim_directory(claims, claim)
        kept.mkdir(parents=True, exist_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.is_symlink():
            target.symlink_to(kept, target_is_directory=True)
        return
    files = list(_files(volume, pod, lookup))
    target.mkdir(parents=True, exist_ok=True)
    for path, content, mode in files:
        _write(inside(target, path), content, mode)


def inside(directory: Path, path: str) -> Path:
    """`directory`/`path`. VolumeUnavailable: that would leave `directory`."""
    relative = PurePosixPath(path)
    if relative.is_absolute() or ".." in relative.parts or not relative.parts:
        raise VolumeUnavailable(f"invalid path {path!r} in a volume")
    return directory / relative


def _write(file: Path, content: bytes, mode: int | None) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.exists():
        file.unlink()  # A second try may find its own read-only file.
    file.write_bytes(content)
    if mode is not None:
        file.chmod(mode)


def _files(volume: Obj, pod: Obj, lookup: Lookup) -> Iterator[File]:
    if "projected" in volume:
        projected = volume["projected"]
        for source in projected.get("sources") or []:
            yield from _source(source, pod, lookup, default=projected.get("defaultMode"))
    elif "secret" in volume:
        secret = volume["secret"] | {"name": volume["secret"].get("secretName", "")}
        yield from _keys("secrets", secret, lookup, default=secret.get("defaultMode"))
    elif "configMap" in volume or "downwardAPI" in volume:
        default = (volume.get("configMap") or volume["downwardAPI"]).get("defaultMode")
        yield from _source(volume, pod, lookup, default=default)
    elif "emptyDir" not in volume:
        kinds = ", ".join(sorted(volume.keys() - {"name"})) or "no source"
        raise VolumeUnavailable(f'volume "{volume["name"]}": the development cluster has no such volumes: {kinds}')


def _source(source: Obj, pod: Obj, lookup: Lookup, *, default: int | None) -> Iterator[File]:
    if "secret" in source:
        yield from _keys("secrets", source["secret"], lookup, default=default)
    if "configMap" in source and source["configMap"].get("name") not in ROOT_CERTIFICATES:
        yield from _keys("configmaps", source["configMap"], lookup, default=default)
    if "downwardAPI" in source:
        for item in source["downwardAPI"].get("items") or []:
            yield item["path"], field_value(pod, item).encode(), item.get("mode", default)


def _keys(resource: str, source: Obj, lookup: Lookup, *, default: int | None) -> Iterator[File]:
    """The wanted keys of a Secret or ConfigMap."""
    name, optional = source.get("name", ""), bool(source.get("optional"))
    obj = lookup(resource, name)
    if obj is None:
        if not optional:
            raise VolumeUnavailable(f'{resource[:-1]} "{name}" not found')
        return
    content = contents(resource, obj)
    if source.get("items") is None:
        yield from ((key, value, default) for key, value in content.items())
        return
    for item in source["items"]:
        if item["key"] in content:
            yield item["path"], content[item["key"]], item.get("mode", default)
        elif not optional:
            raise VolumeUnavailable(f"references non-existent {resource[:-1]} key: {item['key']}")


def contents(resource: str, obj: Obj) -> dict[str, bytes]:
    """All keys of a Secret or ConfigMap, with their bytes."""
    data: dict[str, Any] = obj.get("data") or {}
    if resource == "secrets":
        return {key: base64.b64decode(value) for key, value in data.items()}
    binary = obj.get("binaryData") or {}
    plain = {key: value.encode() for key, value in data.items()}
    return plain | {key: base64.b64decode(value) for key, value in binary.items()}
