"""What events and the operator's file consist of, as definitions in JSON Schema (2020-12), from the models. Pure."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from events.cloudevent.attributes import MAX_NAME, MAX_VALUE
from events.cloudevent.event import MAX_ATTRIBUTES
from events.contract.data import ANSWERS, DETAILS, Part, codes_of
from events.functions.file import FunctionsFile
from events.functions.filters import Filter
from events.phases import Phase
from events.request.control import ANSWER_STATUS
from events.request.fields import exactly_one
from events.request.request import JobRequest

Schema = dict[str, Any]

DEFS = "#/$defs/{model}"
"""How references are written if the definitions are in the schema itself."""
_MANIFEST: Schema = {
    # Kubernetes says what a Job may hold; `jobrelay check` tests the file against that.
    "properties": {
        "apiVersion": {"const": "batch/v1"},
        "kind": {"const": "Job"},
        "metadata": {
            "type": "object",
            "properties": {name: {} for name in ("namespace", "labels", "annotations", "name", "generateName")},
            "additionalProperties": False,
        },
        "spec": {
            "type": "object",
            "not": {"anyOf": [{"required": ["selector"]}, {"required": ["manualSelector"]}]},
            "properties": {
                "template": {
                    "type": "object",
                    "properties": {
                        "spec": {
                            "type": "object",
                            "properties": {
                                "containers": {"type": "array", "minItems": 1, "items": {"type": "object"}},
                                "restartPolicy": {"enum": ["Never", "OnFailure"]},
                            },
                            "required": ["containers"],
                        }
                    },
                    "required": ["spec"],
                }
            },
            "required": ["template"],
        },
    },
    "required": ["apiVersion", "kind", "spec"],
    "not": {"required": ["status"]},
}


class _Generator(GenerateJsonSchema):
    """Gives fields no titles: they would only repeat the names."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def dict_schema(self, schema: Any) -> JsonSchemaValue:
        found = super().dict_schema(schema)
        # A key that does not match the pattern is wrong, not free.
        return {**found, "additionalProperties": False} if "patternProperties" in found else found


class _Open(_Generator):
    """For what jobrelay sends: None means absent, not null, and later versions may add fields."""

    def nullable_schema(self, schema: Any) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: Any) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def model_schema(self, schema: Any) -> JsonSchemaValue:
        found = super().model_schema(schema)
        found.pop("additionalProperties", None)
        return found


def request_models(template: str = DEFS) -> dict[str, Schema]:
    """The definitions of `JobRequest` and of all it consists of, by name, with references written by `template`."""
    return definitions([JobRequest], _Generator, template)


def lifecycle_models(template: str = DEFS) -> dict[str, Schema]:
    """The definitions of the data of lifecycle events and of answers to control events: `CreatedData`, …"""
    parts: list[type[Part]] = [*DETAILS.values(), *ANSWERS.values()]
    found = definitions(parts, _Open, template)
    for model in parts:
        _name_codes(found, model)
    told = {model.__name__: phase.traits.status for phase, model in DETAILS.items()}
    told |= {model.__name__: ANSWER_STATUS[outcome] for outcome, model in ANSWERS.items()}
    return found | {f"{name}Data": _body(name, status, template) for name, status in told.items()}


def function_models(template: str = DEFS) -> dict[str, Schema]:
    """The definitions of the operator's file: `FunctionsFile`, `Function`, `Filter`."""
    found = definitions([FunctionsFile], _Generator, template)
    found["Function"]["properties"]["job"] |= _MANIFEST
    properties = found["Filter"]["properties"]
    dialects = [field.alias or name for name, field in Filter.model_fields.items()]
    found["Filter"] |= exactly_one(*dialects)
    for name in ("exact", "prefix", "suffix"):
        text = {"type": "string", "minLength": 1, "maxLength": MAX_VALUE}
        pattern = f"^(?!(data|database64)$)[a-z0-9]{{1,{MAX_NAME}}}$"
        known = {"patternProperties": {pattern: text}, "additionalProperties": False}
        pairs = {"type": "object", "minProperties": 1, "maxProperties": MAX_ATTRIBUTES, **known}
        properties[name] = {"anyOf": [pairs, {"type": "null"}], "description": properties[name]["description"]}
    return found


def definitions(
    models: Iterable[type[BaseModel]], generator: type[GenerateJsonSchema], template: str
) -> dict[str, Schema]:
    """The definitions of these models and of those they use, by name."""
    found: dict[str, Schema] = {}
    for model in models:
        schema = model.model_json_schema(ref_template=template, schema_generator=generator)
        found |= schema.pop("$defs", {})
        found[model.__name__] = schema
    return dict(sorted(found.items()))


def _body(name: str, status: int | None, template: str) -> Schema:
    """The schema of the data of events with this detail."""
    return {
        "type": "object",
        "properties": {
            "id": {"type": ["string", "null"], "description": "The request's; of an answer the control event's."},
            "status": {"const": status, "description": _statuses()},
            "detail": {"$ref": template.format(model=name)},
        },
        "required": ["id", "status", "detail"],
    }


def _statuses() -> str:
    """What each number means."""
    phases: dict[int, list[str]] = {}
    for phase in Phase:
        if phase.traits.status is not None:
            phases.setdefault(phase.traits.status, []).append(phase)
    told = [f"{status}: {' or '.join(phases[status])}" for status in sorted(phases)]
    return ", ".join([*told, "null: any other phase."])


def _name_codes(found: dict[str, Schema], model: type[Part]) -> None:
    """Says in the definition of `model` which error codes it may have."""
    codes = codes_of(model)
    if codes:
        error = found[model.__name__]["properties"]["error"]
        error["description"] = f"{error.get('description', '')} Error codes: {', '.join(codes)}.".strip()
