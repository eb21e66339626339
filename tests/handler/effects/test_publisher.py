"""Events go to the reply topic if a request asked for it, else to the default topic; nothing is dropped."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from cloudevents.core.v1.event import CloudEvent

from adapters.base import BrokerUnavailable, Kind, Topic, TopicRefused
from events.cloudevent.event import build
from handler.effects import replies
from handler.effects.publisher import Publisher, Untaken
from handler.effects.repeating import pause_after, until_taken
from handler.effects.replies import ReplyHeld
from handler.telemetry.metrics import Metrics
from handler.telemetry.outages import Outages
from k8s.base import Unavailable
from tests.handler.relay import detail
from tests.patience import PATIENCE

DEFAULT = Topic(Kind.LIFECYCLE, "tests.1.succeeded")
REPLY = Topic(Kind.REPLY, "replies")


class Scripted:
    """A broker that raises the next of its errors on each publish, and takes the event once no error is left."""

    name, connected = "scripted", True

    def __init__(self, *errors: Exception | None) -> None:
        self._errors = list(errors)
        self.taken: list[tuple[Topic, CloudEvent]] = []
        self.tries: list[Topic] = []

    async def publish(self, topic: Topic, event: CloudEvent, *, message_id: str | None = None) -> None:
        self.tries.append(topic)
        error = self._errors.pop(0) if self._errors else None
        if error is not None:
            raise error
        self.taken.append((topic, event))


def make_event() -> CloudEvent:
    attributes = {"specversion": "1.0", "id": "u/succeeded", "source": "/s", "type": "dev.jobrelay.job.succeeded"}
    detail = {"phase": "succeeded", "attempt": 1, "finishedAt": "2026-11-22T00:00:00Z", "result": "x" * 5000}
    data = {"id": "1", "status": 2, "detail": detail}
    return build({**attributes, "datacontenttype": "application/json", "requestsource": "/shop"}, data)


def make_publisher(*brokers: Any) -> tuple[Publisher, Metrics]:
    metrics = Metrics()
    connected = {f"b{number}": broker for number, broker in enumerate(brokers)}
    return Publisher(connected, (*connected, "later"), metrics, reply_topics=("repl*",)), metrics


async def taken(publisher: Publisher) -> None:
    """Publish an event with a reply topic, again and again until it is out."""
    outages = Outages(Metrics())

    async def publish() -> None:
        await publisher.publish(DEFAULT, make_event(), broker="b0", reply_to="replies")

    async with asyncio.timeout(PATIENCE):
        await until_taken(publish, broker="b0", outages=outages)


def refusals(topic: Topic, count: int, *, too_large: bool = False) -> Sequence[Exception]:
    return [TopicRefused(topic, "no such stream", too_large=too_large) for _ in range(count)]


async def test_the_reply_topic_is_used_when_it_takes_the_event() -> None:
    broker = Scripted()
    publisher, metrics = make_publisher(broker)
    await publisher.publish(DEFAULT, make_event(), broker="b0", reply_to="replies")
    assert [topic for topic, _ in broker.taken] == [REPLY]
    published = metrics.registry.get_sample_value("jobrelay_lifecycle_published_total", {"phase": "succeeded"})
    assert published == 1


async def test_a_reply_topic_that_refuses_gets_three_tries_with_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "PAUSES", (0.2, 0.3))
    broker = Scripted(*refusals(REPLY, 3))
    publisher, metrics = make_publisher(broker)
    begun = asyncio.get_running_loop().time()
    await taken(publisher)
    assert asyncio.get_running_loop().time() - begun >= 0.5
    assert broker.tries == [REPLY] * 3 + [DEFAULT]
    ((topic, event),) = broker.taken
    assert topic == DEFAULT
    assert detail(event)["undelivered"] == {"topic": "replies", "reason": "no such stream"}
    assert metrics.registry.get_sample_value("jobrelay_lifecycle_undelivered_total") == 1
    assert metrics.registry.get_sample_value("jobrelay_publish_failures_total") == 3


def test_the_tries_together_outlast_the_election_of_a_leader() -> None:
    assert sum(replies.PAUSES) >= 9


async def test_a_reply_topic_that_takes_the_event_at_a_later_try_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "PAUSES", (0.0, 0.0))
    broker = Scripted(*refusals(REPLY, 2))
    publisher, metrics = make_publisher(broker)
    await taken(publisher)
    assert [topic for topic, _ in broker.taken] == [REPLY]
    assert metrics.registry.get_sample_value("jobrelay_lifecycle_undelivered_total") == 0


async def test_events_of_one_reply_topic_share_its_tries_and_their_callers_do_not_wait() -> None:
    broker = Scripted(*refusals(REPLY, 1))
    publisher, _ = make_publisher(broker)
    for _ in range(3):
        with pytest.raises(ReplyHeld, match="no such stream") as held:
            await publisher.publish(DEFAULT, make_event(), broker="b0", reply_to="replies")
        assert 0 < held.value.retry_after <= replies.PAUSES[0]
    assert broker.tries == [REPLY]
    await publisher.publish(DEFAULT, make_event(), broker="b0", reply_to="repl-other")
    assert len(broker.taken) == 1, "another topic is none of this one's business"


async def test_a_reply_topic_that_has_refused_all_tries_gets_one_for_each_further_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(replies, "PAUSES", (0.0, 0.0))
    broker = Scripted(*refusals(REPLY, 3), None, *refusals(REPLY, 1))
    publisher, metrics = make_publisher(broker)
    await taken(publisher)
    for _ in range(2):
        await publisher.publish(DEFAULT, make_event(), broker="b0", reply_to="replies")
    assert [topic for topic, _ in broker.taken] == [DEFAULT, DEFAULT, REPLY], "it takes events again"
    assert metrics.registry.get_sample_value("jobrelay_lifecycle_undelivered_total") == 2
    monkeypatch.setattr(replies, "REMEMBERED_SECONDS", -1.0)
    broker = Scripted(*refusals(REPLY, 3), None, *refusals(REPLY, 1))
    publisher, _ = make_publisher(broker)
    await taken(publisher)
    with pytest.raises(ReplyHeld):
        await publisher.publish(DEFAULT, make_event(), broker="b0", reply_to="replies")


async def test_with_too_many_reply_topics_that_refuse_the_next_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(replies, "MOST", 1)
    broker = Scripted(*refusals(REPLY, 2))
    publisher, _ = make_publisher(broker)
    with pytest.raises(ReplyHeld):
        await publisher.publish(DEFAULT, make_event(), broker="b0", reply_to="replies")
    await publisher.publish(DEFAULT, make_event(), broker="b0", reply_to="repl-other")
    assert [topic for topic, _ in broker.taken] == [DEFAULT]


async def test_an_event_too_large_for_its_reply_topic_goes_to_the_default_topic_at_once() -> None:
    broker = Scripted(*refusals(REPLY, 1, too_large=True))
    publisher, _ = make_publisher(broker)
    for _ in range(2):
        await publisher.publish(DEFAULT, make_event(), broker="b0", reply_to="replies")
    assert [topic for topic, _ in broker.taken] == [DEFAULT, REPLY]


async def test_what_goes_to_the_default_topic_is_counted_once_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "PAUSES", ())
    down = BrokerUnavailable("down")
    (refused,) = refusals(REPLY, 1)
    broker = Scripted(refused, down, refused, down, refused)
    publisher, metrics = make_publisher(broker)
    for _ in range(2):
        with pytest.raises(Untaken, match="down") as untaken:
            await publisher.publish(DEFAULT, make_event(), broker="b0", reply_to="replies")
        assert untaken.value.broker == "b0"
        assert metrics.registry.get_sample_value("jobrelay_lifecycle_undelivered_total") == 0
    await publisher.publish(DEFAULT, make_event(), broker="b0", reply_to="replies")
    assert metrics.registry.get_sample_value("jobrelay_lifecycle_undelivered_total") == 1


async def test_a_reply_topic_that_nobody_may_name_gets_nothing_whatever_a_job_says() -> None:
    broker = Scripted()
    publisher, metrics = make_publisher(broker)
    await publisher.publish(DEFAULT, make_event(), broker="b0", reply_to="payments.secret")
    assert broker.tries == [DEFAULT]
    ((_, event),) = broker.taken
    assert "JOBRELAY_REPLY_TOPICS" in detail(event)["undelivered"]["reason"]
    assert metrics.registry.get_sample_value("jobrelay_lifecycle_undelivered_total") == 1


async def test_it_is_up_to_the_caller_to_wait_for_a_broker_that_is_down() -> None:
    broker = Scripted(BrokerUnavailable("down"))
    publisher, _ = make_publisher(broker)
    with pytest.raises(BrokerUnavailable):
        await publisher.publish(DEFAULT, make_event(), broker="b0", reply_to="replies")
    assert broker.tries == [REPLY], "being down is no refusal: the reply topic is still to be used"


async def test_an_event_too_large_for_the_default_topic_is_shortened() -> None:
    broker = Scripted(*refusals(DEFAULT, 1, too_large=True))
    publisher, _ = make_publisher(broker)
    await publisher.publish(DEFAULT, make_event(), broker="b0")
    ((_, event),) = broker.taken
    assert detail(event)["shortened"] == ["result"]
    assert event.get_id() == "u/succeeded"


async def test_of_an_event_too_large_shortened_the_least_is_published() -> None:
    broker = Scripted(*refusals(DEFAULT, 2, too_large=True))
    publisher, _ = make_publisher(broker)
    await publisher.publish(DEFAULT, make_event(), broker="b0")
    ((_, event),) = broker.taken
    assert (event.get_id(), detail(event)["phase"]) == ("u/succeeded", "succeeded")


async def test_an_event_that_no_form_makes_fit_is_given_up_and_told(caplog: pytest.LogCaptureFixture) -> None:
    broker = Scripted(*refusals(DEFAULT, 3, too_large=True))
    publisher, metrics = make_publisher(broker)
    await publisher.publish(DEFAULT, make_event(), broker="b0")
    assert (len(broker.tries), broker.taken) == (3, [])
    assert metrics.registry.get_sample_value("jobrelay_lifecycle_given_up_total") == 1
    (line,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "an event is lost" in line.getMessage()


async def test_a_default_topic_that_refuses_for_good_counts_as_unavailable() -> None:
    publisher, _ = make_publisher(Scripted(*refusals(DEFAULT, 2)))
    with pytest.raises(BrokerUnavailable, match="no such stream"):
        await publisher.publish(DEFAULT, make_event(), broker="b0")


async def test_a_request_of_a_broker_no_longer_configured_is_answered_on_the_first_broker() -> None:
    first, second = Scripted(), Scripted()
    publisher, _ = make_publisher(first, second)
    await publisher.publish(DEFAULT, make_event(), broker="gone", reply_to="replies")
    await publisher.publish(DEFAULT, make_event(), broker="b1", reply_to="replies")
    assert [topic for topic, _ in first.taken] == [DEFAULT], "a topic of another broker means nothing here"
    assert [topic for topic, _ in second.taken] == [REPLY]


async def test_a_request_of_a_broker_that_is_not_connected_yet_waits_for_it() -> None:
    first = Scripted()
    publisher, _ = make_publisher(first)
    with pytest.raises(BrokerUnavailable, match="never connected so far"):
        await publisher.publish(DEFAULT, make_event(), broker="later")
    assert first.tries == []


async def test_until_taken_repeats_only_while_the_broker_is_unavailable() -> None:
    calls = iter([BrokerUnavailable("down"), BrokerUnavailable("down"), None])
    count = 0

    async def call() -> None:
        nonlocal count
        count += 1
        error = next(calls)
        if error is not None:
            raise error

    outages = Outages(Metrics())
    await asyncio.wait_for(until_taken(call, broker="b0", outages=outages), PATIENCE)
    assert count == 3

    async def refused() -> None:
        raise TopicRefused(DEFAULT, "no")

    with pytest.raises(TopicRefused):
        await until_taken(refused, broker="b0", outages=outages)


def test_a_broker_is_asked_again_soon_unless_many_would() -> None:
    down = BrokerUnavailable("down")
    assert max(pause_after(down, attempt, waiting=200) for attempt in range(1, 20)) == 2.0
    assert pause_after(down, 20, waiting=100_000) >= 5.0
    assert pause_after(Unavailable("overloaded"), 20) >= 5.0
