"""Lanes and dead letters of real brokers: read side by side, and left as they were."""

from pathlib import Path

import pytest

from adapters.base import Broker, Kind, Topic
from handler.console.views import dead
from handler.console.views.dead import LettersQuery, letter_view, letters_view
from handler.console.views.queue import queue_view
from k8s.api.cluster import Cluster
from tests.adapters.conftest import need_rabbit
from tests.handler.console.views.seen import seeing
from tests.handler.samples import make_request
from tests.processes import NATS, RABBITMQ, installation

pytestmark = pytest.mark.broker
COUNT = 3


async def fill(broker: Broker) -> None:
    """Some requests that wait, and as many dead letters."""
    await broker.declare()
    for number in range(COUNT):
        await broker.publish(Topic(Kind.REQUESTS), make_request(f"{broker.name}-{number}"))
    async with broker.subscribe(Kind.REQUESTS, prefetch=COUNT) as deliveries:
        refused = 0
        async for delivery in deliveries:
            await delivery.reject("INVALID_REQUEST", "because")
            refused += 1
            if refused == COUNT:
                break
    await broker.publish(Topic(Kind.REQUESTS, "high"), make_request(f"{broker.name}-waits"))


async def test_both_are_shown_beside_each_other(tmp_path: Path, cluster: Cluster) -> None:
    need_rabbit()
    (tmp_path / "brokers").mkdir()
    async with (
        installation(tmp_path / "brokers", brokers=(NATS, RABBITMQ)) as here,
        here.broker(NATS) as nats,
        here.broker(RABBITMQ) as rabbit,
        seeing(cluster) as (backend, _),
    ):
        backend.brokers = {broker.name: broker for broker in (nats, rabbit)}
        for broker in (nats, rabbit):
            await fill(broker)
        queue = await queue_view(backend)
        ready = {(lane.broker, lane.topic): lane.ready for lane in queue.lanes}
        assert queue.problems == []
        for name in backend.brokers:
            assert (ready[name, "requests.high"], ready[name, "dead"]) == (1, COUNT)
            numbers: list[int] = []
            for _ in range(2):
                found = await letters_view(backend, LettersQuery(broker=name))
                assert (found.problems, found.more) == ([], False)
                assert [letter.id for letter in found.letters] == [f"event-{name}-{number}" for number in range(COUNT)]
                # Whoever looks takes nothing away, and moves nothing.
                assert numbers in ([], [letter.number for letter in found.letters])
                numbers = [letter.number for letter in found.letters]
                backend.answers.forget(dead.answer_of(name))
            letter = await letter_view(backend, numbers[1], name)
            assert (letter.code, letter.reason, letter.id) == ("INVALID_REQUEST", "because", f"event-{name}-1")
        assert len((await letters_view(backend, LettersQuery())).letters) == 2 * COUNT
