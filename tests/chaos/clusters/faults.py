"""What can happen to the nodes of a cluster, and what is mended afterwards."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.chaos.clusters.nodes import NODES
from tests.chaos.clusters.scene import Scene

FROZEN_SECONDS = 30.0
AWAY_SECONDS = 20.0
Act = Callable[[Scene, int], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """`act` gets the number of the node that leads where outcomes are stored, and so does `mend`, once all is told; or
    after a while where a process waits for its node.

    `lasting`: a node is away until then. `outage`: there was no majority meanwhile, so that time counts from the end of
    `act`, not from its beginning. `over`: seconds in which requests come. `late`: how much longer than usual an outcome
    may take, if nothing had to wait for a node.
    """

    name: str
    done: str
    act: Act
    mend: Act
    lasting: bool = False
    outage: bool = False
    over: float = 4.0
    late: float = 10.0


async def _start_leader(on: Scene, leader: int) -> None:
    await on.nodes.start(leader)
    await on.nodes.spare()


async def _start_other(on: Scene, leader: int) -> None:
    await on.nodes.start(_after(leader))
    await on.nodes.spare()


async def _kill_leader(on: Scene, leader: int) -> None:
    await on.nodes.kill(leader)


async def _kill_other(on: Scene, leader: int) -> None:
    await on.nodes.kill(_after(leader))


async def _stop_leader(on: Scene, leader: int) -> None:
    await on.nodes.stop(leader)


async def _freeze_leader(on: Scene, leader: int) -> None:
    on.nodes.freeze(leader)
    await asyncio.sleep(FROZEN_SECONDS)
    on.nodes.thaw(leader)


async def _step_down(on: Scene, leader: int) -> None:
    for store in on.stores[: 1 if on.nodes.scheme.startswith("amqp") else 2]:
        await on.nodes.step_down(store)


async def _restart_in_turn(on: Scene, leader: int) -> None:
    """As a StatefulSet is rolled over: the next one when all copies are there again."""
    for number in range(NODES):
        await on.nodes.spare()
        await on.nodes.stop(number)
        await on.nodes.start(number)


async def _lose_quorum(on: Scene, leader: int) -> None:
    await on.nodes.kill(leader, _after(leader))
    await asyncio.sleep(AWAY_SECONDS)
    on.problems.extend(f"{name} was ready without a quorum" for name in on.readiness.ready)
    await on.nodes.start(leader, _after(leader))


async def _wait(on: Scene, leader: int) -> None:
    await on.nodes.spare()


def _after(number: int) -> int:
    return (number + 1) % NODES


LEADER_KILLED = Fault(name="leader's node killed", done="kill -9", act=_kill_leader, mend=_start_leader, lasting=True)
FAULTS = (
    LEADER_KILLED,
    Fault(name="another node killed", done="kill -9", act=_kill_other, mend=_start_other, lasting=True),
    Fault(name="leader's node stopped", done="SIGTERM", act=_stop_leader, mend=_start_leader, lasting=True),
    Fault(
        name="leader's node frozen",
        done=f"SIGSTOP for {FROZEN_SECONDS:.0f} s",
        act=_freeze_leader,
        mend=_wait,
        # Deliveries that it holds, and on RabbitMQ the log that it writes, wait for about as long.
        late=FROZEN_SECONDS + 10.0,
    ),
    Fault(name="leaders stepped down", done="by the broker's command", act=_step_down, mend=_wait),
    Fault(name="nodes restarted in turn", done="all three", act=_restart_in_turn, mend=_wait, over=15.0),
    Fault(
        name="quorum away",
        done=f"two nodes killed, {AWAY_SECONDS:.0f} s",
        act=_lose_quorum,
        mend=_wait,
        outage=True,
    ),
)
