"""Claims about the wrapper for events that are no CloudEvents: run as the page shows it, with its permissions."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from adapters.base import Kind
from adapters.jetstream import broker as jetstream
from adapters.jetstream.connection import Connection, connection
from adapters.servers import nats as natsserver
from tests.adapters.brokers import OPTIONS
from tests.adapters.forwarding.shown import block
from tests.adapters.harness import next_delivery, nothing_comes, until

pytestmark = pytest.mark.broker
STREAM = {"name": "MINIO", "subjects": ["minio.events"], "storage": "file"}


def stored(sequencer: str) -> bytes:
    """What MinIO says of an object that was stored; fields that do not matter here are left out."""
    thing = {"key": "2026%2Fcat+%26+d%C3%B6g.jpg", "size": 42, "sequencer": sequencer}
    record = {"eventName": "s3:ObjectCreated:Put", "s3": {"bucket": {"name": "images"}, "object": thing}}
    return json.dumps({"EventName": "s3:ObjectCreated:Put", "Records": [record]}).encode()


@asynccontextmanager
async def wrapper(url: str) -> AsyncIterator[None]:
    """The program of the page, killed after the block."""
    program = block("python", "jetstream.publish")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, env=os.environ | {"NATS_URL": url}, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield
        assert process.returncode is None, await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def settled(link: Connection) -> bool:
    """Whether the wrapper has acknowledged all that MinIO has published."""
    found = await link.api("CONSUMER.INFO.MINIO.to-jobrelay")
    return int(found["num_pending"]) == 0 and int(found["num_ack_pending"]) == 0


async def test_event_gets_an_id_that_a_redelivery_has_too(tmp_path: Path) -> None:
    async with natsserver.run(tmp_path, extra=block("conf", "authorization")) as server:
        ours, theirs = (server.url.replace("//", f"//{user}:pw@") for user in ("jobrelay", "wrapper"))
        async with (
            connection(ours, OPTIONS) as minio,
            jetstream.connect(ours, options=OPTIONS) as broker,
            broker.subscribe(Kind.REQUESTS, prefetch=20) as subscription,
        ):
            await broker.declare()
            await minio.api("STREAM.CREATE.MINIO", STREAM)
            async with wrapper(theirs):
                await minio.store("minio.events", stored("17A"), {})
                delivery = await next_delivery(subscription)
                event = delivery.event()
                assert (event.get_type(), event.get_source()) == ("io.min.s3:ObjectCreated:Put", "/minio/images")
                assert event.get_id() == "2026%2Fcat+%26+d%C3%B6g.jpg/17A"
                assert delivery.body == stored("17A")
                await delivery.ack()
                await minio.store("minio.events", stored("17A"), {})
                await until(lambda: settled(minio))
                assert await nothing_comes(subscription)
            async with wrapper(theirs):
                await minio.store("minio.events", stored("17B"), {})
                assert (await next_delivery(subscription)).event().get_id() == "2026%2Fcat+%26+d%C3%B6g.jpg/17B"
                assert await nothing_comes(subscription)
