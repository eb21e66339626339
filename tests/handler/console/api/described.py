"""Judges answers by the document that describes them. Support for tests."""

from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

URI = "urn:document"


def faults(document: dict[str, Any], path: str, answer: Any, *, method: str = "get", status: int = 200) -> list[str]:
    """What an answer in JSON has other than the document says. `path`: as it stands there."""
    resource = DRAFT202012.create_resource(document)
    content = document["paths"][path][method]["responses"][str(status)]["content"]
    ((media, _),) = content.items()
    pointer = "/".join(part.replace("~", "~0").replace("/", "~1") for part in (path, method, "responses", str(status)))
    place = f"{URI}#/paths/{pointer}/content/{media.replace('/', '~1')}/schema"
    registry: Registry[Any] = Registry().with_resource(URI, resource)
    judge = Draft202012Validator({"$ref": place}, registry=registry)
    return [f"{error.json_path}: {error.message[:200]}" for error in judge.iter_errors(answer)]
