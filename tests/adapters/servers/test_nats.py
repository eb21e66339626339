"""Claims about running our own nats-server."""

from pathlib import Path

import pytest

from adapters.base import BrokerUnavailable, Kind
from adapters.connect import connect
from adapters.servers import nats as natsserver
from adapters.servers.login import login_in
from adapters.servers.nats import NatsServer
from adapters.servers.process import ServerFailed
from tests.adapters.harness import next_delivery, publish
from tests.adapters.servers.pids import runs

pytestmark = pytest.mark.broker


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
        await next_delivery(subscription)
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


async def test_only_who_knows_the_login_of_the_directory_can_talk_to_it(tmp_path: Path) -> None:
    login = login_in(tmp_path, user="jobrelay")
    assert login_in(tmp_path, user="jobrelay") == login, "it is stable"
    assert login_in(tmp_path / "other", user="jobrelay").password != login.password
    server = NatsServer(tmp_path, login=login)
    command = server.prepare()[0].command
    await server.start()
    try:
        async with connect(server.url) as broker:
            await broker.declare()
        for stranger in ("", "jobrelay:wrong@"):
            with pytest.raises(BrokerUnavailable):
                async with connect(f"nats://{stranger}127.0.0.1:{server.port}"):
                    pass
    finally:
        await server.stop()
    assert not any(login.password in part for part in command)
    for file in tmp_path.rglob("*"):  # noqa: ASYNC240 - a test may block
        if file.is_file() and login.password.encode() in file.read_bytes():
            assert file.stat().st_mode & 0o077 == 0, file
