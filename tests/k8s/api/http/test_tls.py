"""Whom a pool trusts, and who it is."""

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from tests.k8s.api.http.scripted import Line, Scripted, answer_all, ask, pooled, scripted


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def server_context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    authority.configure_trust(context)
    return context


@asynccontextmanager
async def secured(authority: trustme.CA, *names: str) -> AsyncIterator[Scripted]:
    async with scripted(answer_all, tls=server_context(authority, *names)) as server:
        yield server


async def test_requests_over_tls_share_connections_and_leave_nothing_open(authority: trustme.CA) -> None:
    async with secured(authority, "127.0.0.1") as server:
        async with pooled(server.port, tls=trusting(authority)) as pool:
            assert [*await asyncio.gather(ask(pool), ask(pool))] == [b"0", b"1"]
            assert await ask(pool) == b"1"
            assert await ask(pool, "POST", body=bytes(2**20)) == b"1"
        await server.ended(2)
        gc.collect()  # What is still open would warn now.


async def test_a_server_of_another_name_is_told_from_ours(authority: trustme.CA) -> None:
    async with secured(authority, "other.example") as server, pooled(server.port, tls=trusting(authority)) as pool:
        with pytest.raises(ConnectionError, match=rf"cannot connect to 127\.0\.0\.1:{server.port}: .*'127\.0\.0\.1'"):
            await ask(pool)
        assert not pool._open


async def test_the_name_that_a_server_shows_can_be_given(authority: trustme.CA) -> None:
    async with (
        secured(authority, "other.example") as server,
        pooled(server.port, tls=trusting(authority), server_name="other.example") as pool,
    ):
        assert await ask(pool) == b"0"


async def test_a_server_of_another_authority_is_not_trusted(authority: trustme.CA) -> None:
    async with secured(trustme.CA(), "127.0.0.1") as server, pooled(server.port, tls=trusting(authority)) as pool:
        with pytest.raises(ConnectionError, match="certificate verify failed: "):
            await ask(pool)


async def test_plain_http_to_a_tls_server_and_the_other_way_round_are_errors(authority: trustme.CA) -> None:
    async with secured(authority, "127.0.0.1") as server, pooled(server.port) as pool:
        with pytest.raises(OSError, match=r"the answer is no HTTP: |the connection ended"):
            await ask(pool)

    async def wonder(line: Line) -> None:
        await line.reader.read(1)
        await line.say(b"HTTP/1.0 400 Bad Request\r\n\r\n")

    async with scripted(wonder) as server, pooled(server.port, tls=trusting(authority)) as pool:
        with pytest.raises(ConnectionError, match=r"cannot connect to .*SSL"):
            await ask(pool)


async def test_new_connections_show_the_new_client_certificate(authority: trustme.CA, tmp_path: Path) -> None:
    async def tell(line: Line) -> None:
        certificate = line.writer.get_extra_info("peercert")
        name = dict(certificate["subjectAltName"])["DNS"].encode()
        while await line.request():
            await line.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(name), name))

    wanting = server_context(authority, "127.0.0.1")
    wanting.verify_mode = ssl.CERT_REQUIRED
    ours = trusting(authority)
    load(ours, authority, "old.example", tmp_path)
    async with scripted(tell, tls=wanting) as server, pooled(server.port, tls=ours) as pool:
        assert await ask(pool) == b"old.example"
        load(ours, authority, "new.example", tmp_path)
        assert [*await asyncio.gather(ask(pool), ask(pool))] == [b"old.example", b"new.example"]


def load(context: ssl.SSLContext, authority: trustme.CA, name: str, directory: Path) -> None:
    file = directory / "client.pem"
    authority.issue_cert(name).private_key_and_cert_chain_pem.write_to_path(str(file))
    context.load_cert_chain(file)


async def test_stopping_during_the_handshake_leaves_nothing_open(authority: trustme.CA) -> None:
    async with (
        secured(authority, "127.0.0.1") as server,
        pooled(server.port, tls=trusting(authority)) as pool,
    ):
        for turns in range(30):
            task = asyncio.create_task(ask(pool, "POST"))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert not pool._open - set(pool._idle)
        await asyncio.sleep(0.05)
        gc.collect()
