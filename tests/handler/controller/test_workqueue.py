"""Only one worker at a time looks at a key, and no change is missed."""

import asyncio
import logging

import pytest

from adapters.base import Kind, Topic
from adapters.memory import MemoryBroker
from handler.controller import slots, workqueue
from handler.controller.workqueue import Workers, WorkQueue
from handler.effects import repeating, replies
from handler.effects.publisher import Publisher, Untaken
from handler.telemetry.metrics import Metrics
from handler.telemetry.outages import Outages
from k8s.base import Key, Unavailable
from tests.handler.samples import make_request, until
from tests.patience import PATIENCE

A, B = ("jobs", "a"), ("jobs", "b")
NOTHING = float("inf")


def make_workers(queue: WorkQueue, metrics: Metrics | None = None) -> Workers:
    metrics = metrics or Metrics()
    return Workers(queue, metrics=metrics, outages=Outages(metrics), at_once=4)


async def test_a_key_added_twice_is_looked_at_once() -> None:
    queue = WorkQueue()
    queue.add([A, B, A], since=1)
    assert [await queue.get(), await queue.get()] == [A, B]
    assert len(queue) == 2
    queue.done(A)
    queue.done(B)
    assert len(queue) == 0


async def test_a_change_during_the_look_brings_another_look() -> None:
    queue = WorkQueue()
    queue.add([A], since=1)
    key = await queue.get()
    queue.add([A], since=2)
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    assert not waiting.done(), "two workers must not look at a key at the same time"
    queue.done(key)
    assert await asyncio.wait_for(waiting, PATIENCE) == A


async def test_a_look_that_has_settled_all_is_not_repeated_until_the_next_change() -> None:
    queue = WorkQueue()
    queue.add([A], since=1)
    await queue.get()
    queue.add([A], since=2)
    queue.settle(A)
    queue.done(A)
    assert A not in queue
    assert queue.oldest() == NOTHING
    queue.add([A], since=3)
    assert await queue.get() == A


async def test_a_look_we_asked_for_hides_no_change_during_the_same_look() -> None:
    queue = WorkQueue()
    queue.add([A], since=1)
    await queue.get()
    queue.add([A], since=NOTHING)
    queue.add([A], since=5)
    queue.done(A)
    assert queue.oldest() == 5


async def test_oldest_counts_keys_that_wait_are_in_work_or_have_failed() -> None:
    queue = WorkQueue()
    assert queue.oldest() == NOTHING
    queue.add([A], since=10)
    queue.add([B], since=20)
    assert queue.oldest() == 10
    await queue.get()
    assert queue.oldest() == 10, "being worked on"
    assert queue.failed(A) == 1
    assert queue.oldest() == 10, "failed, not done"
    queue.add([A], since=30)
    assert queue.oldest() == 10, "a later change does not make the earlier one done"
    assert await queue.get() == B
    queue.done(B)
    assert await queue.get_troubled() == A
    queue.done(A)
    assert queue.oldest() == NOTHING


async def test_it_holds_keys_that_wait_are_in_work_pause_or_have_failed() -> None:
    queue = WorkQueue()
    assert A not in queue
    queue.add([A], since=1)
    assert A in queue, "waits"
    await queue.get()
    assert A in queue, "being worked on"
    queue.failed(A)
    assert A in queue, "failed"
    queue.add([A], since=1)
    assert A in queue, "waits after a failure"
    queue.pause_after(await queue.get_troubled(), 60)
    queue.done(A)
    assert A in queue, "pauses"
    queue.add([B], since=1)
    queue.done(await queue.get())
    assert B not in queue


async def test_failures_in_a_row_are_counted_until_a_look_succeeds() -> None:
    queue = WorkQueue()
    counts = []
    for get in (queue.get, queue.get_troubled, queue.get_troubled):
        queue.add([A], since=1)
        counts.append(queue.failed(await get()))
    queue.add([A], since=1)
    queue.done(await queue.get_troubled())
    queue.add([A], since=1)
    counts.append(queue.failed(await queue.get()))
    assert counts == [1, 2, 3, 1]


async def test_a_change_during_a_failed_look_needs_no_appointment() -> None:
    queue = WorkQueue()
    queue.add([A], since=1)
    key = await queue.get()
    queue.add([A], since=2)
    queue.failed(key)
    assert await asyncio.wait_for(queue.get_troubled(), PATIENCE) == A
    assert queue.oldest() == 1


async def test_appointments_are_kept_in_the_order_of_their_times() -> None:
    queue = WorkQueue()
    queue.add_later(B, 0.05)
    queue.add_later(A, 0.01)
    async with asyncio.timeout(PATIENCE):
        assert [await queue.get(), await queue.get()] == [A, B]
    assert queue.oldest() == NOTHING, "an appointment vouches for nothing"


async def test_the_earlier_of_two_appointments_stands() -> None:
    queue = WorkQueue()
    queue.add_later(A, 0.01)
    queue.add_later(A, 10 * PATIENCE)
    assert await asyncio.wait_for(queue.get(), PATIENCE) == A
    queue.done(A)
    queue.add_later(A, 10 * PATIENCE)
    queue.add_later(A, 0.01)
    assert await asyncio.wait_for(queue.get(), PATIENCE) == A


async def test_oldest_counts_what_is_left_alone_until_a_later_look_is_done() -> None:
    queue = WorkQueue()
    queue.add([A], since=10)
    queue.leave(await queue.get())
    assert queue.oldest() == 10
    queue.add([A], since=20)
    key = await queue.get()
    assert queue.oldest() == 10
    queue.done(key)
    assert queue.oldest() == NOTHING


async def test_a_forgotten_appointment_costs_nothing_and_the_others_are_kept() -> None:
    queue = WorkQueue()
    queue.add_later(A, 0.05)
    for number in range(1000):
        key = ("ns", f"over-{number}")
        queue.add_later(key, 31_536_000)
        queue.forget(key)
    assert len(queue._heap) < 100
    queue.add_later(B, 0.01)
    queue.forget(B)
    async with asyncio.timeout(PATIENCE):
        assert await queue.get() == A
    assert not queue._later


async def test_a_key_whose_look_was_long_rests_and_no_change_is_missed() -> None:
    queue = WorkQueue()
    queue.add([A, B], since=1)
    assert await queue.get() == A
    queue.add([A], since=7)
    queue.pause_after(A, 0.01)
    queue.done(A)
    assert await queue.get() == B
    queue.done(B)
    assert queue.oldest() == 7, "the change is not done"
    queue.add([A], since=5)
    assert queue.oldest() == 5
    assert await asyncio.wait_for(queue.get(), PATIENCE) == A
    queue.done(A)
    assert queue.oldest() == NOTHING


async def test_a_key_that_rests_is_not_looked_at_again_without_a_change() -> None:
    queue = WorkQueue()
    queue.add([A], since=1)
    queue.pause_after(await queue.get(), 0)
    queue.done(A)
    await asyncio.sleep(0.01)
    assert queue.oldest() == NOTHING
    assert len(queue) == 0
    queue.add([A], since=2)
    assert await queue.get() == A


async def test_a_look_that_failed_is_repeated_as_if_it_had_been_short() -> None:
    queue = WorkQueue()
    queue.add([A], since=1)
    queue.pause_after(await queue.get(), PATIENCE)
    queue.failed(A)
    queue.add_later(A, 0)
    assert await asyncio.wait_for(queue.get_troubled(), PATIENCE) == A
    queue.done(A)
    queue.add([A], since=2)
    assert await queue.get() == A


async def test_what_failed_waits_in_a_line_of_its_own_with_the_least_failures_first() -> None:
    queue = WorkQueue()
    for failures, key in ((2, A), (1, B)):
        for number in range(failures):
            queue.add([key], since=1)
            assert await (queue.get_troubled() if number else queue.get()) == key
            queue.failed(key)
    fresh = ("jobs", "fresh")
    queue.add([A, B, fresh], since=5)
    assert len(queue) == 3
    assert await queue.get() == fresh
    assert [await queue.get_troubled(), await queue.get_troubled()] == [B, A]
    assert queue.oldest() == 1
    queue.done(A)
    queue.add([A], since=6)
    assert await queue.get() == A, "a look at it succeeded"


async def test_looks_that_hang_or_fail_do_not_keep_others_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "SLOW_SECONDS", 0.02)
    monkeypatch.setattr(workqueue, "pause_after", lambda *_, **__: 0.0)
    queue, seen = WorkQueue(), asyncio.Event()

    async def look(key: Key) -> None:
        if key == A:
            seen.set()
        elif key[1].startswith("hangs"):
            await asyncio.Event().wait()
        else:
            raise Unavailable("a webhook fails")

    working = asyncio.create_task(make_workers(queue).run(look))
    queue.add([("jobs", f"{kind}-{number}") for number in range(20) for kind in ("hangs", "fails")], since=1)
    await asyncio.sleep(0.1)
    queue.add([A], since=2)
    async with asyncio.timeout(PATIENCE):
        await seen.wait()
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)


async def test_jobs_that_wait_for_a_broker_are_counted_and_not_told_of_one_by_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workqueue, "pause_after", lambda *_, **__: 0.01)
    queue, metrics, down = WorkQueue(), Metrics(), True

    async def look(key: Key) -> None:
        if key == B:
            raise Unavailable("a webhook fails")
        if down:
            raise Untaken("nats", "no quorum")

    async def waiting(count: int) -> bool:
        return metrics.registry.get_sample_value("jobrelay_events_waiting", {"broker": "nats"}) == count

    def warnings() -> int:
        return sum(record.levelno >= logging.WARNING for record in caplog.records)

    working = asyncio.create_task(make_workers(queue, metrics).run(look))
    queue.add([("jobs", f"untaken-{number}") for number in range(20)], since=1)
    await until(lambda: waiting(20))
    assert warnings() == 0
    down = False
    await until(lambda: waiting(0))
    down = True
    queue.add([A], since=2)
    await until(lambda: waiting(1))
    queue.add([B], since=2)

    async def warned() -> bool:
        return warnings() > 0

    await until(warned)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    assert await waiting(0), "another process leads"


@pytest.mark.parametrize(("waiting", "longest"), [(3, 2.0), (50, 2.0), (500, 5.0), (5000, 10.0)])
async def test_few_that_wait_for_a_broker_are_told_soon_after_it_is_back_and_many_do_not_load_it(
    monkeypatch: pytest.MonkeyPatch, waiting: int, longest: float
) -> None:
    monkeypatch.setattr(repeating, "backoff", lambda *_, **__: 10.0)
    queue, pauses = WorkQueue(), []
    monkeypatch.setattr(queue, "add_later", lambda key, delay: pauses.append(delay))

    async def look(key: Key) -> None:
        raise Untaken("nats", "no leader")

    async def all_failed() -> bool:
        return len(pauses) == waiting

    working = asyncio.create_task(make_workers(queue).run(look))
    queue.add([("jobs", f"untaken-{number}") for number in range(waiting)], since=1)
    await until(all_failed)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    assert max(pauses) == pytest.approx(longest, abs=0.1)


async def test_a_thousand_jobs_whose_reply_topics_refuse_keep_no_other_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(replies, "PAUSES", (3600.0,))
    broker, queue, done = MemoryBroker(), WorkQueue(), asyncio.Event()
    publisher = Publisher({"memory": broker}, ("memory",), Metrics(), reply_topics=("*",))
    event = make_request()

    async def look(key: Key) -> None:
        topic = Topic(Kind.LIFECYCLE, f"tests.{key[1]}.started")
        await publisher.publish(topic, event, broker="memory", reply_to=None if key == A else key[1])
        done.set()

    queue.add([("jobs", f"refused-{number}") for number in range(1000)], since=1)
    queue.add([A], since=2)
    working = asyncio.create_task(make_workers(queue).run(look))
    async with asyncio.timeout(PATIENCE):
        await done.wait()
    assert len(queue) == 1000, "each waits for the next try on its topic"
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
