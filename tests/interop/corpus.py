"""Events as real producers emit them, and what should become of each: the files in `producers/`. Runs nothing.

A file names a producer, where its shapes are documented, and its `events`. Each has a `shape` and the `body` as it is
on the wire, and for `nats` and `rabbitmq` what goes with it: `headers` (on NATS pairs, since names may repeat), and on
RabbitMQ any property. `null` there: the broker cannot carry it, or nobody sends it so. A text in YAML is UTF-8,
`!!binary` any bytes, and a time a typed timestamp of AMQP. `mode: binary`: its attributes are in the headers.

What becomes of it is said for both brokers or beside one broker's headers. `runs`: templates, and the value that a
variable gets from each. `refused`: words of the message, with its `code`. `wants`: templates of a function that takes
an event and cannot be filled in.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import yaml

PRODUCERS = Path(__file__).parent / "producers"
NATS, RABBITMQ = "nats", "rabbitmq"
INVALID_EVENT = "INVALID_EVENT"
"""The code where a file names none."""
_PREFIXES = ("ce-", "cloudevents:", "cloudevents_")
_FILE = frozenset({"producer", "documented", "events"})
_OUTCOME = frozenset({"runs", "refused", "code", "wants"})
_EVENT = frozenset({"shape", "body", "mode", NATS, RABBITMQ}) | _OUTCOME


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """`runs`: by template, what variables get. Else `code` and `says`, words of the message."""

    runs: Mapping[str, str] | None
    code: str
    says: Sequence[str]
    wants: Sequence[str]
    """Templates of the variables of a function that takes it; empty: there is no such function."""

    @property
    def taken(self) -> bool:
        """Whether there is a function for it."""
        return self.runs is not None or bool(self.wants)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event on one broker. `binary`: its attributes are in headers. The `name` is the same on both brokers."""

    name: str
    broker: str
    body: bytes
    binary: bool
    headers: Sequence[tuple[str, Any]]
    properties: Mapping[str, Any]
    outcome: Outcome

    @property
    def content_type(self) -> str | None:
        """As the message says it, beside the attributes."""
        said = [value for name, value in self.headers if name.lower() == "content-type"]
        return self.properties.get("content_type") or (str(said[0]) if said else None)

    @property
    def attributes(self) -> dict[str, Any]:
        """What the headers of an event in binary mode, or the object of another, say; only where they can be read."""
        if not self.binary:
            return {name: value for name, value in json.loads(self.body).items() if name not in ("data", "data_base64")}
        found = {} if self.content_type is None else {"datacontenttype": self.content_type}
        for header, value in self.headers:
            prefix = next((prefix for prefix in _PREFIXES if header.lower().startswith(prefix)), None)
            if prefix is not None:
                found[header.lower().removeprefix(prefix)] = unquote(value) if self.broker == NATS else _plain(value)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One event on both brokers; None where it is not sent."""

    producer: str
    shape: str
    nats: Event | None
    rabbitmq: Event | None


@cache
def rows() -> tuple[Row, ...]:
    """All events, in the order of the files."""
    return tuple(row for path in sorted(PRODUCERS.glob("*.yaml")) for row in _rows(path))


def events(broker: str) -> list[Event]:
    """Those that are sent on this broker."""
    return [event for row in rows() if (event := getattr(row, broker)) is not None]


def _rows(path: Path) -> Iterator[Row]:
    document = yaml.safe_load(path.read_text())
    _only(document, _FILE, path)
    for number, event in enumerate(document["events"], 1):
        _only(event, _EVENT, path)
        on = {
            broker: _event(f"{path.stem}-{number}", broker, event, event.get(broker, {})) for broker in (NATS, RABBITMQ)
        }
        yield Row(producer=document["producer"], shape=event["shape"], nats=on[NATS], rabbitmq=on[RABBITMQ])


def _event(name: str, broker: str, event: Mapping[str, Any], on: Mapping[str, Any] | None) -> Event | None:
    if on is None:
        return None
    said = {field: on.get(field, event.get(field)) for field in _OUTCOME}
    if "runs" in on or "refused" in on:
        said |= {field: on.get(field) for field in ("runs", "refused")}
    headers = on.get("headers", ())
    return Event(
        name=name,
        broker=broker,
        body=event["body"] if isinstance(event["body"], bytes) else event["body"].encode(),
        binary=event.get("mode") == "binary",
        headers=tuple(headers.items()) if isinstance(headers, dict) else tuple(map(tuple, headers)),
        properties={field: value for field, value in on.items() if field not in {"headers", *_OUTCOME}},
        outcome=_outcome(said),
    )


def _outcome(said: Mapping[str, Any]) -> Outcome:
    if (said["runs"] is None) is (said["refused"] is None):
        raise ValueError(f"either runs or refused: {said}")
    words = said["refused"] or []
    return Outcome(
        runs=said["runs"],
        code=said["code"] or INVALID_EVENT,
        says=[words] if isinstance(words, str) else words,
        wants=[*(said["runs"] or ()), *(said["wants"] or ())],
    )


def _plain(value: Any) -> Any:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value


def _only(fields: Mapping[str, Any], known: frozenset[str], path: Path) -> None:
    if unknown := fields.keys() - known:
        raise ValueError(f"{path.name}: {sorted(unknown)}")
