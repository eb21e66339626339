"""Attacks by way of the brokers: headers of ours, headers of theirs, sizes, and dead letters without end."""

import asyncio
import json
import time

import pytest

from tests.chaos.table import Rows
from tests.e2e.site import NATS, RABBITMQ, Site
from tests.hostile.neighbour import Scene, attacked, peak_mib
from tests.patience import PATIENCE

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.broker]
EITHER = pytest.mark.parametrize("broker", [NATS, pytest.param(RABBITMQ, marks=pytest.mark.long)])
ONLY_RABBITMQ = pytest.mark.parametrize("broker", [pytest.param(RABBITMQ, marks=pytest.mark.long)])
MIB = 1 << 20


def at(seconds: float) -> str:
    """A value of `jobrelay-not-before`."""
    return str(int((time.time() + seconds) * 1000))


async def taken(scene: Scene) -> None:
    """Wait until no request waits in the broker."""
    async with asyncio.timeout(PATIENCE):
        while await scene.observer.waiting():
            await asyncio.sleep(0.1)


@EITHER
async def test_requests_and_commands_that_want_to_wait_hold_up_nobody(site: Site, rows: Rows) -> None:
    async with attacked(site, rows) as scene:
        size = "100 requests until 9999, 600 commands for an hour"
        async with scene.neighbour("jobrelay-not-before of others", size=size, seconds=2):
            for number in range(100):
                await scene.publish(b"{%d" % number, {"jobrelay-not-before": "253402300799000"})
            for _ in range(600):
                await scene.publish(b"{", {"jobrelay-not-before": at(3500)}, to="control")
            await scene.observer.command("cancel", "nobody")
        await taken(scene)
        assert len(await scene.observer.dead_letters()) >= 100, "none of the requests waits"


@pytest.mark.long
@pytest.mark.parametrize("broker", [NATS, RABBITMQ])
async def test_garbage_fills_the_store_of_dead_letters_and_stops_no_refusal(site: Site, rows: Rows) -> None:
    async with attacked(site, rows, nats_dead_bytes=MIB) as scene:
        async with scene.neighbour("garbage", size="20 messages of 200 kB; 1 MiB for dead letters", seconds=1):
            for _ in range(20):
                await scene.publish(b"{" + b"x" * 200_000)
            await taken(scene)
        letters = await scene.observer.dead_letters()
        if site.broker == NATS:
            assert sum(len(letter.body or b"") for letter in letters) <= MIB
        assert len(letters) == 20, "the rest is kept without its bytes"
        assert peak_mib(scene.handler) < 200


@ONLY_RABBITMQ
async def test_a_message_that_names_other_queues_does_not_multiply(site: Site, rows: Rows) -> None:
    async with attacked(site, rows) as scene:
        async with scene.neighbour("CC", size="20 messages that wait for a second", seconds=5):
            for _ in range(20):
                headers = {"jobrelay-not-before": at(2), "CC": ["high", "low"]}
                await scene.publish(b"{", headers)  # type: ignore[arg-type]
        await taken(scene)
        assert len(await scene.observer.dead_letters()) <= 60


@ONLY_RABBITMQ
async def test_messages_of_16_mib_are_refused_within_the_memory_of_a_handler(site: Site, rows: Rows) -> None:
    async with attacked(site, rows) as scene:
        async with scene.neighbour("huge ids", size="16 ids of 16 MiB", seconds=5):
            for number in range(16):
                request = scene.request(str(number)) | {"source": scene.observer.source}
                request["data"]["id"] = "x" * (16 * MIB - 4096)
                await scene.publish(json.dumps(request).encode())
            await taken(scene)
        assert peak_mib(scene.handler) < 768
