"""Claims about the RabbitMQ node of our own, and about choosing its adapter."""

import os
import sys
from pathlib import Path

import pytest

import adapters
from adapters.base import Kind
from adapters.connect import connect
from adapters.servers import rabbitmq as rabbitmqserver
from adapters.servers.process import ServerFailed
from adapters.servers.rabbitmq import RabbitServer
from tests.adapters.conftest import need_rabbit
from tests.adapters.harness import one, publish

pytestmark = pytest.mark.broker


@pytest.fixture(autouse=True)
def installed() -> None:
    need_rabbit()


def runs(pid: int | None) -> bool:
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.asyncio(loop_scope="session")
async def test_node_keeps_its_data_and_its_port_when_it_is_started_again(breakable: RabbitServer) -> None:
    server = breakable
    port, pid = server.port, server.pid
    async with connect(server.url) as broker:
        await broker.declare()
        await publish(broker, 1)
    await server.stop()
    assert not runs(pid)
    await server.start()
    assert server.port == port
    with pytest.raises(ServerFailed, match="no_such_command"):
        await server.ctl("no_such_command")
    async with connect(server.url) as broker, broker.subscribe(Kind.REQUESTS, prefetch=1) as subscription:
        await one(subscription)


async def test_node_that_does_not_start_says_why_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ServerFailed, match="nonsense"):
        async with rabbitmqserver.run(tmp_path / "deep" / "er", extra="nonsense = 1"):
            pass


async def test_missing_programs_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(rabbitmqserver, "_PLACES", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerFailed, match="rabbitmq-server"):
        await RabbitServer(tmp_path / "node").start()


class Uninstalled:
    """Finds modules, but not the client library."""

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        if name == "aiormq":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


async def test_missing_client_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("aiormq", "adapters.rabbitmq"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(adapters, "rabbitmq", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Uninstalled(), *sys.meta_path])
    for scheme in ("amqp", "amqps"):
        with pytest.raises(RuntimeError, match=r"jobrelay\[rabbitmq\]"):
            connect(f"{scheme}://127.0.0.1")
