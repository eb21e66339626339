"""Claims about who may do what on NATS, and about TLS."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import nkeys  # type: ignore[import-untyped]
import pytest
import trustme

from adapters.base import Broker, BrokerUnavailable, Kind, Topic, TopicRefused, TopologyDrift
from adapters.connect import connect
from adapters.descriptor import Permissions
from adapters.jetstream import broker as jetstream
from adapters.jetstream.connection import connection
from adapters.jetstream.descriptor import ADAPTER
from adapters.jetstream.message import Message
from adapters.jetstream.options import JetStreamOptions
from adapters.servers import nats as natsserver
from adapters.servers.nats import NatsServer
from tests.adapters.harness import REQUESTS, can_only_read, can_operate, make_event, publish, use_everything
from tests.patience import PATIENCE, within

pytestmark = pytest.mark.broker
QUICK = JetStreamOptions(connect_timeout=PATIENCE, publish_timeout=1)
PATIENT = JetStreamOptions(connect_timeout=20, publish_timeout=20)
USERS = """
authorization { users: [
  { user: "ours", password: "pw", permissions: { publish: { deny: ["Secret.>"] } } }
] }
"""


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with natsserver.run(tmp_path, extra=USERS) as server:
        yield server


@pytest.mark.stricter
async def test_forbidden_topic_is_refused_without_waiting(guarded: NatsServer) -> None:
    url = guarded.url.replace("//", "//ours:pw@")
    async with jetstream.connect(url, options=PATIENT) as broker:
        await broker.declare()
        began = time.monotonic()
        with pytest.raises(TopicRefused, match=r"(?i)permissions"):
            await broker.publish(Topic(Kind.REPLY, "Secret.topic"), make_event())
        assert time.monotonic() - began < within(5)
        await publish(broker, 1)


async def test_documented_permissions_are_enough_for_everything(tmp_path: Path) -> None:
    allowed = json.dumps({verb: list(patterns) for verb, patterns in ADAPTER.permissions("team-a").items()})
    users = f'authorization {{ users: [ {{ user: "ours", password: "pw", permissions: {allowed} }} ] }}'
    async with (
        natsserver.run(tmp_path, extra=users) as server,
        jetstream.connect(server.url.replace("//", "//ours:pw@"), instance="team-a", options=PATIENT) as broker,
    ):
        await use_everything(broker)
        with pytest.raises(TopicRefused, match=r"(?i)permissions"):
            await broker.publish(Topic(Kind.REPLY, "another.topic"), make_event())


@pytest.mark.parametrize(("allowed", "only"), [(ADAPTER.reading, can_only_read), (ADAPTER.operating, can_operate)])
async def test_documented_permissions_of_who_reads_or_operates_are_enough_for_that_and_for_nothing_else(
    tmp_path: Path, allowed: Permissions, only: Callable[[Broker, Broker], Awaitable[None]]
) -> None:
    permissions = json.dumps({verb: list(patterns) for verb, patterns in allowed("team-a").items()})
    other = f'{{ user: "other", password: "pw", permissions: {permissions} }}'
    users = f'authorization {{ users: [ {{ user: "owner", password: "pw" }}, {other} ] }}'
    async with natsserver.run(tmp_path, extra=users) as server:
        urls = [server.url.replace("//", f"//{user}:pw@") for user in ("owner", "other")]
        async with (
            jetstream.connect(urls[0], instance="team-a", options=PATIENT) as owner,
            jetstream.connect(urls[1], instance="team-a", options=QUICK) as user,
        ):
            await owner.declare()
            await only(user, owner)


async def test_user_who_may_neither_create_nor_list_can_check(tmp_path: Path) -> None:
    may = ["$JS.API.INFO", "$JS.API.STREAM.INFO.>", "$JS.API.CONSUMER.INFO.>"]
    permissions = json.dumps({"publish": may, "subscribe": ["_INBOX.>"]})
    reader = f'{{ user: "reader", password: "pw", permissions: {permissions} }}'
    users = f'authorization {{ users: [ {{ user: "owner", password: "pw" }}, {reader} ] }}'
    async with natsserver.run(tmp_path, extra=users) as server:
        urls = [server.url.replace("//", f"//{user}:pw@") for user in ("owner", "reader")]
        async with jetstream.connect(urls[0], options=PATIENT) as owner, jetstream.connect(urls[1]) as user:
            with pytest.raises(BrokerUnavailable, match=r"on the broker: stream JOBRELAY_REQUESTS, .*JOBRELAY_DEAD$"):
                await user.check()
            await owner.declare()
            await user.check()
            async with connection(urls[0], PATIENT) as link:
                await link.api("CONSUMER.PAUSE.JOBRELAY_REQUESTS.jobrelay-low", {"pause_until": "2999-01-01T00:00:00Z"})
            with pytest.raises(TopologyDrift, match="jobrelay-low of JOBRELAY_REQUESTS is paused"):
                await user.check()


@pytest.mark.stricter
async def test_wrong_password_is_reported_soon_and_not_shown(guarded: NatsServer) -> None:
    began = time.monotonic()
    with pytest.raises(BrokerUnavailable, match=r"(?i)authorization") as error:
        async with jetstream.connect(guarded.url.replace("//", "//ours:hunter2@"), options=PATIENT):
            pass
    assert "hunter2" not in str(error.value)
    assert time.monotonic() - began < within(5)


async def test_topic_with_a_subscriber_but_without_a_stream_is_refused(server: NatsServer) -> None:
    async with jetstream.connect(server.url, options=QUICK) as broker, connection(server.url, QUICK) as link:
        await link.interest("plain", lambda message: None)
        await link.flush()
        with pytest.raises(TopicRefused, match="no stream"):
            await broker.publish(Topic(Kind.REPLY, "plain.topic"), make_event())


async def test_topic_that_something_other_than_a_stream_answers_is_refused(server: NatsServer) -> None:
    # Time enough for any answer: silence would be refused for another reason.
    options = JetStreamOptions(publish_timeout=30)
    async with jetstream.connect(server.url, options=options) as broker, connection(server.url, options) as link:
        for answer in (b"ok", b"[]", b'{"error":"no"}', b'{"error":{"code":400}}', b""):

            def reply(message: Message, answer: bytes = answer) -> None:
                link.send(message.reply, answer)

            interest = await link.interest("chatty", reply)
            await link.flush()
            with pytest.raises(TopicRefused, match="not by a stream"):
                await broker.publish(Topic(Kind.REPLY, "chatty.topic"), make_event())
            await link.unsubscribe(interest)


@pytest.mark.parametrize(
    ("code", "number", "final"),
    [
        *[(400, 10109, True), (400, 10097, True)],  # Sealed; a header too long.
        *[(400, 10002, False), (503, 10077, False)],  # The account is full; the stream is.
        *[(409, 10158, False), (429, 10167, False)],  # The same message is being stored; too many at once.
        (503, 10008, False),  # No leader.
    ],
)
async def test_error_of_a_stream_is_final_unless_it_passes(
    server: NatsServer, code: int, number: int, *, final: bool
) -> None:
    async with jetstream.connect(server.url, options=PATIENT) as broker, connection(server.url, PATIENT) as link:
        error = {"code": code, "err_code": number, "description": "why"}

        def reply(message: Message) -> None:
            link.send(message.reply, json.dumps({"error": error, "stream": "ANY"}).encode())

        await link.interest("chatty", reply)
        await link.flush()
        with pytest.raises(TopicRefused if final else BrokerUnavailable, match=f"error {number}"):
            await broker.publish(Topic(Kind.REPLY, "chatty.topic"), make_event())


async def test_key_of_a_user_is_accepted_and_other_keys_are_not(tmp_path: Path) -> None:
    ours, other = (nkeys.from_seed(nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)) for _ in range(2))
    for name, key in (("ours", ours), ("other", other)):
        (tmp_path / name).write_bytes(bytes(key.seed))
    users = f'authorization {{ users: [ {{ nkey: "{ours.public_key.decode()}" }} ] }}'
    (tmp_path / "garbage").write_text("garbage")
    async with natsserver.run(tmp_path / "nats", extra=users) as server:
        async with jetstream.connect(server.url, options=JetStreamOptions(nkey=tmp_path / "ours")) as broker:
            await broker.declare()
        for name in ("other", "garbage", "missing"):
            with pytest.raises(BrokerUnavailable):
                async with jetstream.connect(
                    server.url, options=JetStreamOptions(nkey=tmp_path / name, connect_timeout=2)
                ):
                    pass
        with pytest.raises(BrokerUnavailable):
            async with jetstream.connect(server.url, options=JetStreamOptions(creds=tmp_path / "garbage")):
                pass


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def encrypted(tmp_path: Path, authority: trustme.CA) -> AsyncIterator[NatsServer]:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    authority.issue_cert("client@example.com").private_key_and_cert_chain_pem.write_to_path(tmp_path / "client.pem")
    tls = 'tls {{ cert_file: "{0}/server.pem", key_file: "{0}/server.pem", ca_file: "{0}/ca.pem", verify: true }}'
    async with natsserver.run(tmp_path / "nats", extra=tls.format(tmp_path)) as server:
        yield server


async def test_both_sides_show_certificates(encrypted: NatsServer, tmp_path: Path) -> None:
    options = JetStreamOptions(
        tls_ca=tmp_path / "ca.pem",
        tls_cert=tmp_path / "client.pem",
        tls_key=tmp_path / "client.pem",
        connect_timeout=PATIENCE,
    )
    async with connect(encrypted.url.replace("nats://", "tls://"), options=options) as broker:
        await broker.declare()
        await broker.publish(REQUESTS, make_event())


async def test_unknown_authority_is_not_trusted(encrypted: NatsServer, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    options = JetStreamOptions(tls_ca=tmp_path / "other.pem", connect_timeout=20)
    with pytest.raises(BrokerUnavailable, match=r"(?i)certificate"):
        async with connect(encrypted.url.replace("nats://", "tls://"), options=options):
            pass


async def test_server_without_tls_gets_nothing_where_tls_was_asked_for() -> None:
    heard = b""

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal heard
        writer.write(b'INFO {"server_id":"x","version":"2.15.1","max_payload":1048576}\r\n')
        heard += await reader.read(1000)
        writer.close()

    listener = await asyncio.start_server(plain, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with listener:
        with pytest.raises(BrokerUnavailable):
            async with connect(f"tls://user:secret@127.0.0.1:{port}", options=JetStreamOptions(connect_timeout=1)):
                pass
    assert heard == b""
