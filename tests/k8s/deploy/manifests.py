"""Renders k8s/deploy as `kubectl kustomize` does, without kubectl: only those features of kustomize that it uses."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from functools import cache, reduce
from pathlib import Path
from typing import Any

import yaml

from adapters.registry import BY_NAME
from k8s.devcluster.api.patch import json_patch, strategic_patch
from tests.paths import DEPLOY

Object = dict[str, Any]
Objects = dict[str, Object]
"""By `Kind/name`, or `Kind/name@namespace` outside our namespace."""

OVERLAYS = tuple(BY_NAME)
"""An overlay for each broker."""
NAMESPACE = "jobrelay"
_CLUSTER_SCOPED = {"Namespace", "ClusterRole"}
_KNOWN = {
    "apiVersion", "kind", "namespace", "resources", "components", "patches", "configMapGenerator", "images",
    "replacements",
}  # fmt: skip


@cache
def rendered(directory: str, *components: str) -> Objects:
    """The objects of `k8s/deploy/<directory>` with these components added. Cached: callers must not change them."""
    objects = _accumulate(DEPLOY / directory, [])
    for component in components:
        objects = _accumulate(DEPLOY / component, objects)
    _hash_names(objects)
    _complete_subjects(objects)
    return by_name(objects)


def by_name(objects: Sequence[Object], ours: str = NAMESPACE) -> Objects:
    """`ours`: our namespace. Raises AssertionError when two have the same name."""
    found = {key(manifest, ours): manifest for manifest in objects}
    assert len(found) == len(objects)
    return found


def key(manifest: Object, ours: str = NAMESPACE) -> str:
    namespace = manifest["metadata"].get("namespace", ours)
    return f"{manifest['kind']}/{manifest['metadata']['name']}" + ("" if namespace == ours else f"@{namespace}")


def containers(workload: Object) -> list[Object]:
    found: list[Object] = workload["spec"]["template"]["spec"]["containers"]
    return found


def data_of(objects: Objects, kind: str, name: str) -> dict[str, str]:
    data: dict[str, str] = objects[f"{kind}/{name}"]["data"]
    return data


def documents(path: Path) -> list[Object]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def _accumulate(directory: Path, objects: list[Object]) -> list[Object]:
    """The objects of this kustomization; a component gets `objects`, changes them and adds its own."""
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
        objects = [_patched(directory, patch, manifest) for manifest in objects]
    for replacement in given.get("replacements", ()):
        objects = _replaced(replacement, objects)
    for manifest in objects:
        _place(manifest, given.get("namespace"))
        _name_images(manifest, given.get("images", ()))
    return objects


def _generate(directory: Path, generator: Object, objects: list[Object]) -> None:
    lines = list(generator.get("literals", ()))
    for name in generator.get("envs", ()):
        text = (directory / name).read_text().splitlines()
        lines += [line for line in text if line.strip() and not line.lstrip().startswith("#")]
    data = {Path(name).name: (directory / name).read_text() for name in generator.get("files", ())}
    data = dict(sorted({**data, **dict(line.split("=", 1) for line in lines)}.items()))
    if generator.get("behavior") == "merge":
        (known,) = (manifest for manifest in objects if key(manifest) == f"ConfigMap/{generator['name']}")
        known["data"] = dict(sorted({**known["data"], **data}.items()))
        return
    metadata = {"name": generator["name"]} | {k: v for k, v in generator.items() if k == "namespace"}
    metadata |= {k: v for k, v in generator.get("options", {}).items() if k == "labels"}
    fixed = generator.get("options", {}).get("disableNameSuffixHash", False)
    objects.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data, "_hashed": not fixed})


def _patched(directory: Path, patch: Object, manifest: Object) -> Object:
    steps = yaml.safe_load(patch["patch"] if "patch" in patch else (directory / patch["path"]).read_text())
    target = patch.get("target") or {"kind": steps["kind"], "name": steps["metadata"]["name"]}
    name = manifest["metadata"]["name"]
    if target["kind"] != manifest["kind"] or target.get("name", name) != name:
        return manifest
    if isinstance(steps, list):
        return json_patch(deepcopy(manifest), steps)
    return strategic_patch(manifest, {name: value for name, value in steps.items() if name != "metadata"})


def _replaced(replacement: Object, objects: Sequence[Object]) -> list[Object]:
    """With one object's field in the place of others'."""
    (source,) = (found for found in objects if _is_meant(found, replacement["source"]))
    value = reduce(_member, replacement["source"]["fieldPath"].split("."), source)
    changed = deepcopy(list(objects))
    for target in replacement["targets"]:
        for manifest in (found for found in changed if _is_meant(found, target["select"])):
            for path in target["fieldPaths"]:
                *above, last = path.split(".")
                reduce(_member, above, manifest)[last] = value
    return changed


def _is_meant(manifest: Object, selector: Object) -> bool:
    return (manifest["kind"], manifest["metadata"]["name"]) == (selector["kind"], selector["name"])


def _member(value: Any, name: str) -> Any:
    return value[int(name) if isinstance(value, list) else name]


def _place(manifest: Object, namespace: str | None) -> None:
    if namespace and manifest["kind"] not in _CLUSTER_SCOPED:
        manifest["metadata"]["namespace"] = namespace


def _name_images(manifest: Object, images: Sequence[Object]) -> None:
    for container in containers(manifest) if manifest["kind"] == "Deployment" else ():
        for image in images:
            if container["image"] == image["name"]:
                container["image"] = f"{image.get('newName', image['name'])}:{image['newTag']}"


def _hash_names(objects: list[Object]) -> None:
    """Append the hash of their content to generated names, also in references."""
    hashed = {}
    for manifest in objects:
        if manifest.pop("_hashed", False):
            name = manifest["metadata"]["name"]
            hashed[name] = manifest["metadata"]["name"] = hashed_name(name, manifest["data"])
    for reference in (found for manifest in objects for found in _references(manifest)):
        reference["name"] = hashed.get(reference["name"], reference["name"])


def hashed_name(name: str, data: Mapping[str, str]) -> str:
    """The name of a ConfigMap with the hash of what it holds: of the JSON that Go makes, which escapes for HTML."""
    content = json.dumps({"data": data, "kind": "ConfigMap", "name": ""}, separators=(",", ":"), ensure_ascii=False)
    for sign in "<>&\u2028\u2029":
        content = content.replace(sign, f"\\u{ord(sign):04x}")
    digest = hashlib.sha256(content.encode()).hexdigest()[:10]
    return f"{name}-{digest.translate(str.maketrans('013ae', 'ghkmt'))}"


def _complete_subjects(objects: Sequence[Object]) -> None:
    """Give subjects the namespace of their service account, where the account is among the objects."""
    homes = {
        key(account): account["metadata"]["namespace"] for account in objects if account["kind"] == "ServiceAccount"
    }
    for subject in (subject for binding in objects for subject in binding.get("subjects", ())):
        if f"ServiceAccount/{subject['name']}" in homes:
            subject.setdefault("namespace", homes[f"ServiceAccount/{subject['name']}"])


def _references(value: Any) -> Iterator[Object]:
    """Every reference to a ConfigMap in an object."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        if name in ("configMapRef", "configMapKeyRef", "configMap") and isinstance(item, dict) and "name" in item:
            yield item
        yield from _references(item)
