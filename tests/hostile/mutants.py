"""Messages that were good once: a stream of them, the same for the same seed. Sends nothing."""

import json
import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from events.names import CONTROL_TYPE, REQUESTED_TYPE
from events.request.control import ControlVerb
from tests.e2e.observer import STRUCTURED

WILD: tuple[Any, ...] = (
    None, True, 0, -1, 1e308, 2**63, 10**30, "", " ", "\0", "\ud800", "\u202e", "\x1b[31m", "../..", "*", "a" * 300,
    "9" * 5000, "1e999", "@every 1s", "9999-12-31T23:59:59Z", [], {}, [[[[]]]], [0] * 200, {"a": {"b": {"c": 1}}},
    {"x" * 300: 1},
)  # fmt: skip
"""What takes the place of a value."""
NAMES = ("id", "service", "job", "env", "name", "value", "x", "schedule", "runAt", "dependencies", "__proto__", "")
HEADERS = (
    ("jobrelay-attempts", "999"),
    ("jobrelay-attempts", "-1"),
    ("jobrelay-replays", "9" * 40),
    ("jobrelay-code", "x" * 500),
    ("jobrelay-reason", "%0a%zz"),
    ("jobrelay-origin", "/../" * 50),
    ("jobrelay-not-before", "soon"),
    ("traceparent", "00-" + "0" * 52),
    ("ce-id", "%00"),
    ("cloudEvents_type", "x"),
    ("content-encoding", "gzip"),
    ("x-death", "many"),
)
CONTENT_TYPES = (STRUCTURED, STRUCTURED, STRUCTURED, "application/json", "text/plain; charset=utf-16", "", "*/*")
IDS = 200
"""Different ids of requests: most mutants that are good all the same are duplicates."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """`to`: `requests` or `control`."""

    to: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


def mutants(seed: int) -> Iterator[Mutant]:
    """Without end."""
    rng = random.Random(seed)
    while True:
        to = "control" if rng.random() < 0.1 else "requests"
        event = _command(rng) if to == "control" else _request(rng)
        for _ in range(rng.randrange(3)):
            _change(rng, event)
        body = json.dumps(event).encode()
        for _ in range(rng.choice((0, 0, 0, 1, 3))):
            body = rng.choice(_TEARS)(rng, body)
        headers = {"Content-Type": rng.choice(CONTENT_TYPES)}
        headers |= dict(rng.choices(HEADERS, k=rng.choice((0, 0, 0, 1, 2))))
        yield Mutant(to, body, headers)


def _request(rng: random.Random) -> dict[str, Any]:
    job = {"image": "busybox:1", "command": ["true"], "env": [{"name": "A", "value": "b"}], "args": ["x"]}
    data = {"id": f"m-{rng.randrange(IDS)}", "service": "mutants", "job": job, "tags": ["t"], "metadata": {"k": [1]}}
    attributes = {"specversion": "1.0", "type": REQUESTED_TYPE, "source": "/mutants", "id": "e"}
    return {**attributes, "datacontenttype": "application/json", "data": data}


def _command(rng: random.Random) -> dict[str, Any]:
    verb = rng.choice((*ControlVerb, "nothing"))
    attributes = {"specversion": "1.0", "type": f"{CONTROL_TYPE}.{verb}", "source": "/mutants"}
    return {**attributes, "id": f"c-{rng.randrange(IDS)}", "subject": f"m-{rng.randrange(2 * IDS)}"}


def _change(rng: random.Random, event: dict[str, Any]) -> None:
    """Change one place of the event: another value, one more, one less."""
    places = list(_places(event))
    where, key = rng.choice(places)
    match rng.randrange(4):
        case 0 if isinstance(where, dict):
            del where[key]
        case 1 if isinstance(where, dict):
            where[rng.choice(NAMES)] = deepcopy(rng.choice(WILD))
        case 2:
            where[key] = [where[key]] * rng.choice((1, 2, 100))
        case _:
            where[key] = deepcopy(rng.choice(WILD))


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        yield value, key
        yield from _places(inner)


def _cut(rng: random.Random, body: bytes) -> bytes:
    return body[: rng.randrange(len(body) + 1)]


def _flip(rng: random.Random, body: bytes) -> bytes:
    at = rng.randrange(len(body) + 1)
    return body[:at] + bytes([rng.randrange(256)]) + body[at + 1 :]


def _repeat(rng: random.Random, body: bytes) -> bytes:
    at = rng.randrange(len(body) + 1)
    return body[:at] + body[at : at + 40] * rng.choice((2, 50)) + body[at:]


def _nest(rng: random.Random, body: bytes) -> bytes:
    depth = rng.choice((10, 5000))
    return b"[" * depth + body + b"]" * depth


_TEARS: tuple[Callable[[random.Random, bytes], bytes], ...] = (_cut, _flip, _repeat, _nest)
