"""The contract as JSON Schema (2020-12), made from the models. Pure: prints nothing, and knows no broker."""

import copy
from collections.abc import Mapping

from events.contract.data import ANSWERS, DETAILS
from events.contract.models import DEFS, Schema, function_models, lifecycle_models, request_models
from events.contract.standards import DIALECT, ROOT
from events.names import CONTROL_TYPE, JOB_TYPE, REQUESTED_TYPE
from events.phases import Phase
from events.request.control import ControlVerb

NAMES = ("request", "lifecycle", "control", "functions")
BARE = ("control", "functions")
"""Schemas without a variant for the data alone."""
_TEXT: Schema = {"type": "string", "minLength": 1}
_ATTRIBUTES: Schema = {
    "specversion": {"const": "1.0"},
    "id": {**_TEXT, "description": "With `source` it names the event: a repeat has the same."},
    "source": {**_TEXT, "format": "uri-reference", "description": "Who sends it."},
    "type": _TEXT,
    "subject": {**_TEXT, "description": "Free; the container finds it in CE_SUBJECT."},
    "time": {"type": "string", "format": "date-time", "description": "When it was made: RFC 3339."},
    "datacontenttype": {**_TEXT, "description": "`application/json`, which is also the default."},
    "dataschema": {**_TEXT, "format": "uri", "description": "Free."},
}
_EXTENSIONS: Mapping[str, str] = {
    "replyto": "Topic of the request's lifecycle events, `rejected` too, instead of the default one; must match "
    "JOBRELAY_REPLY_TOPICS.",
    "expirytime": "RFC 3339: after it the event is not wanted any more.",
    "correlationid": "Passed on to every lifecycle event. By default the request's id.",
    "actor": "The person who asks, in words of whoever sends it: any publisher can name anybody. Passed on to "
    "`created`, of a schedule `scheduled`, and to `rejected`.",
    "replayof": "The id of a request that this one repeats, in words of whoever sends it. Passed on as `actor` is.",
    "traceparent": "W3C Trace Context: passed on to the container and to every lifecycle event.",
    "tracestate": "W3C Trace Context.",
}
_COMMANDING: Mapping[str, str] = {
    "subject": "The id of the request or schedule that is meant; of `replay` and `drop` the number of the dead letter, "
    "on the broker that the control event is published on.",
    "requestsource": "The `source` of the request that is meant, where several sources use its id.",
    "jobname": "The name of the Job, or of the schedule's CronJob, that is meant, where one source and id has several.",
    "jobnamespace": "The namespace of that Job.",
    "letterdigest": "Of `replay` and `drop`: the BLAKE2b-128 hash of the dead letter's body, 32 hexadecimal digits. A "
    "letter of that number with another body is left alone.",
    "expirytime": "RFC 3339: after it the command is not wanted any more.",
    "correlationid": "Passed on to the answer.",
    "actor": "The person who asks, in words of whoever sends it: any publisher can name anybody. Passed on to "
    "the answer.",
    "traceparent": "W3C Trace Context: passed on to the answer.",
    "tracestate": "W3C Trace Context.",
}
_ANSWERING: Mapping[str, str] = {
    "id": "A repeat after a crash has the same: drop what you have seen.",
    "source": "`/namespaces/<namespace>/jobs/<name>`, of a schedule `…/cronjobs/<name>`; of `rejected` and of answers "
    "`/jobrelay/<installation>`.",
    "subject": "The request's id, of a schedule's run `<id>@<scheduled time>`; of an answer the control event's.",
    "time": "When it happened, by Kubernetes, in whole seconds. Absent from `rejected` and from answers.",
    "requestsource": "The `source` of the request, which with its id is its identity: others may use the same id, and "
    "share its topic. Absent where it is not known: `rejected` of an event whose source cannot be read, an answer to a "
    "control event that found no request and named no source, and events from before this attribute.",
    "causationid": "The `id` of the event that asked for it; of `rejected` that of the event that was refused: a "
    "request that another event has made goes on.",
    "correlationid": "That of the event that asked for it, else the request's id.",
    "partitionkey": "The request's id.",
    "actor": "That of the event that asked for it, where it named one: only in `created` and `scheduled` (not of a "
    "schedule's runs), `rejected` and answers.",
    "replayof": "That of the event that asked for it, in the same events but answers.",
    "traceparent": "W3C Trace Context.",
    "tracestate": "W3C Trace Context.",
}
_REQUIRED = ("specversion", "id", "source", "type")
_CLOSED: Schema = {
    # Further extension attributes, by the rules of CloudEvents.
    "patternProperties": {"^(?!data$)[a-z0-9]{1,100}$": {"type": ["string", "boolean", "integer"]}},
    "additionalProperties": False,
}
_TITLES = {
    "request": (
        "Job request",
        "An event that asks for one Kubernetes Job, or for one at each time of a schedule. Some rules about several "
        "fields together are checked by jobrelay alone, as is the policy of the installation.",
    ),
    "lifecycle": (
        "Lifecycle event",
        "An event that tells what became of a request, or of a control event. Later versions may add fields and types: "
        "ignore what you do not know.",
    ),
    "control": (
        "Control event",
        "An event that asks for something to be done with a request, a schedule or a dead letter. It has no data.",
    ),
    "functions": ("Functions", "The operator's file JOBRELAY_FUNCTIONS: which events run which Jobs."),
}
_JOB: Schema = {"image": "busybox:1.37", "command": ["sh", "-c", "echo 42 >$JOBRELAY_RESULT_PATH"]}
_EXAMPLES: Mapping[str, Schema] = {
    "request": {
        "specversion": "1.0",
        "type": REQUESTED_TYPE,
        "source": "/shop/orders",
        "id": "4711",
        "data": {"id": "invoice-4711", "service": "billing", "job": _JOB, "retries": 2, "timeout": 3600},
    },
    "lifecycle": {
        "specversion": "1.0",
        "type": f"{JOB_TYPE}.{Phase.SUCCEEDED}",
        "source": "/namespaces/jobs/jobs/billing-yv4wm4u556i6",
        "id": "0b5f7a3e-5a6c-4f0e-9d55-5a1c3a0f8a11/succeeded",
        "subject": "invoice-4711",
        "time": "2026-11-22T04:17:34Z",
        "datacontenttype": "application/json",
        "requestsource": "/shop/orders",
        "causationid": "4711",
        "data": {
            "id": "invoice-4711",
            "status": 2,
            "detail": {
                "service": "billing",
                "phase": "succeeded",
                "attempt": 1,
                "startedAt": "2026-11-22T04:17:33Z",
                "finishedAt": "2026-11-22T04:17:34Z",
                "duration": 1,
                "exitCode": 0,
                "result": 42,
            },
        },
    },
    "control": {
        "specversion": "1.0",
        "type": f"{CONTROL_TYPE}.{ControlVerb.CANCEL}",
        "source": "/shop/orders",
        "id": "cancel-4711",
        "subject": "invoice-4711",
    },
    "functions": {
        "functions": [
            {
                "name": "thumbnail",
                "filters": [{"exact": {"type": "com.example.image.uploaded"}}, {"prefix": {"source": "/cameras/"}}],
                "env": {"IMAGE_URL": "{data.url}"},
                "job": {
                    "apiVersion": "batch/v1",
                    "kind": "Job",
                    "spec": {"template": {"spec": {"containers": [{"name": "main", **_JOB}]}}},
                },
            }
        ]
    },
}


def schema_of(name: str, *, data: bool = False) -> Schema:
    """The schema of the whole event in the structured JSON format, or of its `data` alone.

    `functions` is the operator's file, no event. Raises `KeyError` for a name that is none of `NAMES`, `ValueError` for
    the data of what has none.
    """
    if data and name in BARE:
        raise ValueError(f"{name} has no data: leave out --data")
    body, found = (_DATA if data else _WHOLE)[name]()
    title, text = _TITLES[name]
    path = f"{name}-data" if data else name
    example = _EXAMPLES[name]["data"] if data else _EXAMPLES[name]
    head = {"$schema": DIALECT, "$id": f"{ROOT}/{path}.json"}
    about = {"title": title, "description": text, "examples": [example]}
    return {**head, **body, **about, **({"$defs": found} if found else {})}


def request_envelope(data: Schema) -> Schema:
    """A job request in the structured JSON format, around data of this schema."""
    return {**_envelope(REQUESTED_TYPE, _EXTENSIONS, data), **_CLOSED, "required": [*_REQUIRED, "data"]}


def control_envelope() -> Schema:
    """A control event in the structured JSON format."""
    found = _envelope([f"{CONTROL_TYPE}.{verb}" for verb in ControlVerb], _COMMANDING, None)
    return {**found, **_CLOSED, "required": [*_REQUIRED, "subject"]}


def lifecycle_envelope(type_: str, data: Schema) -> Schema:
    """An event of jobrelay's of this type in the structured JSON format, around data of this schema."""
    return {**_envelope(type_, _ANSWERING, data), "required": [*_REQUIRED, "datacontenttype", "data"]}


def told_types() -> dict[str, str]:
    """Name of the data's definition by the type of each event that jobrelay sends."""
    phases = {f"{JOB_TYPE}.{phase}": f"{model.__name__}Data" for phase, model in DETAILS.items()}
    return phases | {f"{CONTROL_TYPE}.{outcome}": f"{model.__name__}Data" for outcome, model in ANSWERS.items()}


def _request() -> tuple[Schema, dict[str, Schema]]:
    return request_envelope({"$ref": DEFS.format(model="JobRequest")}), request_models()


def _request_data() -> tuple[Schema, dict[str, Schema]]:
    models = request_models()
    return models.pop("JobRequest"), models


def _control() -> tuple[Schema, dict[str, Schema]]:
    return control_envelope(), {}


def _functions() -> tuple[Schema, dict[str, Schema]]:
    models = function_models()
    return models.pop("FunctionsFile"), models


def _lifecycle() -> tuple[Schema, dict[str, Schema]]:
    events = [lifecycle_envelope(name, {"$ref": DEFS.format(model=model)}) for name, model in told_types().items()]
    return {"oneOf": events}, lifecycle_models()


def _lifecycle_data() -> tuple[Schema, dict[str, Schema]]:
    return {"anyOf": [{"$ref": DEFS.format(model=model)} for model in told_types().values()]}, lifecycle_models()


_WHOLE = {"request": _request, "control": _control, "lifecycle": _lifecycle, "functions": _functions}
_DATA = {"request": _request_data, "lifecycle": _lifecycle_data}


def _envelope(type_: str | list[str], about: Mapping[str, str], data: Schema | None) -> Schema:
    """`about`: what attributes mean, extensions among them."""
    properties: dict[str, Schema] = copy.deepcopy(_ATTRIBUTES)
    for name, text in about.items():
        properties[name] = {**properties.get(name, _TEXT), "description": text}
    properties["type"] = {"enum": type_} if isinstance(type_, list) else {"const": type_}
    return {"type": "object", "properties": {**properties, **({"data": data} if data else {})}}
