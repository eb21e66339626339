"""Claims about which server of a NATS cluster we are connected to, and when another takes its place."""

import asyncio
import logging
import os
import random
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import nkeys  # type: ignore[import-untyped]
import pytest

from adapters import pauses
from adapters.base import BrokerUnavailable, Kind
from adapters.jetstream import broker as jetstream, pull
from adapters.jetstream.connection import Connection, connection
from adapters.jetstream.options import JetStreamOptions
from adapters.servers import nats as natsserver
from adapters.servers.nats import NatsServer
from adapters.servers.process import running
from tests.adapters.harness import until
from tests.adapters.jetstream.trio import address, connected, trio
from tests.patience import PATIENCE, within

pytestmark = pytest.mark.broker
OPTIONS = JetStreamOptions(silence=2)


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[list[NatsServer]]:
    async with trio(tmp_path) as running:
        yield running


async def lines(caplog: pytest.LogCaptureFixture, count: int) -> list[str]:
    """What is logged, once that is so much: a connection is there a moment before it is told."""

    async def there() -> bool:
        return len(caplog.records) >= count

    await until(there)
    return [record.getMessage() for record in caplog.records]


@contextmanager
def black_hole(host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """An address that answers nothing, not even that it is closed."""
    with ExitStack() as sockets:
        listener = sockets.enter_context(socket.socket())
        listener.bind((host, port))
        listener.listen(0)
        for _ in range(3):
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"{host}:{listener.getsockname()[1]}"


@pytest.mark.stricter
@pytest.mark.parametrize("fault", ["down", "frozen", "dropped"])
async def test_a_server_that_does_not_answer_does_not_hold_up_the_start(
    servers: list[NatsServer], fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The one that does not answer comes first.
    monkeypatch.setattr(random, "sample", lambda found, _: list(found))
    with black_hole() as hole:
        bad, *good = hole if fault == "dropped" else address(servers[0]), *map(address, servers[1:])
        if fault == "frozen":
            servers[0].freeze()
        elif fault == "down":
            await servers[0].kill()
        began = time.monotonic()
        async with connection(f"nats://{bad},{','.join(good)}", JetStreamOptions()) as link:
            assert time.monotonic() - began < within(5)
            await connected(link, *servers[1:])


@pytest.mark.parametrize("fault", ["frozen", "dropped"])
async def test_a_name_that_stands_for_several_addresses_is_reached_though_one_of_them_does_not_answer(
    tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    # As the resolver of a headless Service of Kubernetes, in an order that stays the same.
    hosts = {"nats.example": ["127.0.0.2", "127.0.0.1"]}

    async def resolve(host: str, port: int, **options: int) -> list[tuple[Any, ...]]:
        found = (socket.getaddrinfo(address, port, **options) for address in hosts.get(host, [host]))
        return [item for items in found for item in items]

    monkeypatch.setattr(loop, "getaddrinfo", resolve)
    async with natsserver.run(tmp_path / "good", store_bytes=0) as good, AsyncExitStack() as stack:
        if fault == "dropped":
            stack.enter_context(black_hole("127.0.0.2", good.port))
        else:
            bad = NatsServer(tmp_path / "bad", host="127.0.0.2", port=good.port, store_bytes=0)
            await stack.enter_async_context(running(bad))
            bad.freeze()
            stack.callback(bad.thaw)
        # The name stands for both in each round: within few of them the good one comes first.
        link = await stack.enter_async_context(
            connection(f"nats://nats.example:{good.port}", JetStreamOptions(connect_timeout=PATIENCE))
        )
        assert link.connected


@pytest.mark.parametrize("means", ["password", "token", "nkey"])
async def test_servers_that_the_cluster_tells_of_get_the_credentials_too(tmp_path: Path, means: str) -> None:
    key = nkeys.from_seed(nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER))
    (tmp_path / "seed").write_bytes(bytes(key.seed))
    users, login = {
        "password": ('{ user: "ours", password: "p@ss" }', "ours:p%40ss@"),
        "token": ('{ token: "t/1" }', "t%2F1@"),
        "nkey": (f'{{ users: [ {{ nkey: "{key.public_key.decode()}" }} ] }}', ""),
    }[means]
    options = JetStreamOptions(nkey=tmp_path / "seed" if means == "nkey" else None)
    async with (
        trio(tmp_path, extras=[f"authorization {users}"] * 3) as servers,
        connection(servers[0].url.replace("//", f"//{login}"), options) as link,
    ):
        await until_known(link, *servers)
        await servers[0].kill()
        await connected(link, *servers[1:])


async def until_known(link: Connection, *servers: NatsServer) -> None:
    async def known() -> bool:
        return link.addresses == {address(server) for server in servers}

    await until(known)


async def test_servers_that_have_left_the_cluster_are_forgotten_and_ours_are_not(servers: list[NatsServer]) -> None:
    async with connection(servers[0].url, OPTIONS) as link:
        await until_known(link, *servers)
        await servers[2].kill()
        await until_known(link, *servers[:2])
        await servers[0].kill()
        await connected(link, servers[1])
        await until_known(link, *servers[:2])


async def test_a_client_that_is_replaced_goes_on_at_servers_that_the_other_was_told_of(
    servers: list[NatsServer],
) -> None:
    async with connection(servers[0].url, OPTIONS) as link:
        await until_known(link, *servers)
        await servers[0].kill()
        await connected(link, *servers[1:])
        before = link._client
        await before.close()
        await connected(link, *servers[1:])
        assert link._client is not before


@pytest.mark.stricter
async def test_a_frozen_server_is_given_up_after_its_silence(
    servers: list[NatsServer], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "adapters")
    url = f"nats://{','.join(map(address, servers))}"
    async with connection(url, OPTIONS) as link:
        frozen = next(server for server in servers if address(server) == link.address)
        frozen.freeze()
        began = time.monotonic()
        await connected(link, *(server for server in servers if server is not frozen))
        assert time.monotonic() - began < within(OPTIONS.silence + 1)
        assert await lines(caplog, 2) == [
            f"lost the connection to NATS at {address(frozen)}: it says nothing any more",
            f"connected to NATS again, at {link.address}",
        ]


@pytest.mark.stricter
async def test_a_server_that_answers_no_request_and_says_nothing_else_is_given_up_soon(
    servers: list[NatsServer],
) -> None:
    options = JetStreamOptions(silence=60, publish_timeout=0.5)
    url = f"nats://{','.join(map(address, servers))}"
    async with connection(url, options) as link:
        frozen = next(server for server in servers if address(server) == link.address)
        frozen.freeze()
        began = time.monotonic()
        # What came before it froze may be read after the first request.
        while link.connected and link.address == address(frozen):
            with suppress(BrokerUnavailable):
                await link.request("$SYS.REQ.USER.INFO")
        await connected(link, *(server for server in servers if server is not frozen))
        assert time.monotonic() - began < within(8)


@pytest.mark.long
async def test_a_server_whose_heartbeats_to_a_subscription_stay_away_is_given_up_soon(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull, "SILENT_SECONDS", pull.HEARTBEAT_SECONDS + 0.5)
    options = JetStreamOptions(silence=4 * PATIENCE)
    async with jetstream.connect(server.url, options=options) as broker:
        await broker.declare()
        async with broker.subscribe(Kind.REQUESTS, prefetch=1), AsyncExitStack() as stack:
            server.freeze()
            stack.callback(server.thaw)

            async def lost() -> bool:
                return not broker.connected

            await until(lost)


async def test_a_pause_of_this_process_is_no_silence_of_the_server(servers: list[NatsServer]) -> None:
    options = JetStreamOptions(silence=0.5, publish_timeout=0.1)
    async with connection(servers[0].url, options) as link:
        for _ in range(2):
            asking = asyncio.create_task(link.request("$SYS.REQ.USER.INFO"))
            await asyncio.sleep(0)
            time.sleep(2 * options.silence)  # noqa: ASYNC251 - that is the pause
            assert b"server" in await asking
        await link.flush()
        assert link._client.stats["reconnects"] == 0


@pytest.mark.parametrize(
    "farewell",
    [
        b"",
        b"-ERR 'Authorization Violation'\r\n",
        pytest.param(b"-ERR 'maximum connections exceeded'\r\n", marks=pytest.mark.long),
    ],
)
async def test_who_is_let_in_and_thrown_out_at_once_comes_back_after_growing_pauses(
    farewell: bytes, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pauses, "SHORTEST_SECONDS", 0.2)
    caplog.set_level(logging.INFO, "adapters")
    logins: list[float] = []
    guests: list[asyncio.Task[None] | None] = []

    async def fickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        guests.append(asyncio.current_task())
        with suppress(OSError):
            writer.write(b'INFO {"server_id":"x","version":"2.15.1","max_payload":1048576}\r\n')
            async for line in reader:
                if line.startswith(b"PING"):
                    break
            logins.append(time.monotonic())
            writer.write(b"PONG\r\n")
            # What follows in the same packet would be the answer to the login.
            await asyncio.sleep(0.05)
            writer.write(farewell)
        writer.close()

    async def often() -> bool:
        return len(logins) >= 3

    listeners = [await asyncio.start_server(fickle, "127.0.0.1", 0) for _ in range(2)]
    url = "nats://" + ",".join(f"127.0.0.1:{listener.sockets[0].getsockname()[1]}" for listener in listeners)
    async with AsyncExitStack() as stack:
        for listener in listeners:
            stack.callback(listener.close)
        async with connection(url, OPTIONS):
            await until(often)
    await asyncio.wait(filter(None, guests))
    assert logins[2] - logins[0] > 0.1 + 0.2
    told = [record.getMessage().partition(" NATS")[0] for record in caplog.records]
    assert told[0] == "lost the connection to"
    assert all(before != after for before, after in pairwise(told))


async def test_an_outage_is_told_once_with_what_was_tried(
    servers: list[NatsServer], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "adapters")
    one = servers[0]
    await asyncio.gather(*(server.kill() for server in servers[1:]))
    async with connection(one.url, OPTIONS) as link:
        await until_known(link, one)
        await one.kill()

        async def tried() -> bool:
            return link._client._rounds >= 2

        await until(tried)
        with pytest.raises(BrokerUnavailable) as error:
            await link.request("anything")
        said = str(error.value)
        assert said.startswith(f"no connection to NATS: lost {address(one)}: ")
        assert said.endswith(f"; since then, {address(one)}: connection refused")
        await one.start()
        await connected(link, one)
        lost, again = await lines(caplog, 2)
    assert lost.startswith(f"lost the connection to NATS at {address(one)}: ")
    assert again == f"connected to NATS again, at {address(one)}"
