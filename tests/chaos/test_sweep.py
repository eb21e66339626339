"""kill -9 at every single call that jobrelay makes: before it is forwarded, and before its answer comes back."""

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.chaos.calls import Call, When
from tests.chaos.sweep import LAYOUTS, SCENE, TRIES, Begin, Lane, Step, lane
from tests.chaos.table import Rows
from tests.long import LONG
from tests.processes import NATS, RABBITMQ, Installation, installation

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(7200 if LONG else 400)]

LANES = 6 if LONG else 4
"""Installations that are swept at the same time: most of a step is waiting."""
EVERY = 5
SECONDS = 10.0
FIRST_STEPS = 24 if LONG else 2
ONE, TWO = LAYOUTS
BEGINS = (Begin.COLD, Begin.WARM)
SCENES = {"a life": SCENE} | ({"attempts": TRIES} if LONG else {})
PLACES = [(name, layout) for name in (NATS, RABBITMQ) for layout in LAYOUTS] if LONG else [(NATS, ONE)]


@pytest.mark.parametrize("scene", SCENES.values(), ids=list(SCENES))
@pytest.mark.parametrize(("broker", "layout"), PLACES, indirect=["broker"])
async def test_jobrelay_killed_at_any_of_its_calls_loses_nothing(
    tmp_path: Path, broker: str, layout: str, scene: Sequence[int], rows: Rows
) -> None:
    async with installation(tmp_path, brokers=[broker]) as here, _lanes(here, broker, layout, scene) as lanes:
        where = f"{broker}, {layout}" + (", attempts and failover" if scene == TRIES else "")
        steps = [step for begin in BEGINS for step in _chosen(begin, await _recorded(lanes[0], begin, where))]
        random.shuffle(steps)
        found: Counter[tuple[Begin, str]] = Counter()
        todo = _while_there_is_time(steps, found)
        async with asyncio.TaskGroup() as group:
            for each in lanes:
                group.create_task(_sweep(each, todo, found))
        for each in lanes:
            assert await each.left() == {}
        for begin in BEGINS:
            never, highest = found[begin, "never"], max(step.number for step in steps if step.begin is begin)
            done = f"{begin}: at {found[begin, 'struck'] + never} moments of calls 1 to {highest}"
            ended = f"{found[begin, 'struck']} kills" + (f"; calls that did not come: {never}" if never else "")
            rows.add("kill -9 at a call", where, done=done, outcome=ended)
        assert found.total() == len(steps) if LONG else found.total() >= LANES
        # On a busy machine the recorded run repeats calls that no other needs, and a few steps are all that is tried.
        assert _struck(found) > (found.total() / 2 if LONG else 0), "the trap works"


@pytest.mark.parametrize(("broker", "layout"), PLACES, indirect=["broker"])
async def test_jobrelay_killed_while_it_declares_the_topology_begins_again(
    tmp_path: Path, broker: str, layout: str, rows: Rows
) -> None:
    where = f"{broker}, {layout}"
    async with installation(tmp_path, brokers=[broker]) as here:
        names = map("first{}".format, itertools.count())
        async with lane(here, broker=broker, layout=LAYOUTS[layout], instance=next(names)) as dry:
            calls = await _recorded(dry, Begin.FIRST, where)
        moments = [(call, when) for call in calls if call.declares for when in When]
        chosen = random.sample(moments, min(FIRST_STEPS, len(moments)))
        todo = iter(chosen)

        async def begin_again() -> int:
            kills = 0
            for call, when in todo:
                async with lane(here, broker=broker, layout=LAYOUTS[layout], instance=next(names)) as fresh:
                    struck = await fresh.play(Step(begin=Begin.FIRST, number=call.number, when=when))
                    kills += struck is not None
                    assert await fresh.left() == {}
            return kills

        async with asyncio.TaskGroup() as group:
            working = [group.create_task(begin_again()) for _ in range(LANES // 2)]
        kills = sum(task.result() for task in working)
    assert kills, "the trap works"
    done = f"first: at {len(chosen)} moments of the {len(moments) // 2} calls that declare, on a broker without them"
    rows.add("kill -9 at a call", where, done=done, outcome=f"{kills} kills")


@asynccontextmanager
async def _lanes(here: Installation, broker: str, layout: str, scene: Sequence[int]) -> AsyncIterator[list[Lane]]:
    async with AsyncExitStack() as stack:
        lanes = [
            await stack.enter_async_context(
                lane(here, broker=broker, layout=LAYOUTS[layout], instance=f"lane{number}", scene=scene)
            )
            for number in range(LANES)
        ]
        async with asyncio.TaskGroup() as group:
            for each in lanes:
                group.create_task(each.declared())
        yield lanes


async def _recorded(dry: Lane, begin: Begin, where: str) -> list[Call]:
    """The calls of a run without a kill. They are also printed."""
    assert await dry.play(Step(begin=begin)) is None
    calls = dry.calls.calls
    print(f"\n{where}, {begin}: {len(calls)} calls", *calls, sep="\n")
    assert [call for call in calls if call.writes], "a request's life has writes"
    return calls


def _chosen(begin: Begin, calls: Sequence[Call]) -> list[Step]:
    """Both moments of every call; in the short form one moment of some calls and of each write of a warm run."""
    if LONG:
        return [Step(begin=begin, number=call.number, when=when) for call in calls for when in When]
    shift = random.randrange(EVERY)
    few = [call for call in calls if (begin is Begin.WARM and call.writes) or (call.number + shift) % EVERY == 0]
    moments = random.sample(list(When), 2)
    return [Step(begin=begin, number=call.number, when=moments[index % 2]) for index, call in enumerate(few)]


def _while_there_is_time(steps: Sequence[Step], found: Counter[tuple[Begin, str]]) -> Iterator[Step]:
    """All steps in the long form; the short form begins none after SECONDS, once one has struck."""
    begun = time.monotonic()
    return itertools.takewhile(lambda _: LONG or time.monotonic() < begun + SECONDS or not _struck(found), steps)


def _struck(found: Counter[tuple[Begin, str]]) -> int:
    return sum(found[begin, "struck"] for begin in BEGINS)


async def _sweep(each: Lane, todo: Iterator[Step], found: Counter[tuple[Begin, str]]) -> None:
    for step in todo:
        struck = await each.play(step)
        found[step.begin, "never" if struck is None else "struck"] += 1
