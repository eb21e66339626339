"""Claims about the nats-server of our own, and about choosing an adapter."""

import os
import sys
from pathlib import Path

import pytest

import adapters
from adapters import memory
from adapters.base import BrokerUnavailable, Kind
from adapters.connect import connect
from adapters.jetstream.options import JetStreamOptions
from adapters.servers import nats as natsserver
from adapters.servers.nats import NatsServer
from adapters.servers.process import ServerFailed
from tests.adapters.harness import REQUESTS, make_event, one, publish

pytestmark = pytest.mark.broker


def runs(pid: int | None) -> bool:
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_server_keeps_its_data_and_its_port_when_it_is_started_again(tmp_path: Path) -> None:
    server = NatsServer(tmp_path / "deep" / "er")
    await server.start()
    port, pid = server.port, server.pid
    async with connect(server.url) as broker:
        await broker.declare()
        await publish(broker, 1)
    await server.stop()
    assert not runs(pid)
    await server.start()
    assert server.port == port
    async with connect(server.url) as broker, broker.subscribe(Kind.REQUESTS, prefetch=1) as subscription:
        await one(subscription)
    await server.kill()
    await server.stop()


async def test_server_is_gone_after_the_block(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        async with natsserver.run(tmp_path) as server:
            pid = server.pid
            assert runs(pid)
            raise KeyError
    assert not runs(pid)


async def test_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(ServerFailed, match="nonsense"):
        async with natsserver.run(tmp_path, extra="nonsense: 1"):
            pass
    async with natsserver.run(tmp_path / "first") as first:
        with pytest.raises(ServerFailed, match="in use"):
            async with natsserver.run(tmp_path / "second", port=first.port):
                pass


async def test_memory_needs_no_server() -> None:
    async with connect("memory://") as broker, broker.subscribe(Kind.REQUESTS, prefetch=1) as subscription:
        assert broker.name == "memory"
        await broker.publish(REQUESTS, make_event())
        await one(subscription)


async def test_unknown_scheme_is_named() -> None:
    with pytest.raises(ValueError, match="kafka"):
        connect("kafka://somewhere", options=JetStreamOptions())


class Uninstalled:
    """Finds modules, but not the client library."""

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        if name == "nats":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


async def test_missing_client_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("nats", "adapters.jetstream"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(adapters, "jetstream", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Uninstalled(), *sys.meta_path])
    with pytest.raises(RuntimeError, match=r"jobrelay\[nats\]"):
        connect("nats://127.0.0.1:4222")


async def test_nothing_is_published_in_memory_after_the_block() -> None:
    async with memory.connect() as broker:
        await broker.publish(REQUESTS, make_event())
        async with broker.subscribe(Kind.REQUESTS, prefetch=1) as subscription:
            await (await one(subscription)).retry(60)
    with pytest.raises(BrokerUnavailable):
        await broker.publish(REQUESTS, make_event())
    with pytest.raises(BrokerUnavailable):
        await broker.check()
