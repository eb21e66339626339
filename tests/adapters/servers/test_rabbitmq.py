"""Claims about running our own RabbitMQ node."""

from pathlib import Path

import pytest

from adapters.base import BrokerUnavailable, Kind
from adapters.connect import connect
from adapters.servers import rabbitmq as rabbitmqserver, release
from adapters.servers.login import login_in
from adapters.servers.process import ServerFailed, running
from adapters.servers.rabbitmq import RabbitServer
from tests.adapters.brokers import RABBIT
from tests.adapters.conftest import need_rabbit
from tests.adapters.harness import next_delivery, publish
from tests.adapters.servers.pids import runs

pytestmark = pytest.mark.broker


@pytest.fixture(autouse=True)
def installed() -> None:
    need_rabbit()


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
        await next_delivery(subscription)


async def test_node_that_does_not_start_says_why_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ServerFailed, match="nonsense"):
        async with rabbitmqserver.run(tmp_path / "deep" / "er", extra="nonsense = 1"):
            pass


async def test_missing_programs_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(release, "_PLACES", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerFailed, match="rabbitmq-server"):
        await RabbitServer(tmp_path / "node").start()


def test_programs_of_a_release_that_is_named_are_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "home" / "sbin" / "rabbitmqctl"
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    monkeypatch.setenv("RABBITMQ_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ERLANG_HOME", str(tmp_path / "erlang"))
    assert release.chosen().program("rabbitmqctl") == str(program)
    assert release.chosen().path.startswith(f"{tmp_path / 'erlang' / 'bin'}:")
    with pytest.raises(ServerFailed, match="RABBITMQ_HOME"):
        release.chosen().program("rabbitmq-server")
    assert release.Release().program("rabbitmqctl") != str(program)


@pytest.mark.long
async def test_only_who_knows_the_login_can_talk_to_a_node_that_others_could_talk_to_before(tmp_path: Path) -> None:
    async with rabbitmqserver.run(tmp_path) as before, connect(before.url, options=RABBIT) as broker:
        await broker.declare()
    login = login_in(tmp_path, user="jobrelay")
    async with running(RabbitServer(tmp_path, login=login)) as server:
        async with connect(server.url, options=RABBIT) as broker:
            await broker.check()
        for stranger in ("guest:guest@", "jobrelay:wrong@"):
            with pytest.raises(BrokerUnavailable, match="ACCESS_REFUSED"):
                async with connect(f"amqp://{stranger}127.0.0.1:{server.port}", options=RABBIT):
                    pass
    assert (tmp_path / "definitions.json").stat().st_mode & 0o077 == 0
