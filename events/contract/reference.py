"""The contract in Markdown, made from the models and from the list of error codes. Pure: prints nothing."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from events.contract.codes import CODES
from events.contract.data import ANSWERS, DETAILS, Attempted, Part
from events.contract.models import Schema, function_models, lifecycle_models, request_models
from events.contract.schema import control_envelope, lifecycle_envelope, request_envelope
from events.names import CONTROL_TYPE, JOB_TYPE, REQUESTED_TYPE
from events.request.control import ANSWER_STATUS, ControlVerb
from events.request.fields import Model
from events.request.job import JobSpec
from events.request.request import JobRequest

_HEAD = """# Reference

Every field, event, error code and topic. This page is written by `jobrelay reference` from the same models
that read and write the events; a test keeps it true. `jobrelay schema` prints them as JSON Schema, `jobrelay asyncapi`
as an AsyncAPI document, and `examples/` has events to start from.
"""
_LIMITS = {"maxItems": "items", "maxProperties": "entries", "maxLength": "characters"}
_COLUMNS = ("field", "type", "default", "allowed", "meaning")
_BY_DEFAULT = " By default "
_SETTING = re.compile(r"(?<![`$])\bJOBRELAY_[A-Z_]+\b(?!`)")


def reference(topics: Sequence[tuple[str, str, str]]) -> str:
    """The whole page. `topics`: (broker, address, what it carries)."""
    sections = [_HEAD, *_requests(), *_control(), *_lifecycle(), *_functions(), *_codes(), *_topics(topics)]
    return "\n".join(sections)


def request_table() -> str:
    """The fields of a request and of its `job`, under the `section` of the class that declares them.

    The last sentence of a description that begins with "By default" is the third column.
    """
    models = request_models()
    sections: dict[str, list[tuple[str, str, str]]] = {}
    for prefix, model in (("", JobRequest), ("job.", JobSpec)):
        schema = models[model.__name__]
        for name, field in model.model_fields.items():
            published = field.alias or name
            meaning, default = _brief(schema["properties"][published], models)
            if field.is_required():
                default = "required"
            sections.setdefault(_section(model, name), []).append((f"`{prefix}{published}`", meaning, default))
    rows = [row for section, fields in sections.items() for row in [(f"**{section}**", "", ""), *fields]]
    return _table(("field", "meaning", "default"), rows).rstrip()


def lifecycle_table() -> str:
    """The phases of a request with their `status`, when each is told, and what `detail` has for that phase alone."""
    models = lifecycle_models()
    shared = _shared(models)
    rows = []
    for phase, model in DETAILS.items():
        own = [f"`{field}`" for field in models[model.__name__]["properties"] if field not in shared]
        link = f"[`{phase}`](REFERENCE.md#{model.__name__.lower()})"
        rows.append((link, _status(phase.traits.status), _said(model), ", ".join(own)))
    return _table(("phase", "`status`", "when", "in `detail`"), rows).rstrip()


def _section(model: type[Model], name: str) -> str:
    """The heading of the class that declares this field: of those that have it, the one furthest up."""
    return [base for base in model.__mro__ if issubclass(base, Model) and name in base.model_fields][-1].section


def _brief(schema: Schema, models: Mapping[str, Schema]) -> tuple[str, str]:
    """Meaning and default in one cell each: what `_fields` puts into `allowed` and `type` is part of the meaning."""
    text, said, default = schema["description"].rpartition(_BY_DEFAULT)
    text, default = (text, default.rstrip(".")) if said else (default, _value(schema.get("default")))
    inner = _inner(schema)
    range_ = f"{inner['minimum']}-{inner['maximum']}." if "maximum" in inner else ""
    values = [f"`{value}`" for value in inner.get("enum", ())]
    choices = "" if all(value in f"{text} {default}" for value in values) else f"{', '.join(values)}."
    meaning = " ".join(filter(None, (text, range_, choices, _shape(inner, models))))
    return _SETTING.sub(r"`\g<0>`", meaning), _SETTING.sub(r"`\g<0>`", default)


def _shape(schema: Schema, models: Mapping[str, Schema]) -> str:
    """What a nested model looks like, `?` behind what may be left out; empty for other types."""
    if "anyOf" in schema:
        return _shape(_inner(schema), models)
    if "items" in schema:
        items = _shape(schema["items"], models)
        return f"List of {items}" if items else ""
    name = schema.get("$ref", "").rpartition("/")[2]
    if not name or name == JobSpec.__name__:
        return ""
    required = models[name].get("required", ())
    fields = [field if field in required else f"{field}?" for field in models[name]["properties"]]
    return f"[`{{{', '.join(fields)}}}`](REFERENCE.md#{name.lower()})."


def _requests() -> Iterator[str]:
    models = request_models()
    yield "## Job requests\n"
    yield f"A CloudEvent of type `{REQUESTED_TYPE}` whose data is a [JobRequest](#jobrequest). Its attributes:\n"
    yield _attributes(request_envelope({}))
    ordered = ["JobRequest", "JobSpec", *(name for name in models if name not in ("JobRequest", "JobSpec"))]
    for name in ordered:
        yield f"### {name}\n"
        yield f"{models[name]['description']}\n"
        yield _fields(models[name])


def _control() -> Iterator[str]:
    yield "## Control events\n"
    verbs = ", ".join(f"`{CONTROL_TYPE}.{verb}`" for verb in ControlVerb)
    yield f"CloudEvents of the types {verbs}, without data. Their attributes:\n"
    yield _attributes(control_envelope())


def _lifecycle() -> Iterator[str]:
    models = lifecycle_models()
    yield "## Lifecycle events\n"
    yield (
        "CloudEvents whose data is `{id, status, detail}`: `id` is the request's (null where it could not be read), "
        "`status` is in the table, `detail` is below. Later versions may add fields, types and error codes.\n"
    )
    rows = [
        (f"`{JOB_TYPE}.{phase}`", _status(phase.traits.status), _said(model), _link(model.__name__))
        for phase, model in DETAILS.items()
    ]
    rows += [
        (f"`{CONTROL_TYPE}.{word}`", _status(ANSWER_STATUS[word]), _said(model), _link(model.__name__))
        for word, model in ANSWERS.items()
    ]
    yield _table(("type", "`status`", "when", "`detail`"), rows)
    yield "Their attributes:\n"
    yield _attributes(lifecycle_envelope("", {}))
    shared = _shared(models)
    yield "### In every detail\n"
    *others, last = [f"`{phase}`" for phase, model in DETAILS.items() if not issubclass(model, Attempted)]
    without = f"{', '.join(others)} and {last}"
    yield f"Not in answers to control events; `attempt` and `scheduledFor` not in {without}.\n"
    yield _fields({"properties": shared})
    details = [model.__name__ for model in (*DETAILS.values(), *ANSWERS.values())]
    parts = [name for name in models if name not in details and not name.endswith("Data")]
    for name in [*details, *parts]:
        properties = models[name]["properties"]
        own = {field: schema for field, schema in properties.items() if name in parts or field not in shared}
        yield f"### {name}\n"
        yield f"{models[name]['description']}\n"
        yield _fields({**models[name], "properties": own})


def _functions() -> Iterator[str]:
    models = function_models()
    yield "## Functions\n"
    yield "The operator's file, `JOBRELAY_FUNCTIONS`: which events run which Jobs. YAML or JSON.\n"
    for name in ("FunctionsFile", "Function", "FunctionQueue", "FunctionConcurrency", "Filter"):
        yield f"### {name}\n"
        yield f"{models[name]['description']}\n"
        yield _fields(models[name])


def _shared(models: Mapping[str, Schema]) -> dict[str, Schema]:
    """The fields of every event about a Job."""
    properties: dict[str, Schema] = models["Created"]["properties"]
    names = [field.alias or name for name, field in Attempted.model_fields.items()]
    phase = {"type": "string", "description": properties["phase"]["description"]}
    return {name: properties[name] for name in names} | {"phase": phase}


def _codes() -> Iterator[str]:
    yield "## Error codes\n"
    yield "`errorCode` in `detail.error`, and header `jobrelay-code` of dead letters.\n"
    rows = [(f"`{name}`", ", ".join(code.told), code.when, code.remedy) for name, code in CODES.items()]
    yield _table(("code", "told in", "when", "what helps"), rows)


def _topics(topics: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    yield "## Topics\n"
    yield (
        "Names are those of installation `jobrelay`; another one's name takes its place. On RabbitMQ an address is "
        "`exchange / routing key`, or a queue. `{service}` and `{id}` are "
        "percent-encoded but for `A-Z a-z 0-9 _ -`, `_` where there is none, `~` and a hash above 100 bytes.\n"
    )
    rows = [(broker, f"`{address}`", text) for broker, address, text in topics]
    yield _table(("broker", "address", "what"), rows)


def _attributes(envelope: Schema) -> str:
    required = envelope["required"]
    rows = []
    for name, schema in envelope["properties"].items():
        if name == "data":
            continue
        meaning = [schema.get("description", ""), *_allowed(schema)]
        rows.append((f"`{name}`", "required" if name in required else "", " ".join(filter(None, meaning))))
    return _table(("attribute", "", "meaning"), rows)


def _fields(model: Schema) -> str:
    required = model.get("required", ())
    rows = []
    for name, schema in model["properties"].items():
        inner = _inner(schema)
        default = "required" if name in required else _value(schema.get("default"))
        allowed = "; ".join(_allowed(inner))
        rows.append((f"`{name}`", _type(inner), default, allowed, schema.get("description", "")))
    return _table(_COLUMNS, rows)


def _inner(schema: Schema) -> Schema:
    """The schema of the value when it is not null."""
    options = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    return options[0] if options else schema


def _type(schema: Schema) -> str:
    if "$ref" in schema:
        return _link(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return _type(_inner(schema))
    kind = schema.get("type")
    if kind == "array":
        return f"list of {_type(_inner(schema['items']))}"
    if kind == "object":
        return "map"
    if kind is None:
        return "boolean" if isinstance(schema.get("const"), bool) else "string" if "enum" in schema else "any JSON"
    return kind if isinstance(kind, str) else " or ".join(kind)


def _allowed(schema: Schema) -> Iterator[str]:
    if "const" in schema:
        yield _value(schema["const"])
    if "enum" in schema:
        yield ", ".join(f"`{one}`" for one in schema["enum"])
    if "maximum" in schema:
        yield f"{schema['minimum']}-{schema['maximum']}"
    yield from (f"at most {schema[limit]} {word}" for limit, word in _LIMITS.items() if limit in schema)
    if "$comment" in schema:
        yield schema["$comment"].replace("<", "&lt;")
    for inner in (schema.get("items", {}), *schema.get("patternProperties", {}).values()):
        if inner.get("$comment") not in (None, "no NUL characters"):
            yield f"each: {inner['$comment']}"


def _value(value: Any) -> str:
    match value:
        case None | "" | [] | {}:
            return ""
        case bool():
            return f"`{str(value).lower()}`"
        case _:
            return f"`{value}`"


def _status(status: int | None) -> str:
    return "null" if status is None else str(status)


def _said(model: type[Part]) -> str:
    return (model.__doc__ or "").strip()


def _link(name: str) -> str:
    return f"[{name}](#{name.lower()})"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)
