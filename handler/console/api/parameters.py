"""Parameters of addresses, as the document describes them."""

import re
from collections.abc import Mapping
from typing import Any

from handler.console.http.parameters import MAX_VALUE

Schema = dict[str, Any]
_NAMES = re.compile(r"\{([a-zA-Z]+)\}")
_NUMBER = {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}
_NO_NUL = r"^[^\u0000]*$"


def path_parameters(path: str) -> list[Schema]:
    """Those in a path: `{number}`, and texts that are percent-encoded there."""
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": _NUMBER if name == "number" else {"type": "string", "minLength": 1},
        }
        for name in _NAMES.findall(path)
    ]


def parameters_of(model: Mapping[str, Any]) -> list[Schema]:
    """Those of a query, from the schema of its model."""
    required = model.get("required", ())
    return [
        _parameter(name, property_, required=name in required)
        for name, property_ in model.get("properties", {}).items()
    ]


def _parameter(name: str, described: Mapping[str, Any], *, required: bool) -> Schema:
    schema = {key: value for key, value in described.items() if key not in ("description", "title")}
    # What is not given is null for a model, and no value at all in an address.
    kinds = [kind for kind in schema.pop("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) == 1:
        schema |= kinds[0]
    elif kinds:
        schema["anyOf"] = kinds
    if schema.get("default", ...) is None:
        del schema["default"]
    if schema.get("type") == "string" and "enum" not in schema:
        schema = {"maxLength": MAX_VALUE, "pattern": _NO_NUL, **schema}
    found = {"name": name, "in": "query", "required": required, "schema": schema}
    if "description" in described:
        found["description"] = described["description"]
    return found
