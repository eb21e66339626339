"""Sets of fields of objects, as in `managedFields`, and what they select in an object. Knows no managers."""

import json
from collections.abc import Iterator
from typing import Any

from k8s.devcluster.api.mergekeys import KEY_DEFAULTS, MERGED_SETS, list_keys
from k8s.devcluster.resources import Obj

Path = tuple[str, ...]
"""Steps: `f:name` into a map, `k:{...}` to the item of a list that has these keys, `v:...` to this value of a list."""
FieldSet = frozenset[Path]

# Maps that are set as a whole. All others are merged.
_ATOMIC_MAPS = {
    "configMapKeyRef", "fieldRef", "involvedObject", "labelSelector", "namespaceSelector", "nodeSelector",
    "requiredDuringSchedulingIgnoredDuringExecution", "resourceFieldRef", "scopeSelector", "secretKeyRef", "selector",
}  # fmt: skip


def fields(obj: Obj) -> FieldSet:
    """The leaves of `obj`, and the items of its merged lists."""
    return frozenset(_leaves(obj, ()))


def is_merged(name: str, value: Any) -> bool:
    """Whether the field `name` consists of parts that are set one by one."""
    if isinstance(value, dict):
        return name not in _ATOMIC_MAPS
    return isinstance(value, list) and (name in MERGED_SETS or _has_keys(name, value))


def steps(name: str, items: list[Any]) -> dict[str, Any]:
    """The items of the merged list `name`, by the step that leads to each."""
    if name in MERGED_SETS:
        return {f"v:{_json(item)}": item for item in items}
    keys = list_keys(name)
    return {"k:" + _json({key: item.get(key, KEY_DEFAULTS.get(key)) for key in keys}): item for item in items}


def value(obj: Any, path: Path) -> Any:
    """What is at `path`, or None."""
    name = ""
    for part in path:
        if part.startswith("f:"):
            name = part[2:]
            obj = obj.get(name) if isinstance(obj, dict) else None
        else:
            obj = steps(name, obj).get(part) if isinstance(obj, list) and is_merged(name, obj) else None
    return obj


def remove(obj: Any, path: Path) -> None:
    """Remove what is at `path`, if it is there, and the maps that are empty then. Keys of an item stay with it."""
    *outer, last = path
    container = value(obj, tuple(outer))
    if isinstance(container, list):
        item = steps(outer[-1][2:], container).get(last) if is_merged(outer[-1][2:], container) else None
        if item is not None:
            container.remove(item)
    elif isinstance(container, dict) and not _is_key(path):
        container.pop(last[2:], None)
    else:
        return
    if not container and outer:
        remove(obj, tuple(outer))


def as_json(owned: FieldSet) -> Obj:
    """The set as `fieldsV1`."""
    root: Obj = {}
    inner = {path[:end] for path in owned for end in range(len(path))}
    for path in sorted(owned):
        place = root
        for part in path:
            place = place.setdefault(part, {})
        if path in inner:
            place["."] = {}
    return root


def from_json(written: Obj) -> FieldSet:
    """The set in a `fieldsV1`."""
    return frozenset(_members(written, ()))


def shown(path: Path) -> str:
    """The path as in messages: `.spec.containers[name="main"].image`."""
    return "".join(map(_shown, path))


def _shown(part: str) -> str:
    kind, _, rest = part.partition(":")
    if kind == "f":
        return f".{rest}"
    if kind == "v":
        return f"[={rest}]"
    return "[" + ",".join(f"{key}={_json(found)}" for key, found in json.loads(rest).items()) + "]"


def _leaves(found: Obj, path: Path) -> Iterator[Path]:
    for name, inside in found.items():
        here = (*path, f"f:{name}")
        if not inside or not is_merged(name, inside):
            yield here
        elif isinstance(inside, dict):
            yield from _leaves(inside, here)
        else:
            for part, item in steps(name, inside).items():
                yield (*here, part)
                if isinstance(item, dict):
                    yield from _leaves(item, (*here, part))


def _members(node: Obj, path: Path) -> Iterator[Path]:
    for part, inside in node.items():
        if part == ".":
            yield path
        elif inside:
            yield from _members(inside, (*path, part))
        else:
            yield (*path, part)


def _has_keys(name: str, items: list[Any]) -> bool:
    keys = list_keys(name)
    return bool(keys) and all(isinstance(item, dict) and keys[0] in item for item in items)


def _is_key(path: Path) -> bool:
    return len(path) > 1 and path[-2].startswith("k:") and path[-1][2:] in json.loads(path[-2][2:])


def _json(found: Any) -> str:
    return json.dumps(found, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
