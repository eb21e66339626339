"""What `kubectl kustomize` makes of k8s/deploy, without kubectl: only for what is used there of kustomize."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from adapters.registry import BY_NAME
from k8s.devcluster.api.patch import json_patch, strategic_patch
from tests.paths import DEPLOY

Object = dict[str, Any]
Objects = dict[str, Object]
"""By `Kind/name`, with `@namespace` behind it outside our own."""

OVERLAYS = tuple(BY_NAME)
"""One for each broker."""
NAMESPACE = "jobrelay"
_CLUSTER_SCOPED = {"Namespace", "ClusterRole"}
_KNOWN = {
    "apiVersion", "kind", "namespace", "resources", "components", "patches", "configMapGenerator", "images",
}  # fmt: skip


@cache
def rendered(directory: str, *components: str) -> Objects:
    """The objects of `k8s/deploy/<directory>` with these components added. Not to be changed."""
    objects = _accumulate(DEPLOY / directory, [])
    for component in components:
        objects = _accumulate(DEPLOY / component, objects)
    _hash_names(objects)
    _complete_subjects(objects)
    return by_name(objects)


def by_name(objects: Sequence[Object]) -> Objects:
    """Raises AssertionError when two have the same name."""
    found = {key(one): one for one in objects}
    assert len(found) == len(objects)
    return found


def key(one: Object) -> str:
    namespace = one["metadata"].get("namespace", NAMESPACE)
    return f"{one['kind']}/{one['metadata']['name']}" + ("" if namespace == NAMESPACE else f"@{namespace}")


def containers(workload: Object) -> list[Object]:
    found: list[Object] = workload["spec"]["template"]["spec"]["containers"]
    return found


def data_of(objects: Objects, kind: str, name: str) -> dict[str, str]:
    data: dict[str, str] = objects[f"{kind}/{name}"]["data"]
    return data


def documents(path: Path) -> list[Object]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def _accumulate(directory: Path, objects: list[Object]) -> list[Object]:
    """What this kustomization makes; a component changes `objects` and adds to them."""
    (given,) = documents(directory / "kustomization.yaml")
    assert given.keys() <= _KNOWN, f"{directory}: not rendered here: {given.keys() - _KNOWN}"
    objects = list(objects)
    for resource in given.get("resources", ()):
        path = directory / resource
        objects += _accumulate(path.resolve(), []) if path.is_dir() else documents(path)
    for generator in given.get("configMapGenerator", ()):
        _generate(directory, generator, objects)
    for component in given.get("components", ()):
        objects = _accumulate((directory / component).resolve(), objects)
    for patch in given.get("patches", ()):
        objects = [_patched(directory, patch, one) for one in objects]
    for one in objects:
        _place(one, given.get("namespace"))
        _name_images(one, given.get("images", ()))
    return objects


def _generate(directory: Path, generator: Object, objects: list[Object]) -> None:
    lines = list(generator.get("literals", ()))
    for name in generator.get("envs", ()):
        text = (directory / name).read_text().splitlines()
        lines += [line for line in text if line.strip() and not line.lstrip().startswith("#")]
    data = {Path(name).name: (directory / name).read_text() for name in generator.get("files", ())}
    data = dict(sorted({**data, **dict(line.split("=", 1) for line in lines)}.items()))
    if generator.get("behavior") == "merge":
        (known,) = (one for one in objects if key(one) == f"ConfigMap/{generator['name']}")
        known["data"] = dict(sorted({**known["data"], **data}.items()))
        return
    metadata = {"name": generator["name"]} | {k: v for k, v in generator.items() if k == "namespace"}
    metadata |= {k: v for k, v in generator.get("options", {}).items() if k == "labels"}
    fixed = generator.get("options", {}).get("disableNameSuffixHash", False)
    objects.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data, "_hashed": not fixed})


def _patched(directory: Path, patch: Object, one: Object) -> Object:
    steps = yaml.safe_load(patch["patch"] if "patch" in patch else (directory / patch["path"]).read_text())
    target = patch.get("target") or {"kind": steps["kind"], "name": steps["metadata"]["name"]}
    if target["kind"] != one["kind"] or target.get("name", one["metadata"]["name"]) != one["metadata"]["name"]:
        return one
    if isinstance(steps, list):
        return json_patch(deepcopy(one), steps)
    return strategic_patch(one, {name: value for name, value in steps.items() if name != "metadata"})


def _place(one: Object, namespace: str | None) -> None:
    if namespace and one["kind"] not in _CLUSTER_SCOPED:
        one["metadata"]["namespace"] = namespace


def _name_images(one: Object, images: Sequence[Object]) -> None:
    for container in containers(one) if one["kind"] == "Deployment" else ():
        for image in images:
            if container["image"] == image["name"]:
                container["image"] = f"{image.get('newName', image['name'])}:{image['newTag']}"


def _hash_names(objects: list[Object]) -> None:
    """Generated names end in a hash of what they hold, also where they are referred to."""
    hashed = {}
    for one in objects:
        if one.pop("_hashed", False):
            name = one["metadata"]["name"]
            content = json.dumps({"data": one["data"], "kind": "ConfigMap", "name": ""}, separators=(",", ":"))
            digest = hashlib.sha256(content.encode()).hexdigest()[:10]
            hashed[name] = one["metadata"]["name"] = f"{name}-{digest.translate(str.maketrans('013ae', 'ghkmt'))}"
    for reference in (found for one in objects for found in _references(one)):
        reference["name"] = hashed.get(reference["name"], reference["name"])


def _complete_subjects(objects: Sequence[Object]) -> None:
    """An account that is among the objects is the one in its namespace."""
    homes = {key(one): one["metadata"]["namespace"] for one in objects if one["kind"] == "ServiceAccount"}
    for subject in (subject for one in objects for subject in one.get("subjects", ())):
        if f"ServiceAccount/{subject['name']}" in homes:
            subject.setdefault("namespace", homes[f"ServiceAccount/{subject['name']}"])


def _references(value: Any) -> Iterator[Object]:
    """Every reference to a ConfigMap in an object."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        if name in ("configMapRef", "configMapKeyRef", "configMap") and isinstance(item, dict) and "name" in item:
            yield item
        yield from _references(item)
