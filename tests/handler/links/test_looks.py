"""A process is ready only while its broker stores what is published, and says what else is not as it should be."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from adapters.base import BrokerUnavailable, Replicas, TopologyDrift
from adapters.memory import MemoryBroker
from handler.links import looks
from handler.links.looks import Looks
from handler.telemetry.metrics import Metrics
from handler.telemetry.state import State
from k8s.background import beside
from tests.handler.samples import until


class Ailing(MemoryBroker):
    """Its topology is there. `problem`: why it stores nothing. While `frozen`, it does not even say that."""

    def __init__(self) -> None:
        super().__init__()
        self.problem: str | None = None
        self.drift: str | None = None
        self.frozen = False
        self.few: Sequence[Replicas] = ()

    async def check(self) -> None:
        if self.drift is not None:
            raise TopologyDrift(self.drift)

    async def probe(self) -> None:
        while self.frozen:
            await asyncio.sleep(0.01)
        if self.problem is not None:
            raise BrokerUnavailable(self.problem)

    async def replicas(self) -> Sequence[Replicas]:
        return self.few


@asynccontextmanager
async def looking(broker: MemoryBroker, *, publishes: bool = True) -> AsyncIterator[State]:
    state = State(Metrics(), follows=False)
    state.brokers["memory"] = broker
    declared = asyncio.Event()
    async with beside(Looks(broker, declared=declared, owns=False, publishes=publishes, state=state).run()):
        await until(lambda: problems(state, []))
        yield state


async def problems(state: State, expected: list[str]) -> bool:
    return state.problems() == expected


def storing(state: State) -> float | None:
    return state.metrics.registry.get_sample_value("jobrelay_broker_storing", {"broker": "memory"})


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOOK_SECONDS", "AGAIN_SECONDS", "ANSWER_SECONDS", "COPIES_SECONDS"):
        monkeypatch.setattr(looks, name, 0.02)


async def test_a_broker_that_stores_nothing_makes_the_process_unready() -> None:
    broker = Ailing()
    async with looking(broker) as state:
        assert storing(state) == 1
        broker.problem = "no quorum for queue jobrelay.requests"
        await until(lambda: problems(state, ["broker memory: no quorum for queue jobrelay.requests"]))
        assert storing(state) == 0
        broker.problem = None
        await until(lambda: problems(state, []))
        assert storing(state) == 1


async def test_a_broker_that_does_not_say_whether_it_stores_makes_the_process_unready() -> None:
    broker = Ailing()
    async with looking(broker) as state:
        broker.frozen = True
        said = "broker memory: has not said within 0 s that it stores what is published"
        await until(lambda: problems(state, [said]))
        assert storing(state) == 0
        broker.frozen = False
        await until(lambda: problems(state, []))


def test_an_outage_is_noticed_within_ten_seconds() -> None:
    assert looks.LOOK_SECONDS + looks.ANSWER_SECONDS < 10


async def test_a_process_that_publishes_nothing_is_ready_without_it() -> None:
    broker = Ailing()
    broker.problem = "no quorum"
    async with looking(broker, publishes=False) as state:
        assert storing(state) is None


async def test_a_broker_that_was_never_looked_at_is_not_ready() -> None:
    state = State(Metrics(), follows=False)
    Looks(Ailing(), declared=asyncio.Event(), owns=False, publishes=True, state=state)
    (problem,) = state.problems()
    assert problem.startswith("broker memory: connected, its streams and queues are not looked at yet; ")
    assert storing(state) == 0


async def test_a_topology_that_differs_is_told_until_it_is_as_it_should_be(caplog: pytest.LogCaptureFixture) -> None:
    broker = Ailing()
    async with looking(broker) as state:
        broker.drift = "queue x is not durable"
        said = "broker memory: topology differs, left as it is: queue x is not durable"
        await until(lambda: problems(state, [said]))
        assert caplog.messages.count(said) == 1
        broker.drift = None
        await until(lambda: problems(state, []))


async def test_a_connection_that_is_lost_hides_what_was_found_over_it() -> None:
    broker = Ailing()
    async with looking(broker) as state:
        broker.problem = "no quorum"
        await until(lambda: problems(state, ["broker memory: no quorum"]))
        broker.connected = False
        (first,) = state.problems()
        assert first.startswith("broker memory: connection lost since 2")
        assert state.problems() == [first]
        broker.connected = True
        assert state.problems() == ["broker memory: no quorum"]


async def test_missing_replicas_are_a_note_and_the_process_is_ready() -> None:
    broker = Ailing()
    broker.few = [Replicas(store="stream S", members=1, online=1, wanted=3, remedy="grow S")]

    async with looking(broker) as state:

        async def noted() -> bool:
            return state.notes() == ["broker memory: 1 replica where there should be 3: stream S; run: grow S"]

        await until(noted)
        assert state.problems() == []
