"""Claims about streams and consumers: which there are, that missing ones are created and none is ever changed."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from adapters.base import BrokerUnavailable, Kind, Topic, TopologyDrift
from adapters.jetstream import broker as jetstream
from adapters.jetstream.connection import Connection, connection
from adapters.jetstream.options import JetStreamOptions
from adapters.jetstream.topology import StreamNames, collide
from adapters.servers import nats as natsserver
from adapters.servers.nats import NatsServer
from tests.adapters.harness import CONTROL, HIGH, REQUESTS, ids, make_event, publish, take

pytestmark = pytest.mark.broker
SECOND = 1_000_000_000
SMALL = JetStreamOptions(requests_max_bytes=1 << 20)


@pytest.fixture
async def link(server: NatsServer) -> AsyncIterator[Connection]:
    async with connection(server.url, JetStreamOptions()) as opened:
        yield opened


async def config(link: Connection, call: str) -> dict[str, Any]:
    found: dict[str, Any] = (await link.api(call))["config"]
    return found


async def declare(server: NatsServer, instance: str = "jobrelay", options: JetStreamOptions | None = None) -> None:
    async with jetstream.connect(server.url, instance=instance, options=options) as broker:
        await broker.declare()
        await broker.check()


async def test_streams_are_those_of_the_stored_format(server: NatsServer, link: Connection) -> None:
    await declare(server)
    requests = await config(link, "STREAM.INFO.JOBRELAY_REQUESTS")
    assert requests["subjects"] == ["jobrelay.requests", "jobrelay.requests.high", "jobrelay.requests.low"]
    assert (requests["retention"], requests["discard"], requests["storage"]) == ("workqueue", "new", "file")
    assert (requests["max_bytes"], requests["max_msg_size"]) == (1 << 30, (1 << 20) - (16 << 10))
    assert (requests["duplicate_window"], requests["num_replicas"]) == (600 * SECOND, 1)
    control = await config(link, "STREAM.INFO.JOBRELAY_CONTROL")
    assert (control["subjects"], control["retention"]) == (["jobrelay.control"], "workqueue")
    lifecycle = await config(link, "STREAM.INFO.JOBRELAY_LIFECYCLE")
    assert (lifecycle["subjects"], lifecycle["retention"]) == (["jobrelay.lifecycle.>"], "limits")
    assert (lifecycle["max_age"], lifecycle["duplicate_window"]) == (7 * 86400 * SECOND, 600 * SECOND)
    dead = await config(link, "STREAM.INFO.JOBRELAY_DEAD")
    assert (dead["subjects"], dead["max_age"]) == (["jobrelay.dead.>"], 30 * 86400 * SECOND)
    assert (lifecycle["discard"], lifecycle["max_bytes"]) == ("old", 1 << 30)
    assert (dead["discard"], dead["max_bytes"]) == ("new", 256 << 20)


@pytest.mark.parametrize(
    ("stream", "consumer", "subject"),
    [
        ("REQUESTS", "jobrelay-high", "jobrelay.requests.high"),
        ("REQUESTS", "jobrelay-normal", "jobrelay.requests"),
        ("REQUESTS", "jobrelay-low", "jobrelay.requests.low"),
        ("CONTROL", "jobrelay-control", "jobrelay.control"),
    ],
)
async def test_consumers_are_those_of_the_stored_format(
    server: NatsServer, link: Connection, stream: str, consumer: str, subject: str
) -> None:
    await declare(server)
    found = await config(link, f"CONSUMER.INFO.JOBRELAY_{stream}.{consumer}")
    assert found["filter_subject"] == subject
    assert (found["ack_policy"], found["ack_wait"]) == ("explicit", 8 * SECOND)
    assert (found["max_deliver"], found["max_ack_pending"]) == (-1, -1)
    assert "backoff" not in found


async def test_many_may_declare_at_once(server: NatsServer) -> None:
    await asyncio.gather(*(declare(server) for _ in range(5)))


async def test_missing_streams_and_consumers_are_named(server: NatsServer, link: Connection) -> None:
    async with jetstream.connect(server.url) as broker:
        with pytest.raises(BrokerUnavailable, match=r"JOBRELAY_REQUESTS.*JOBRELAY_CONTROL.*LIFECYCLE.*DEAD"):
            await broker.check()
        await broker.declare()
        await link.api("CONSUMER.DELETE.JOBRELAY_REQUESTS.jobrelay-low")
        with pytest.raises(BrokerUnavailable, match="jobrelay-low"):
            await broker.check()
        await broker.declare()
        await broker.check()


async def test_drift_is_reported_with_both_values_and_left_alone(server: NatsServer, link: Connection) -> None:
    await declare(server)
    theirs = await config(link, "STREAM.INFO.JOBRELAY_LIFECYCLE") | {"max_age": 5 * SECOND, "duplicate_window": SECOND}
    await link.api("STREAM.UPDATE.JOBRELAY_LIFECYCLE", theirs)
    consumer = await config(link, "CONSUMER.INFO.JOBRELAY_REQUESTS.jobrelay-high") | {
        "ack_wait": 3 * SECOND,
        "max_deliver": 7,
    }
    request = {"stream_name": "JOBRELAY_REQUESTS", "config": consumer}
    await link.api("CONSUMER.CREATE.JOBRELAY_REQUESTS.jobrelay-high.jobrelay.requests.high", request)
    await link.api("STREAM.DELETE.JOBRELAY_DEAD")
    async with jetstream.connect(server.url) as broker:
        with pytest.raises(TopologyDrift) as drift:
            await broker.declare()
        # What was missing was still created.
        assert await config(link, "STREAM.INFO.JOBRELAY_DEAD")
        with pytest.raises(TopologyDrift):
            await broker.check()
    for text in (
        "stream JOBRELAY_LIFECYCLE: max_age is 5000000000, not 604800000000000",
        "consumer jobrelay-high of JOBRELAY_REQUESTS: ack_wait is 3000000000, not 8000000000",
        "max_deliver is 7, not -1",
    ):
        assert text in str(drift.value)
    assert (await config(link, "STREAM.INFO.JOBRELAY_LIFECYCLE"))["max_age"] == 5 * SECOND
    assert (await config(link, "CONSUMER.INFO.JOBRELAY_REQUESTS.jobrelay-high"))["max_deliver"] == 7


async def test_consumers_of_earlier_versions_are_no_drift_and_their_owner_has_them_wait_for_less(
    server: NatsServer, link: Connection
) -> None:
    await declare(server)
    former = await config(link, "CONSUMER.INFO.JOBRELAY_REQUESTS.jobrelay-high") | {"ack_wait": 30 * SECOND}
    request = {"stream_name": "JOBRELAY_REQUESTS", "config": former}
    await link.api("CONSUMER.CREATE.JOBRELAY_REQUESTS.jobrelay-high.jobrelay.requests.high", request)
    async with jetstream.connect(server.url) as broker:
        await broker.check()
        assert await config(link, "CONSUMER.INFO.JOBRELAY_REQUESTS.jobrelay-high") == former
        await broker.declare()
    changed = await config(link, "CONSUMER.INFO.JOBRELAY_REQUESTS.jobrelay-high")
    assert changed == former | {"ack_wait": 8 * SECOND}


async def test_stream_that_stores_our_subjects_already_is_named_and_all_else_is_created(
    server: NatsServer, link: Connection
) -> None:
    theirs = {"name": "EVERYTHING", "subjects": ["jobrelay.requests", "jobrelay.requests.*", "other"]}
    await link.api("STREAM.CREATE.EVERYTHING", theirs)
    named = r"stream EVERYTHING stores jobrelay\.requests, jobrelay\.requests\.\*"
    async with jetstream.connect(server.url) as broker:
        with pytest.raises(BrokerUnavailable, match=rf"on the broker: stream JOBRELAY_REQUESTS \({named}\), stream J"):
            await broker.check()
        with pytest.raises(BrokerUnavailable, match=rf"REQUESTS cannot be created: {named}; .* JOBRELAY_INSTANCE"):
            await broker.declare()
        with pytest.raises(BrokerUnavailable, match=rf"JOBRELAY_REQUESTS \({named}\)$"):
            await broker.check()
        await link.api("STREAM.DELETE.EVERYTHING")
        await broker.declare()
        await broker.check()


async def test_subject_that_our_stream_lacks_is_named_with_the_stream_that_has_it(
    server: NatsServer, link: Connection
) -> None:
    await declare(server)
    mine = await config(link, "STREAM.INFO.JOBRELAY_CONTROL")
    await link.api("STREAM.UPDATE.JOBRELAY_CONTROL", mine | {"subjects": ["jobrelay.controls"]})
    async with jetstream.connect(server.url) as broker:
        lacking = r"stream JOBRELAY_CONTROL: subjects is \['jobrelay.controls'\], not \['jobrelay.control'\]"
        with pytest.raises(TopologyDrift, match=f"{lacking}$"):
            await broker.check()
        await link.api("STREAM.CREATE.THEIRS", {"name": "THEIRS", "subjects": ["jobrelay.control"]})
        for call in (broker.check, broker.declare):
            with pytest.raises(TopologyDrift, match=rf"{lacking}; stream THEIRS stores jobrelay\.control; "):
                await call()


async def test_consumer_that_takes_ours_is_named(server: NatsServer, link: Connection) -> None:
    await declare(server)
    await link.api("CONSUMER.DELETE.JOBRELAY_REQUESTS.jobrelay-high")
    theirs = {"name": "theirs", "durable_name": "theirs", "ack_policy": "explicit"}
    theirs["filter_subject"] = "jobrelay.requests.high"
    request = {"stream_name": "JOBRELAY_REQUESTS", "config": theirs}
    await link.api("CONSUMER.CREATE.JOBRELAY_REQUESTS.theirs.jobrelay.requests.high", request)
    async with jetstream.connect(server.url) as broker:
        for call in (broker.check, broker.declare):
            with pytest.raises(
                BrokerUnavailable, match=r"jobrelay-high of JOBRELAY_REQUESTS.*consumer theirs takes jobrelay"
            ):
                await call()


async def test_paused_consumer_is_reported_until_it_is_resumed_and_holds_up_no_other_lane(
    server: NatsServer, link: Connection
) -> None:
    await declare(server)
    pause = "CONSUMER.PAUSE.JOBRELAY_REQUESTS.jobrelay-high"
    await link.api(pause, {"pause_until": "2999-01-01T00:00:00Z"})
    said = r"consumer jobrelay-high of JOBRELAY_REQUESTS is paused until 2999-01-01T00:00:00Z .*nats consumer resume"
    async with jetstream.connect(server.url) as broker, broker.subscribe(Kind.REQUESTS, prefetch=3) as subscription:
        for call in (broker.check, broker.declare):
            with pytest.raises(TopologyDrift, match=said):
                await call()
        await publish(broker, 1, HIGH, prefix="paused")
        await publish(broker, 1)
        assert ids(await take(subscription, 1)) == ["m0"]
        await link.api(pause, {})
        await broker.declare()
        await broker.check()
        assert ids(await take(subscription, 1)) == ["paused0"]


async def test_what_is_declared_anew_is_a_warning_with_its_name_and_is_counted(
    server: NatsServer, link: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with jetstream.connect(server.url) as broker, jetstream.connect(server.url) as other:
        await broker.declare()
        await other.declare()
        assert (warnings(caplog), broker.mishaps.redeclared) == ([], 0)
        assert "created stream JOBRELAY_DEAD" in caplog.messages
        await link.api("STREAM.DELETE.JOBRELAY_CONTROL")
        await link.api("CONSUMER.DELETE.JOBRELAY_REQUESTS.jobrelay-high")
        await broker.declare()
        assert warnings(caplog) == [
            "consumer jobrelay-high of JOBRELAY_REQUESTS was gone and is declared anew: "
            "what it had delivered and was not settled comes again",
            "stream JOBRELAY_CONTROL was gone and is declared anew: what was in it is lost",
        ]
        await broker.declare()
        await other.declare()
        assert (broker.mishaps.redeclared, other.mishaps.redeclared) == (2, 0)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.c", False),
        ("a.b", "a", False),
        ("a.*", "*.b", True),
        ("a.*", "a.b.c", False),
        (">", "a.b", True),
        ("a.>", "a", False),
        ("a.>", "*.b.c", True),
        ("b.>", "a.b", False),
    ],
)
def test_subjects_collide_where_one_subject_is_in_both(one: str, other: str, together: bool) -> None:
    assert collide(one, other) is together
    assert collide(other, one) is together


async def test_size_and_replicas_that_no_setting_asks_for_are_no_drift(server: NatsServer) -> None:
    await declare(server, options=SMALL)
    await declare(server)
    with pytest.raises(TopologyDrift, match="max_bytes is 1048576, not 2097152"):
        await declare(server, options=JetStreamOptions(requests_max_bytes=2 << 20))


async def test_replicas_that_the_server_cannot_have_are_said_once_and_keep_nothing_from_working(
    server: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    await declare(server)
    async with jetstream.connect(server.url) as broker:
        assert await broker.replicas() == []
    async with jetstream.connect(server.url, options=JetStreamOptions(replicas=3)) as broker:
        for _ in range(2):
            await broker.declare()
            await broker.check()
        (said,) = [text for text in caplog.messages if "replicas" in text]
        assert "stream JOBRELAY_REQUESTS keeps 1 of 3 replicas" in said
        assert "a lower JOBRELAY_NATS_REPLICAS (replicas > 1 not supported" in said
        found = await broker.replicas()
        assert {(copies.members, copies.wanted) for copies in found} == {(1, 3)}
        assert "this server is in no cluster" in found[0].remedy
        await broker.probe()


async def test_stream_that_did_not_store_is_named_by_the_probe_until_it_does(server: NatsServer) -> None:
    async with (
        jetstream.connect(server.url, options=JetStreamOptions(publish_timeout=0.5)) as broker,
        connection(server.url, JetStreamOptions()) as link,
    ):
        with pytest.raises(BrokerUnavailable, match=r"streams JOBRELAY_REQUESTS, .*, JOBRELAY_DEAD: missing"):
            await broker.probe()
        await broker.declare()
        await broker.probe()
        mine = await config(link, "STREAM.INFO.JOBRELAY_CONTROL")
        await link.api("STREAM.UPDATE.JOBRELAY_CONTROL", mine | {"subjects": ["elsewhere"]})
        # Somebody listens, who stores nothing: there is no answer.
        silent = await link.interest("jobrelay", lambda message: None)
        await link.flush()
        with pytest.raises(BrokerUnavailable, match=r"no answer on jobrelay.control in time"):
            await broker.publish(CONTROL, make_event())
        with pytest.raises(
            BrokerUnavailable, match=r"^stream JOBRELAY_CONTROL: the last publish was not stored: no ans"
        ):
            await broker.probe()
        await link.unsubscribe(silent)
        await link.flush()
        with pytest.raises(BrokerUnavailable, match=r"no stream stores jobrelay.control"):
            await broker.publish(CONTROL, make_event())
        await link.api("STREAM.UPDATE.JOBRELAY_CONTROL", mine)
        await broker.publish(CONTROL, make_event())
        await broker.probe()


async def test_limit_that_leaves_no_room_for_a_dead_letter_is_drift_and_a_lower_limit_is_not(
    server: NatsServer, link: Connection
) -> None:
    await declare(server)
    mine = await config(link, "STREAM.INFO.JOBRELAY_REQUESTS")
    await link.api("STREAM.UPDATE.JOBRELAY_REQUESTS", mine | {"max_msg_size": 1000})
    await declare(server)
    await link.api("STREAM.UPDATE.JOBRELAY_REQUESTS", mine | {"max_msg_size": -1})
    with pytest.raises(TopologyDrift, match="max_msg_size"):
        await declare(server)


async def test_store_that_is_too_small_is_unavailable_and_the_setting_is_named(tmp_path: Path) -> None:
    async with natsserver.run(tmp_path, store_bytes=10 << 20) as server:
        with pytest.raises(BrokerUnavailable, match=r"of 1073741824 bytes: .* JOBRELAY_NATS_MAX_BYTES"):
            await declare(server)
        # What no setting asks for takes what there is.
        await declare(server, options=SMALL)
        async with connection(server.url, SMALL) as link:
            sizes = [
                (await config(link, f"STREAM.INFO.JOBRELAY_{kind}"))["max_bytes"] for kind in ("LIFECYCLE", "DEAD")
            ]
        assert sizes == [4 << 20, 4 << 20]
        with pytest.raises(BrokerUnavailable, match=r"of 9999999 bytes: .* JOBRELAY_NATS_DEAD_BYTES"):
            await declare(server, "other", JetStreamOptions(requests_max_bytes=1 << 19, dead_max_bytes=9999999))


async def test_streams_of_earlier_versions_are_no_drift_unless_a_size_is_asked_for(
    server: NatsServer, link: Connection
) -> None:
    for kind in ("LIFECYCLE", "DEAD"):
        subjects = [f"jobrelay.{kind.lower()}.>"]
        fields = {"max_age": (7 if kind == "LIFECYCLE" else 30) * 86400 * SECOND, "retention": "limits"}
        fields |= {"duplicate_window": 600 * SECOND} if kind == "LIFECYCLE" else {}
        await link.api(f"STREAM.CREATE.JOBRELAY_{kind}", {"name": f"JOBRELAY_{kind}", "subjects": subjects} | fields)
    await declare(server)
    with pytest.raises(TopologyDrift, match="JOBRELAY_DEAD: max_bytes is -1, not 2097152"):
        await declare(server, options=JetStreamOptions(dead_max_bytes=2 << 20))


async def test_server_without_jetstream_is_reported(tmp_path: Path) -> None:
    async with natsserver.run(tmp_path, store_bytes=0) as server:
        with pytest.raises(BrokerUnavailable, match="JetStream is not enabled"):
            await declare(server)


async def test_two_installations_on_one_server_share_no_messages(server: NatsServer, link: Connection) -> None:
    await declare(server)
    await declare(server, "teama")
    assert (await config(link, "STREAM.INFO.TEAMA_REQUESTS"))["subjects"][0] == "teama.requests"
    assert await config(link, "CONSUMER.INFO.TEAMA_REQUESTS.teama-normal")
    async with (
        jetstream.connect(server.url, instance="teama") as theirs,
        jetstream.connect(server.url) as ours,
        ours.subscribe(Kind.REQUESTS, prefetch=5) as subscription,
    ):
        await theirs.publish(REQUESTS, make_event(id="theirs"))
        await publish(ours, 1)
        (delivery,) = await take(subscription, 1)
        assert delivery.event().get_id() == "m0"


@pytest.mark.parametrize("instance", ["", "Team", "a.b", "a b", "a*", "-a", "a-", "ä"])
def test_invalid_instance_name_is_refused(instance: str) -> None:
    with pytest.raises(ValueError, match="instance"):
        StreamNames(instance)


def test_key_is_the_subject_without_the_installation() -> None:
    names = StreamNames("jobrelay")
    topic = Topic(Kind.LIFECYCLE, "lifecycle.jobrelay.created")
    assert names.key(Kind.LIFECYCLE, names.subject(topic)) == topic.key
    assert names.key(Kind.DEAD, "jobrelay.dead.requests.high") == "requests.high"
