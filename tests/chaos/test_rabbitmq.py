"""What happens only with RabbitMQ: alarms, deleted queues, clients that only speak AMQP, poison."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio
from aiormq.abc import DeliveredMessage
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.rabbitmq import RabbitMQMessage, from_rabbitmq_event

from adapters.base import BrokerUnavailable, Kind
from adapters.headers import CODE, attempts_before, reason_of
from adapters.rabbitmq.publisher import SEEN_SECONDS
from events.cloudevent.event import encode_structured
from events.names import REQUESTED_TYPE
from handler.local import stack as local
from handler.local.processes import Process, spawn
from tests.adapters.conftest import need_rabbit
from tests.amqp import client, subscribed
from tests.chaos import fragile
from tests.chaos.load import DEFAULT_LEASE, Stage, publish, stage, stored
from tests.chaos.table import Rows
from tests.chaos.waiting import ended, reached
from tests.e2e import observer as sdk
from tests.handler.jobs import is_finished, job_of, without_finalizer_or_gone
from tests.handler.relay import detail
from tests.handler.samples import make_request, until, waits_for
from tests.patience import PATIENCE
from tests.processes import RABBITMQ, Installation, installation

pytestmark = pytest.mark.broker

together = pytest.mark.asyncio(loop_scope="module")
STARTED = ["created", "started"]
LARGEST = 3000
"""The most bytes of a message that the shared node takes."""


@pytest.fixture(autouse=True)
def installed() -> None:
    need_rabbit()


@asynccontextmanager
async def unheard(directory: Path) -> AsyncIterator[Stage]:
    """A stage without an observer: no queue of a client is bound to its lifecycle exchange."""
    async with AsyncExitStack() as stack:
        here = await stack.enter_async_context(
            installation(directory, brokers=[RABBITMQ], rabbit=f"max_message_size = {LARGEST}")
        )
        broker = await stack.enter_async_context(here.broker())
        cluster = await stack.enter_async_context(here.cluster())
        yield Stage(here=here, broker=broker, cluster=cluster)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """A stage on which jobrelay runs, for tests that leave it as it was."""
    need_rabbit()
    async with unheard(tmp_path_factory.mktemp("served")) as on:
        await on.here.start_relay({"JOBRELAY_REPLY_TOPICS": "*", **DEFAULT_LEASE})
        yield on


# What an operator has to repair keeps the finalizers of Jobs, and nothing else does.


@together
async def test_a_full_disk_keeps_finalizers_until_there_is_room(served: Stage, tmp_path: Path, rows: Rows) -> None:
    await publish(served.broker, make_request("full", script=waits_for(tmp_path / "go")))
    await until(partial(_started, served, "full"))
    await served.here.rabbit.ctl("set_disk_free_limit", "100000GB")
    try:
        (tmp_path / "go").touch()
        await until(lambda: is_finished(served.cluster, "full"))
        await _keeps_finalizer(served, "full")
    finally:
        await served.here.rabbit.ctl("set_disk_free_limit", "50MB")
    (end,) = await ended(served, "full")
    assert end.get_type().endswith(".succeeded")
    await without_finalizer_or_gone(served.cluster, "full")
    done = "disk alarm while a Job ran"
    rows.add("store full", "rabbitmq", done=done, outcome="held by its finalizer, told once there was room")


@pytest.mark.long
# In `make test`, a full disk does the same, and tests/adapters/rabbitmq tests that a missing log is no refusal.
async def test_a_missing_log_keeps_finalizers_until_it_is_back_even_if_others_subscribe(
    tmp_path: Path, rows: Rows
) -> None:
    async with stage(tmp_path, broker=RABBITMQ) as on:
        await on.here.start_relay()
        await publish(on.broker, make_request("lost", script=waits_for(tmp_path / "go")))
        await reached(on, "lost", "started")
        # A user who may not create queues has to wait for a user who may.
        await on.here.rabbit.ctl("set_permissions", "guest", "observer", ".*", ".*")
        await on.here.rabbit.ctl("delete_queue", "jobrelay.lifecycle.log")
        # For so long, jobrelay relies on the queue that it saw for the last event.
        await asyncio.sleep(SEEN_SECONDS)
        (tmp_path / "go").touch()
        await until(lambda: is_finished(on.cluster, "lost"))
        await asyncio.sleep(1.5)
        assert "jobrelay.dev/lifecycle" in (await job_of(on.cluster, "lost"))["metadata"]["finalizers"]
        await on.here.rabbit.ctl("set_permissions", "guest", ".*", ".*", ".*")
        await until(lambda: _readable(on))
        (end,) = await ended(on, "lost")
        assert end.get_type().endswith(".succeeded")
        await without_finalizer_or_gone(on.cluster, "lost")
    done = "the log deleted, and not to be declared, while a Job ran"
    rows.add("queue missing", "rabbitmq", done=done, outcome="held by its finalizer, told once it was back")


async def _readable(on: Stage) -> bool:
    try:
        return bool(await stored(on.broker))
    except BrokerUnavailable:
        return False


async def _keeps_finalizer(on: Stage, request_id: str) -> None:
    await asyncio.sleep(1.0)
    assert await _phases(on, request_id) == STARTED
    assert "jobrelay.dev/lifecycle" in (await job_of(on.cluster, request_id))["metadata"]["finalizers"]


async def _started(on: Stage, request_id: str) -> bool:
    return await _phases(on, request_id) == STARTED


async def _phases(on: Stage, request_id: str) -> list[str]:
    return [event.phase for event in await stored(on.broker, key=f"tests.{request_id}.*")]


@together
async def test_jobs_finish_without_subscribers_and_a_later_watch_shows_everything(served: Stage) -> None:
    names = {"good": "true", "bad": "exit 3"}
    for name, script in names.items():
        await publish(served.broker, make_request(name, script=script))
    for name in names:
        await until(partial(_made, served, name))
        await without_finalizer_or_gone(served.cluster, name)
    shown = await _watched(served.here)
    assert [phase for name, phase in shown if name == "good"] == [*STARTED, "succeeded"]
    assert [phase for name, phase in shown if name == "bad"] == ["created", "started", "failed"]


async def _made(on: Stage, request_id: str) -> bool:
    jobs = await on.cluster.list_jobs("default", "")
    return request_id in {job["metadata"]["annotations"]["jobrelay.dev/id"] for job in jobs}


async def _watched(here: Installation) -> list[tuple[str, str]]:
    """Subject and phase of each event, as `jobrelay watch` prints them."""
    command = local.jobrelay("watch", "--no-follow", "--output", "json")
    process = await spawn("watch", command, log=here.directory / "watch.log", environ=here.environ())
    assert await asyncio.wait_for(process.wait(), PATIENCE) == 0, process.output()
    events = [json.loads(line) for line in process.output().splitlines()]
    return [(event["subject"], event["type"].rpartition(".")[2]) for event in events]


# Clients


@together
async def test_a_client_that_only_knows_amqp_is_served_and_reads_the_answer_with_the_sdk(served: Stage) -> None:
    heard: list[BaseCloudEvent] = []

    def take(message: DeliveredMessage) -> None:
        properties = message.header.properties
        heard.append(from_rabbitmq_event(RabbitMQMessage({}, properties.content_type, message.body)))

    async with AsyncExitStack() as stack:
        url = served.here.rabbit.url
        await stack.enter_async_context(subscribed(url, "jobrelay.lifecycle", take, queue="mine", key="shop.*.*"))
        amqp = await stack.enter_async_context(client(url))
        spellings = [
            *("ce-", "CE-", "Ce-"),
            *("cloudEvents:", "cloudevents:", "CLOUDEVENTS:"),
            *("cloudEvents_", "cloudevents_", "CLOUDEVENTS_"),
        ]
        names = [f"with-{number}" for number in range(len(spellings))]
        for number, (name, prefix) in enumerate(zip(names, spellings, strict=True)):
            headers = {"specversion": "1.0", "type": REQUESTED_TYPE, "source": "/shop", "id": f"event-{name}"}
            job = {"image": "busybox", "command": ["sh", "-c", 'echo "$CE_ID" > "$JOBRELAY_RESULT_PATH"']}
            await amqp.publish(
                "jobrelay.requests",
                ("", "high", "low", "any.other")[number % 4],
                json.dumps({"id": name, "service": "shop", "job": job}).encode(),
                headers={f"{prefix}{attribute}": value for attribute, value in headers.items()},
                content_type="application/json",
            )
        for name in names:
            await until(partial(_heard, heard, name))
            assert [sdk.phase(event) for event in heard if event.get_subject() == name] == [*STARTED, "succeeded"]
        results = {str(event.get_subject()): sdk.detail(event).get("result") for event in heard}
        assert results == {name: f"event-{name}" for name in names}


async def _heard(heard: list[BaseCloudEvent], subject: str) -> bool:
    return any((event.get_subject(), sdk.phase(event)) == (subject, "succeeded") for event in heard)


# Refused for good


@together
async def test_with_too_long_a_reply_key_events_go_to_the_default_topic_and_the_finalizer_is_removed(
    served: Stage,
) -> None:
    key = "k" * 256
    await publish(served.broker, make_request("long", attributes={"replyto": key}))
    await publish(served.broker, make_request("fits", attributes={"replyto": "answers." + "k" * 200}))
    (end,) = await ended(served, "long")
    assert detail(end)["undelivered"] == {"topic": key, "reason": "longer than 255 bytes"}
    await without_finalizer_or_gone(served.cluster, "long")
    await without_finalizer_or_gone(served.cluster, "fits")
    assert await stored(served.broker, key="tests.fits.*") == []
    answers = await stored(served.broker, key="answers.*")
    assert [event.phase for event in answers] == [*STARTED, "succeeded"]


@together
async def test_an_event_too_large_for_the_broker_is_shortened_and_the_finalizer_is_removed(served: Stage) -> None:
    script = f'head -c {LARGEST + 1000} /dev/zero | tr "\\0" x > "$JOBRELAY_RESULT_PATH"'
    large = make_request("large", script=script, attributes={"replyto": "replies.here"})
    assert len(encode_structured(large)) < LARGEST
    await publish(served.broker, large)
    (end,) = await ended(served, "large")
    assert end.get_type().endswith(".succeeded")
    assert detail(end)["undelivered"]["topic"] == "replies.here"
    assert detail(end)["shortened"] == ["result"]
    await without_finalizer_or_gone(served.cluster, "large")
    assert [event.phase for event in await stored(served.broker, key="replies.*")] == STARTED


# Poison


@pytest.mark.long
# In `make test`, tests/handler/intake has a request that was delivered too often.
async def test_a_request_that_kills_the_process_is_a_dead_letter_after_its_attempts(tmp_path: Path, rows: Rows) -> None:
    async with stage(tmp_path, broker=RABBITMQ) as on:
        await publish(on.broker, make_request("poison"))
        environ = on.here.environ({"JOBRELAY_MAX_ATTEMPTS": "3"})
        for _ in range(3):
            relay = await _fragile(on.here, environ)
            assert await asyncio.wait_for(relay.wait(), PATIENCE) == fragile.EXIT_CODE, relay.output()
        await publish(on.broker, make_request("good"))
        relay = await _fragile(on.here, environ)
        on.here.relays.append(relay)
        await reached(on, "poison", "rejected")
        await reached(on, "good", "succeeded")
        async with on.broker.history(Kind.DEAD) as records:
            (letter,) = [record async for record in records]
        assert letter.event().get_id() == fragile.POISON
        assert (letter.headers[CODE], attempts_before(letter.headers)) == ("TOO_MANY_ATTEMPTS", 4)
        assert reason_of(letter.headers) == "delivered 3 times without an outcome"
    done = "a request that kills the process, MAX_ATTEMPTS 3"
    rows.add("poison", "rabbitmq", done=done, outcome="a dead letter, told as rejected; the next request succeeded")


async def _fragile(here: Installation, environ: Mapping[str, str]) -> Process:
    """Start the process that poison kills, as a supervisor would do again and again."""
    return await spawn("fragile", fragile.COMMAND, log=here.directory / "fragile.log", environ=environ)
