"""What Jobs wait for is looked up together and in turns, nobody is judged before, and no end holds up other work."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from events.jobs.observed import Condition, Job
from events.jobs.queueing import Queueing, read_queueing
from handler.admission.data import Needs
from handler.controller import searches
from handler.controller.dependencies import SETTLED_AT_ONCE, Dependencies
from k8s.background import beside
from k8s.base import Key, Refused
from k8s.informer.informer import JobCache
from k8s.informer.jobs import Contents
from k8s.informer.schedules import ScheduleCache
from tests.handler.controller.looking import Lists, make_job, services_with
from tests.handler.parts import make_term
from tests.patience import PATIENCE

COMPLETE = (Condition(type="Complete", status=True, at=1.0),)


class Notes:
    """Stands for `Writes`: keeps which outcomes were written on which Job."""

    def __init__(self) -> None:
        self.written: dict[str, dict[str, str]] = {}
        self.refuses: set[str] = set()

    async def note_outcomes(self, job: Job, outcomes: dict[str, str]) -> None:
        if job.name in self.refuses:
            raise Refused("no", status=403)
        self.written[job.name] = outcomes


class Scene:
    def __init__(self, *ended: Job) -> None:
        self.lists, self.notes, self.contents = Lists(*ended), Notes(), Contents()
        term = make_term(JobCache(self.contents, ScheduleCache(), {}), self.notes)
        self.dependencies = Dependencies(services_with(self.lists), term)
        self.news: set[str] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        def notify(keys: Iterable[Key]) -> None:
            self.news |= {name for _, name in keys}

        async with beside(self.dependencies.run(notify)):
            yield

    def waits(self, name: str, *ids: str, **fields: Any) -> Job:
        """A Job that depends on these requests."""
        queueing = Queueing(dependencies=ids).to_annotation()
        job = make_job(name, suspend=True, queued="created", queueing=queueing, **fields)
        self.contents.put_job(job)
        self.needs(job)
        return job

    def needs(self, job: Job) -> Needs:
        found = self.dependencies.needs(job, read_queueing(job.queueing))
        assert found is not None
        return found

    async def told(self, *names: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while not set(names) <= self.news:
                await asyncio.sleep(0.001)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searches, "PAUSE", 0.0)


def ended(request_id: str, **fields: Any) -> Job:
    return make_job(request_id, has_finalizer=False, conditions=COMPLETE, **fields)


async def test_a_job_is_looked_up_once_and_its_dependencies_that_ended_are_written_on_it() -> None:
    scene = Scene(ended("done"))
    job = scene.waits("a", "done", "none")
    assert not scene.needs(job).searched
    async with scene.running():
        await scene.told("a")
    assert scene.needs(job).searched
    assert scene.notes.written == {"a": {"done": "succeeded"}}
    assert ("done" in scene.dependencies.seen, "none" in scene.dependencies.seen) == (True, False)
    assert len(scene.lists.asked) == 1


async def test_one_service_with_many_ids_does_not_hold_up_the_look_up_of_another() -> None:
    scene = Scene(ended("done"))
    for number in range(100):
        scene.waits(f"big-{number}", *(f"none-{number}-{one}" for one in range(100)), service="big")
    scene.waits("small", "done", service="small")
    scene.lists.free.clear()
    async with scene.running():
        while not scene.lists.asked:
            await asyncio.sleep(0)
        scene.lists.free.set()
        await scene.told("small")
        # It was in the first list, with some of the other's.
        assert scene.notes.written == {"small": {"done": "succeeded"}}
        await scene.told("big-99")
    assert len(scene.lists.asked) == 101


async def test_a_job_that_refuses_what_is_written_on_it_holds_up_no_other() -> None:
    scene = Scene(ended("done"))
    scene.notes.refuses = {"sick"}
    sick, _ = scene.waits("sick", "done"), scene.waits("well", "done")
    async with scene.running():
        await scene.told("sick", "well")
    assert scene.notes.written == {"well": {"done": "succeeded"}}
    assert scene.needs(sick).searched
    scene.notes.written.clear()
    assert await scene.dependencies.settle(make_job("done", name="another"), "succeeded") == (
        [("jobs", "sick"), ("jobs", "well")],
        True,
    )
    assert scene.notes.written == {"well": {"done": "succeeded"}}


async def test_an_end_is_written_on_many_dependents_some_at_a_time() -> None:
    scene = Scene()
    for number in range(2 * SETTLED_AT_ONCE + 1):
        scene.waits(f"w-{number}", "x")
    goes: list[tuple[list[Key], bool]] = []
    while not goes or not goes[-1][1]:
        goes.append(await scene.dependencies.settle(make_job("x"), "failed"))
    assert [len(keys) for keys, _ in goes] == [SETTLED_AT_ONCE, SETTLED_AT_ONCE, 1]
    assert len(scene.notes.written) == 2 * SETTLED_AT_ONCE + 1
    assert await scene.dependencies.settle(make_job("x"), "failed") == ([], True)


async def test_a_dependent_means_the_job_of_its_own_source_however_many_there_are() -> None:
    scene = Scene()
    scene.contents.put_job(make_job("x", name="its-own", uid="o", source="/own"))
    scene.waits("own", "x", source="/own")
    scene.waits("other", "x", source="/other")
    written, _ = await scene.dependencies.settle(make_job("x", source="/s"), "succeeded")
    assert written == [("jobs", "other")]


def test_what_is_written_on_the_job_needs_no_look_up() -> None:
    scene = Scene()
    job = scene.waits("a", "x", "y", dependencies='{"x": "succeeded", "y": "failed"}')
    needs = scene.needs(job)
    assert (needs.open, needs.failed, needs.searched) == ((), ("y", "failed"), True)
    assert not scene.dependencies.wanted("x")
    open_ = scene.waits("b", "x")
    assert scene.dependencies.wanted("x")
    scene.dependencies.forget((open_.namespace, open_.name))
    assert not scene.dependencies.wanted("x")
