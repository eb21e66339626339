"""Events to measure with, the Jobs made of them, and many calls at a time."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any
from uuid import UUID

from events.cloudevent.event import decode_structured
from events.cloudevent.timestamp import format_epoch
from events.request.request import Request
from k8s.base import Manifest
from k8s.manifests.job import Rendered, render
from k8s.manifests.options import ManifestOptions
from tests.e2e.observer import request
from tests.e2e.site import Site

Fields = Mapping[str, Any]

IN_FLIGHT = 64
IDLE = "idle"
SIZE = 1000
"""Bytes of an event, about."""
SERVICES = 20
VARIABLES = tuple(f"{first}_{last}" for first in ("ORDER", "SHOP", "DB", "MAIL") for last in ("URL", "KEY", "MODE"))
_LONGEST = 100_000
"""Characters of a variable, which may have 128 KiB with its name."""


def make_events(
    count: int,
    *,
    command: str,
    image: str,
    name: str = "bench",
    size: int = SIZE,
    first: int = 0,
    fields: Callable[[int], Fields] = lambda _: {},
) -> list[bytes]:
    """Structured events, each a request `<name>-<number>`, numbered from `first`.

    No two have the same variables, arguments, metadata or ids, so that nothing remembered about one helps with the
    next. An event has `size` bytes, or up to a tenth less. `fields`: more of its data, by its number.
    """
    return [
        _event(name, number, command=command, image=image, size=size, more=fields(number))
        for number in range(first, first + count)
    ]


def _event(name: str, number: int, *, command: str, image: str, size: int, more: Fields) -> bytes:
    """The same for the same name and number: every contender of a measurement gets the same events."""
    chance = random.Random(f"{name}-{number}")
    wanted = {"command": [command], "args": _arguments(chance, number), "env": _env(chance)}
    usual: Fields = {
        "image": image,
        "service": f"service-{number % SERVICES}",
        "job": wanted,
        "metadata": {"customer": f"customer-{chance.getrandbits(40):x}", "order": number, "region": _word(chance)},
        "attributes": {
            "id": str(UUID(int=chance.getrandbits(128), version=4)),
            "time": format_epoch(1_767_225_600 + chance.randrange(86_400)),
        },
    }
    event = request(f"{name}-{number}", **{**usual, **more})
    missing = int(size * chance.uniform(0.9, 1.0)) - len(json.dumps(event))
    event["data"]["job"]["env"] += _padding(chance, missing)
    return json.dumps(event).encode()


def _arguments(chance: random.Random, number: int) -> list[str]:
    chosen = [f"--order={number}", f"--mode={_word(chance)}", "--verbose", f"--since={chance.randrange(10**9)}"]
    return chosen[: chance.randrange(1, len(chosen) + 1)]


def _env(chance: random.Random) -> list[dict[str, str]]:
    chosen = chance.sample(VARIABLES, chance.randrange(1, 5))
    return [{"name": name, "value": _word(chance)} for name in chosen]


def _padding(chance: random.Random, size: int) -> list[dict[str, str]]:
    """Variables that take up so many bytes; none where there is no room for one."""
    around = len(', {"name": "TEXT_0", "value": ""}')
    found: list[dict[str, str]] = []
    while size > around:
        room = min(_LONGEST, size - around)
        text = chance.randbytes(room // 2 + 1).hex()[:room]
        found.append({"name": f"TEXT_{len(found)}", "value": text})
        size -= room + around
    return found


def _word(chance: random.Random) -> str:
    return f"{chance.getrandbits(chance.randrange(16, 96)):x}"


def rendered(events: Iterable[bytes], *, instance: str, site: Site, governed: bool = False) -> Iterator[Rendered]:
    """What jobrelay makes of these events, one after the other. `governed`: the Jobs wait for admission."""
    options = ManifestOptions(
        instance=instance, namespace=site.namespace, broker=site.broker, governs=lambda *_: governed
    )
    for body in events:
        yield render(Request.of(decode_structured(body)), options=options)


def jobs_of(events: Iterable[bytes], *, instance: str, site: Site, governed: bool = False) -> Iterator[Manifest]:
    """The Jobs that jobrelay makes of these events."""
    return (made.job for made in rendered(events, instance=instance, site=site, governed=governed))


async def many(work: Callable[[Any], Awaitable[Any]], items: Iterable[Any], *, in_flight: int) -> None:
    """Call `work` with each item, `in_flight` at a time."""
    left = iter(items)

    async def worker() -> None:
        for item in left:
            await work(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(worker())
