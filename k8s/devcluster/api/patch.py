"""Applies three types of patches to a copy; the fourth is in apply.py. Does not validate the result."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from k8s.devcluster.api.mergekeys import MERGE_KEYS, MERGED_SETS
from k8s.devcluster.errors import ApiError, bad_request
from k8s.devcluster.resources import Obj

_DELETE_FROM = "$deleteFromPrimitiveList/"


def apply_patch(content_type: str, target: Obj, patch: Any) -> Obj:
    """ApiError 400 (malformed), 415 (unknown type) or 422 (a JSON patch that cannot be applied)."""
    if content_type == "application/json-patch+json":
        return json_patch(target, patch)
    if content_type not in _MERGES:
        known = ", ".join(["application/json-patch+json", *_MERGES])
        message = f"the body of the request was in an unknown format - accepted media types include: {known}"
        raise ApiError(415, "UnsupportedMediaType", message)
    if not isinstance(patch, dict):
        raise bad_request("error decoding patch: json: cannot unmarshal into an object")
    return _MERGES[content_type](target, patch)


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def strategic_patch(target: Obj, patch: Obj) -> Obj:
    """Kubernetes' merge: some lists by key; with `$patch`, `$retainKeys` and `$deleteFromPrimitiveList`."""
    directive = patch.get("$patch")
    if directive == "replace":
        return {name: value for name, value in patch.items() if name != "$patch"}
    if directive == "delete":
        return {}
    merged = dict(target)
    if "$retainKeys" in patch:
        merged = {name: value for name, value in merged.items() if name in patch["$retainKeys"]}
    _delete_from_sets(merged, patch)
    # Directives have been applied by now, or are only about order (setElementOrder).
    for name, value in ((name, value) for name, value in patch.items() if not name.startswith("$")):
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged_field(name, merged.get(name), value)
    return merged


def _delete_from_sets(merged: Obj, patch: Obj) -> None:
    for name, value in patch.items():
        if name.startswith(_DELETE_FROM):
            field = name.removeprefix(_DELETE_FROM)
            merged[field] = [item for item in merged.get(field) or [] if item not in value]


def _merged_field(name: str, target: Any, value: Any) -> Any:
    if isinstance(value, dict):
        return strategic_patch(target if isinstance(target, dict) else {}, value)
    if not isinstance(value, list) or not isinstance(target, list):
        return _without_directives(value)
    if name in MERGED_SETS:
        return target + [item for item in value if item not in target]
    key = MERGE_KEYS.get(name)
    return _merged_list(target, value, key) if key else value


def _without_directives(value: Any) -> Any:
    if isinstance(value, list):
        return [item for item in value if not (isinstance(item, dict) and item.get("$patch") == "delete")]
    return value


def _merged_list(target: list[Obj], patch: list[Obj], key: str) -> list[Obj]:
    if any(item.get("$patch") == "replace" for item in patch):
        return [item for item in patch if "$patch" not in item]
    merged = list(target)
    for item in patch:
        if key not in item:
            raise bad_request(f"map: {item} does not contain declared merge key: {key}")
        at = next((i for i, old in enumerate(merged) if old.get(key) == item[key]), None)
        if item.get("$patch") == "delete":
            if at is not None:
                del merged[at]
        elif at is None:
            merged.append(strategic_patch({}, item))
        else:
            merged[at] = strategic_patch(merged[at], item)
    return merged


def json_patch(target: Obj, operations: Any) -> Obj:
    """RFC 6902. Changes the target's containers in place: pass a copy."""
    if not isinstance(operations, list) or not all(isinstance(step, dict) for step in operations):
        raise bad_request("error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    root = {"": target}
    for step in operations:
        try:
            _OPERATIONS[step["op"]](root, step)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise _misfit() from error
    result: Obj = root[""]
    return result


def _misfit() -> ApiError:
    return ApiError(422, "Invalid", "the server rejected our request due to an error in our request", details={})


def _resolve(root: Obj, pointer: str) -> tuple[Any, Any]:
    """The container, and the key or index in it, that `pointer` (RFC 6901) names. The last part need not exist."""
    if pointer and not pointer.startswith("/"):
        raise ValueError(pointer)
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")]
    container: Any = root
    for part in parts[:-1]:
        container = container[_index(container, part)]
    return container, _index(container, parts[-1])


def _index(container: Any, part: str) -> Any:
    if not isinstance(container, list):
        return part
    if part == "-":
        return len(container)
    if not part.isdigit():
        raise ValueError(part)
    return int(part)


def _value(root: Obj, pointer: str) -> Any:
    container, key = _resolve(root, pointer)
    return container[key]


def _put(root: Obj, pointer: str, value: Any) -> None:
    container, key = _resolve(root, pointer)
    if isinstance(container, list):
        if key > len(container):
            raise IndexError(key)
        container.insert(key, value)
    else:
        container[key] = value


def _add(root: Obj, step: Obj) -> None:
    _put(root, step["path"], step["value"])


def _remove(root: Obj, step: Obj) -> None:
    container, key = _resolve(root, step["path"])
    del container[key]


def _replace(root: Obj, step: Obj) -> None:
    container, key = _resolve(root, step["path"])
    container[key]
    container[key] = step["value"]


def _move(root: Obj, step: Obj) -> None:
    value = _value(root, step["from"])
    _remove(root, {"path": step["from"]})
    _put(root, step["path"], value)


def _copy(root: Obj, step: Obj) -> None:
    _put(root, step["path"], deepcopy(_value(root, step["from"])))


def _test(root: Obj, step: Obj) -> None:
    if _value(root, step["path"]) != step["value"]:
        raise ValueError(step["path"])


_MERGES: dict[str, Callable[[Obj, Obj], Obj]] = {
    "application/merge-patch+json": merge_patch,
    "application/strategic-merge-patch+json": strategic_patch,
}
_OPERATIONS: dict[str, Callable[[Obj, Obj], None]] = {
    "add": _add, "remove": _remove, "replace": _replace, "move": _move, "copy": _copy, "test": _test,
}  # fmt: skip
