"""The contract as an AsyncAPI 3.0 document: where each event goes, on every broker. Pure; made from the topologies."""

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from adapters.base import Kind, Topic
from adapters.descriptor import Adapter
from adapters.headers import ATTEMPTS, CODE, ORIGIN, REASON
from adapters.lanes import HIGH, LANES, LOW, NORMAL
from adapters.registry import ADAPTERS
from events.cloudevent.event import STRUCTURED
from events.contract.models import lifecycle_models, request_models
from events.contract.schema import control_envelope, lifecycle_envelope, request_envelope, told_types
from events.contract.standards import ASYNCAPI
from events.names import DEFAULT_INSTANCE

Document = dict[str, Any]

_SCHEMAS = "#/components/schemas/{model}"
_REQUEST, _ANY, _CONTROL, _LETTER = "JobRequestEvent", "AnyEvent", "ControlEvent", "DeadLetter"
_LANES = {
    HIGH: "Requests before others",
    NORMAL: "Requests",
    LOW: "Requests behind others; they get their turns too",
}
_MATCHED = "Any event that a function matches is a request too."
_DEAD = "What became no Job: bytes and headers as they came, and headers that say why. `jobrelay dead` works with it."
_ENCODED = "Percent-encoded but for `A-Z a-z 0-9 _ -`; over 100 bytes `~` and a hash."
_OUTCOME: Document = {"enum": ["accepted", "rejected"]}
_ORIGIN: Document = {
    "description": "The topic it came from.",
    "enum": ["requests", "requests.high", "requests.low", "control"],
}


def asyncapi(instance: str = DEFAULT_INSTANCE, *, version: str) -> Document:
    """The document for an installation of this name; `version` is jobrelay's. Raises ValueError for a bad name."""
    channels = {name: channel for adapter in ADAPTERS for name, channel in _channels(adapter, instance)}
    return {
        "asyncapi": ASYNCAPI,
        "info": {
            "title": "jobrelay",
            "version": version,
            "description": "CloudEvents in, Kubernetes Jobs out, lifecycle CloudEvents back. "
            "Operations are jobrelay's: clients send what it receives and receive what it sends.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": STRUCTURED,
        "servers": {adapter.name: _server(adapter) for adapter in ADAPTERS},
        "channels": channels,
        "operations": {name: _operation(name, channel) for name, channel in channels.items()},
        "components": {"messages": _messages(), "schemas": request_models(_SCHEMAS) | lifecycle_models(_SCHEMAS)},
    }


def _server(adapter: Adapter) -> Document:
    host = {"default": "localhost", "description": "Name or address of the broker."}
    return {
        "host": f"{{host}}:{adapter.port}",
        "protocol": adapter.schemes[0],
        "description": adapter.about,
        "variables": {"host": host},
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Use:
    """What a topic is for, on every broker. The channel's name is the broker's followed by `name`."""

    name: str
    topic: Topic
    messages: list[str]
    text: str
    parameters: Document


def _uses() -> Iterator[_Use]:
    for lane in LANES:
        yield _Use(
            name=f"Requests{lane.title()}",
            topic=Topic(Kind.REQUESTS, lane),
            messages=[_REQUEST, _ANY],
            text=f"{_LANES[lane]}. {_MATCHED}",
            parameters={},
        )
    yield _Use(
        name="Control",
        topic=Topic(Kind.CONTROL),
        messages=[_CONTROL],
        text="Cancel, suspend, resume.",
        parameters={},
    )
    yield _Use(
        name="Lifecycle",
        topic=Topic(Kind.LIFECYCLE, "{service}.{id}.{phase}"),
        messages=_told("dev.jobrelay.job."),
        text="What becomes of requests; kept for 7 days.",
        parameters={
            "service": _encoded("The request's `service`; `_` without one."),
            "id": _encoded("The request's id."),
            "phase": {"description": "The last word of the event's type."},
        },
    )
    yield _Use(
        name="ControlAnswers",
        topic=Topic(Kind.LIFECYCLE, "_control.{id}.{outcome}"),
        messages=_told("dev.jobrelay.control."),
        text="Answers to control events.",
        parameters={"id": _encoded("The `id` of the control event."), "outcome": _OUTCOME},
    )
    yield _Use(
        name="Dead",
        topic=Topic(Kind.DEAD, "{origin}"),
        messages=[_LETTER],
        text=_DEAD,
        parameters={"origin": _ORIGIN},
    )


def _told(prefix: str) -> list[str]:
    return [_message_name(type_) for type_ in told_types() if type_.startswith(prefix)]


def _encoded(text: str) -> Document:
    return {"description": f"{text} {_ENCODED}"}


def _channels(adapter: Adapter, instance: str) -> Iterator[tuple[str, Document]]:
    for use in _uses():
        channel = adapter.channel(instance, use.topic)
        placeholders = re.findall(r"{(\w+)}", channel.address)
        parameters = {name: use.parameters[name] for name in placeholders}
        yield (
            f"{adapter.name}{use.name}",
            {
                "address": channel.address,
                "servers": [{"$ref": f"#/servers/{adapter.name}"}],
                "description": use.text + channel.note,
                "messages": {message: {"$ref": f"#/components/messages/{message}"} for message in use.messages},
                **({"parameters": parameters} if parameters else {}),
                **channel.fields,
            },
        )


def _operation(name: str, channel: Document) -> Document:
    takes = {f"#/components/messages/{message}" for message in (_REQUEST, _CONTROL)}
    receives = any(message["$ref"] in takes for message in channel["messages"].values())
    messages = [{"$ref": f"#/channels/{name}/messages/{message}"} for message in channel["messages"]]
    return {
        "action": "receive" if receives else "send",
        "channel": {"$ref": f"#/channels/{name}"},
        "summary": channel["description"].partition(".")[0],
        "messages": messages,
    }


def _messages() -> Document:
    request = request_envelope({"$ref": _SCHEMAS.format(model="JobRequest")})
    found = {
        _REQUEST: _message("A request for one Job.", request),
        _ANY: _message(
            "An event that a function of the operator's matches.",
            {"type": "object", "required": ["specversion", "id", "source", "type"]},
        ),
        _CONTROL: _message("What is to be done with a request's Job.", control_envelope()),
        _LETTER: _message("A refused message, as it came.", {}, headers=_letter_headers()),
    }
    # A dead letter may hold any bytes.
    found[_LETTER]["contentType"] = "application/octet-stream"
    for type_, model in told_types().items():
        data = {"$ref": _SCHEMAS.format(model=model)}
        found[_message_name(type_)] = _message(f"`{type_}`", lifecycle_envelope(type_, data))
    return found


def _message(text: str, payload: Any, *, headers: Document | None = None) -> Document:
    extra = {"headers": headers} if headers else {}
    return {"contentType": STRUCTURED, "summary": text, **extra, "payload": copy.deepcopy(payload)}


def _letter_headers() -> Document:
    names = {
        CODE: "The error code.",
        REASON: "Why, in words; percent-encoded.",
        ORIGIN: "Where it was: stream or queue, and its number or id there.",
        ATTEMPTS: "How often it was tried.",
    }
    properties = {name: {"type": "string", "description": text} for name, text in names.items()}
    return {"type": "object", "properties": properties}


def _message_name(type_: str) -> str:
    """`JobSucceeded`, `ControlAccepted`."""
    *_, kind, word = type_.split(".")
    return f"{kind.title()}{word.title()}"


def topics(document: Document) -> list[tuple[str, str, str]]:
    """(broker, address, what it carries) of each channel of the document; on RabbitMQ with the exchange or queue."""
    rows = []
    for channel in document["channels"].values():
        broker = channel["servers"][0]["$ref"].rpartition("/")[2]
        binding = channel.get("bindings", {}).get("amqp", {})
        exchange = binding.get("exchange", {}).get("name")
        where = f"{exchange} / {channel['address']}" if exchange else channel["address"]
        rows.append((broker, where, channel["description"]))
    return rows
