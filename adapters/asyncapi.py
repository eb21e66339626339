"""The contract as an AsyncAPI 3.0 document: where which event goes on both brokers. Pure; made from the topologies."""

import copy
from typing import Any

from adapters.base import Kind, Topic
from adapters.headers import ATTEMPTS, CODE, ORIGIN, REASON
from adapters.jetstream.topology import Names as NatsNames, lanes_of
from adapters.lanes import HIGH, LOW, NORMAL
from adapters.rabbitmq.topology import Exchange, Names as RabbitNames, Queue, exchanges, queues
from events.cloudevent.event import STRUCTURED
from events.contract.models import lifecycle_models, request_models
from events.contract.schema import control_envelope, lifecycle_envelope, request_envelope, told_types
from events.names import DEFAULT_INSTANCE

Document = dict[str, Any]

VERSION = "3.0.0"
_SCHEMAS = "#/components/schemas/{model}"
_REQUEST, _ANY, _CONTROL, _LETTER = "JobRequestEvent", "AnyEvent", "ControlEvent", "DeadLetter"
_LANES = {
    HIGH: "Requests before others",
    NORMAL: "Requests",
    LOW: "Requests behind others; they get their turns too",
}
_PARTS = {
    "service": "The request's `service`; `_` without one.",
    "id": "The request's id.",
    "phase": "The last word of the event's type.",
}
_ENCODED = "Percent-encoded but for `A-Z a-z 0-9 _ -`; over 100 bytes `~` and a hash."


def asyncapi(instance: str = DEFAULT_INSTANCE, *, version: str) -> Document:
    """The document for an installation of this name; `version` is jobrelay's. Raises ValueError for a bad name."""
    channels = {**_nats(NatsNames(instance)), **_rabbitmq(RabbitNames(instance))}
    return {
        "asyncapi": VERSION,
        "info": {
            "title": "jobrelay",
            "version": version,
            "description": "CloudEvents in, Kubernetes Jobs out, lifecycle CloudEvents back. "
            "Operations are jobrelay's: clients send what it receives and receive what it sends.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": STRUCTURED,
        "servers": {
            "nats": _server("nats", "4222", "NATS with JetStream"),
            "rabbitmq": _server("amqp", "5672", "RabbitMQ, 3.10 or newer"),
        },
        "channels": channels,
        "operations": {name: _operation(name, channel) for name, channel in channels.items()},
        "components": {"messages": _messages(), "schemas": request_models(_SCHEMAS) | lifecycle_models(_SCHEMAS)},
    }


def _server(protocol: str, port: str, text: str) -> Document:
    host = {"default": "localhost", "description": "Name or address of the broker."}
    return {"host": f"{{host}}:{port}", "protocol": protocol, "description": text, "variables": {"host": host}}


def _nats(names: NatsNames) -> Document:
    found = {}
    for lane in lanes_of(Kind.REQUESTS):
        subject = names.subject(lane)
        found[f"natsRequests{lane.key.title()}"] = _channel("nats", subject, [_REQUEST, _ANY], _lane_text(lane.key))
    found["natsControl"] = _channel("nats", names.subject(Topic(Kind.CONTROL)), [_CONTROL], "Cancel, suspend, resume.")
    prefix = names.subject(Topic(Kind.LIFECYCLE))
    found["natsLifecycle"] = _lifecycle("nats", f"{prefix}.")
    found["natsControlAnswers"] = _answers("nats", f"{prefix}.")
    found["natsDead"] = _channel("nats", f"{names.subject(Topic(Kind.DEAD))}.{{origin}}", [_LETTER], _DEAD)
    origin = {
        "description": "The topic it came from.",
        "enum": ["requests", "requests.high", "requests.low", "control"],
    }
    found["natsDead"]["parameters"] = {"origin": origin}
    kinds = {"Requests": Kind.REQUESTS, "Control": Kind.CONTROL, "Dead": Kind.DEAD}
    for name, channel in found.items():
        kind = next((kind for word, kind in kinds.items() if word in name and "Answers" not in name), Kind.LIFECYCLE)
        channel["x-jetstream"] = {"stream": names.stream(kind)}
    return found


def _rabbitmq(names: RabbitNames) -> Document:
    found = {}
    for lane in lanes_of(Kind.REQUESTS):
        exchange = names.exchange(Kind.REQUESTS)
        channel = _channel("rabbitmq", lane.key or "normal", [_REQUEST, _ANY], _lane_text(lane.key))
        if not lane.key:
            channel["description"] += " Any other routing key does the same, the empty one too."
        found[f"rabbitmqRequests{lane.key.title()}"] = _bound(names, channel, exchange)
    control = _channel("rabbitmq", names.queue(Topic(Kind.CONTROL)), [_CONTROL], "Cancel, suspend, resume.")
    control["description"] += " The empty routing key does the same."
    found["rabbitmqControl"] = _bound(names, control, names.exchange(Kind.CONTROL))
    lifecycle = names.exchange(Kind.LIFECYCLE)
    found["rabbitmqLifecycle"] = _bound(names, _lifecycle("rabbitmq", ""), lifecycle)
    found["rabbitmqControlAnswers"] = _bound(names, _answers("rabbitmq", ""), lifecycle)
    dead = names.queue(Topic(Kind.DEAD))
    found["rabbitmqDead"] = _queued(names, _channel("rabbitmq", dead, [_LETTER], _DEAD), dead)
    return found


_DEAD = "What became no Job: bytes and headers as they came, and headers that say why. `jobrelay dead` works with it."


def _lane_text(lane: str) -> str:
    return f"{_LANES[lane]}. Any event that a function matches is a request too."


def _channel(server: str, address: str, messages: list[str], text: str) -> Document:
    references = {message: {"$ref": f"#/components/messages/{message}"} for message in messages}
    servers = [{"$ref": f"#/servers/{server}"}]
    return {"address": address, "servers": servers, "description": text, "messages": references}


def _lifecycle(server: str, prefix: str) -> Document:
    messages = [_message_name(type_) for type_ in told_types() if type_.startswith("dev.jobrelay.job.")]
    found = _channel(
        server, f"{prefix}{{service}}.{{id}}.{{phase}}", messages, "What becomes of requests; kept for 7 days."
    )
    encoded = {name: {"description": f"{text} {_ENCODED}"} for name, text in _PARTS.items() if name != "phase"}
    return {**found, "parameters": {**encoded, "phase": {"description": _PARTS["phase"]}}}


def _answers(server: str, prefix: str) -> Document:
    messages = [_message_name(type_) for type_ in told_types() if type_.startswith("dev.jobrelay.control.")]
    found = _channel(server, f"{prefix}_control.{{id}}.{{outcome}}", messages, "Answers to control events.")
    id_ = {"description": f"The `id` of the control event. {_ENCODED}"}
    return {**found, "parameters": {"id": id_, "outcome": {"enum": ["accepted", "rejected"]}}}


def _bound(names: RabbitNames, channel: Document, exchange: str) -> Document:
    """Published to this exchange; the address is the routing key."""
    declared = next(one for one in exchanges(names) if one.name == exchange)
    return {
        **channel,
        "bindings": {"amqp": {"is": "routingKey", "exchange": _exchange(declared), "bindingVersion": "0.3.0"}},
    }


def _queued(names: RabbitNames, channel: Document, queue: str) -> Document:
    declared = next(one for one in queues(names) if one.name == queue)
    return {**channel, "bindings": {"amqp": {"is": "queue", "queue": _queue(declared), "bindingVersion": "0.3.0"}}}


def _exchange(declared: Exchange) -> Document:
    return {"name": declared.name, "type": declared.kind, "durable": True, "autoDelete": False}


def _queue(declared: Queue) -> Document:
    return {"name": declared.name, "durable": True, "exclusive": False, "autoDelete": False}


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
    # Its bytes may be anything, in whatever way it came.
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
