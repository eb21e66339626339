"""The CloudEvents SDK for JavaScript, as a process of its own with the brokers' usual clients: all its events run."""

import asyncio
import base64
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from adapters.servers import nats as natsserver, rabbitmq as rabbitmqserver
from tests.adapters.conftest import need_rabbit
from tests.events.contract.node import node_modules
from tests.interop.corpus import NATS, RABBITMQ, Event, Outcome
from tests.interop.judging import assert_became
from tests.interop.running import SEEN, function_of, site
from tests.processes import output_of

PROGRAM = Path(__file__).parent / "publish.mjs"
JSON = {"{data.text}": "Grüße", "{data.list.0}": "1.5", "{subject}": "für dich", "{urgent}": "true", "{count}": "7"}
WANTED = {
    "node-structured": JSON,
    "node-text": {"{data}": "Grüße aus Node"},
    "node-bytes": {"{data}": "Grüße"},
    "node-ce": JSON,
    "node-colon": JSON,
    "node-underscore": JSON,
}
"""By the id of the event: what variables get."""


@asynccontextmanager
async def server(broker: str, directory: Path) -> AsyncIterator[str]:
    """The URL of a new server."""
    run: Any = {NATS: natsserver, RABBITMQ: rabbitmqserver}[broker].run
    async with run(directory / broker) as running:
        yield running.url


async def published(broker: str, url: str, directory: Path) -> list[Event]:
    """What the program says that it has published."""
    (directory / "node_modules").symlink_to(node_modules())
    program = shutil.copy(PROGRAM, directory)
    process = await asyncio.create_subprocess_exec("node", program, broker, url, stdout=asyncio.subprocess.PIPE)
    output = await output_of(process)
    assert process.returncode == 0
    return [event_of(broker, json.loads(line)) for line in output.splitlines()]


def event_of(broker: str, message: dict[str, Any]) -> Event:
    wanted = WANTED[message["id"]]
    return Event(
        name=message["id"],
        broker=broker,
        body=base64.b64decode(message["body"]),
        binary=any("specversion" in name.lower() for name in message["headers"]),
        headers=tuple(message["headers"].items()),
        properties={"content_type": message["contentType"]},
        outcome=Outcome(runs=wanted, code="", says=(), wants=[*wanted]),
    )


@pytest.mark.broker
@pytest.mark.parametrize(("broker", "count"), [(NATS, 4), pytest.param(RABBITMQ, 6, marks=pytest.mark.long)])
async def test_events_of_the_sdk_run_in_either_mode_and_with_every_prefix(
    tmp_path: Path, broker: str, count: int
) -> None:
    node_modules()
    if broker == RABBITMQ:
        need_rabbit()
    functions = [function_of(name, name, wanted, tmp_path / SEEN) for name, wanted in WANTED.items()]
    async with server(broker, tmp_path) as url, site(url, tmp_path, functions) as running:
        events = await published(broker, url, tmp_path)
        became = [await running.ran(event.name) for event in events]
    assert len({event.name for event in events}) == count
    for event, ran in zip(events, became, strict=True):
        assert_became(event, ran)
