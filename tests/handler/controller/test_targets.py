"""What a command means is found without looking at other Jobs, and who waits for it takes nobody's place."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from events.request.control import Command, parse_control
from handler.controller import searches, targets, waitingroom
from handler.controller.targets import Targets
from handler.controller.waitingroom import PutBack, WaitingRoom
from handler.effects.deliveries import Rejection
from k8s.background import beside
from k8s.base import Unavailable
from k8s.informer.informer import JobCache
from k8s.informer.jobs import Contents
from k8s.informer.schedules import ScheduleCache
from tests.handler.controller.looking import Lists, make_job, services_with
from tests.handler.parts import make_term
from tests.handler.samples import make_command
from tests.patience import PATIENCE


class Scene:
    def __init__(self, *ended: str, wait: float = PATIENCE) -> None:
        self.lists = Lists(*(make_job(name, has_finalizer=False) for name in ended))
        self.contents = Contents()
        term = make_term(JobCache(self.contents, ScheduleCache(), {}))
        self.targets = Targets(services_with(self.lists, control_wait=wait), term)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Scene"]:
        async with beside(self.targets.run()), asyncio.timeout(2 * PATIENCE):
            yield self

    async def told(self, command: Command, *, waited: float = 0.0) -> list[str] | str:
        """The names of its targets, or the code of the refusal."""
        try:
            return [target.name for target in await self.targets.of(command, waited=waited)]
        except Rejection as rejection:
            return rejection.code


def about(request_id: str, *, source: str = "/ops", **attributes: str) -> Command:
    return parse_control(make_command("cancel", request_id, source=source, **attributes))


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searches, "PAUSE", 0.0)
    monkeypatch.setattr(searches, "backoff", lambda *_, **__: 0.01)
    monkeypatch.setattr(targets, "ANSWER_SECONDS", 0.2)


async def test_what_is_known_is_found_without_a_list() -> None:
    async with Scene().running() as scene:
        for name in ("a", "b"):
            scene.contents.put_job(make_job(name))
        assert await scene.told(about("a")) == ["a"]
        assert scene.lists.asked == []


async def test_what_has_ended_is_found_with_one_list() -> None:
    async with Scene("done").running() as scene:
        assert await scene.told(about("done")) == ["done"]
        assert await scene.told(about("done", requestsource="/other"), waited=PATIENCE) == "UNKNOWN"
        assert len(scene.lists.asked) == 2


async def test_commands_that_wait_are_looked_up_together_and_once() -> None:
    async with Scene(wait=0.3).running() as scene:
        waiting = [scene.told(about(f"none-{number}")) for number in range(100)]
        assert set(map(str, await asyncio.gather(*waiting))) == {"UNKNOWN"}
        assert len(scene.lists.asked) <= 2
        assert sum(map(len, scene.lists.asked)) == 100


async def test_a_command_that_waits_goes_on_once_its_request_has_a_job() -> None:
    async with Scene().running() as scene:
        waiting = asyncio.create_task(scene.told(about("late", requestsource="/s")))
        await asyncio.sleep(0.05)
        scene.contents.put_job(make_job("late", name="foreign", uid="f", source="/other"))
        scene.contents.put_job(make_job("late"))
        assert await waiting == ["late"]


async def test_a_command_is_refused_once_its_time_is_over_even_without_an_answer() -> None:
    async with Scene(wait=0.05).running() as scene:
        scene.lists.errors += [Unavailable("not now")] * 100
        assert await scene.told(about("none")) == "UNKNOWN"


async def test_a_command_that_comes_back_is_asked_about_again_only_when_its_time_is_over() -> None:
    async with Scene("done", wait=0.2).running() as scene:
        assert await scene.told(about("done"), waited=0.1) == ["done"]
        assert len(scene.lists.asked) == 1
        assert await scene.told(about("done"), waited=9.0) == ["done"]


async def test_of_several_jobs_of_one_source_and_id_a_command_has_to_name_one() -> None:
    async with Scene(wait=0.1).running() as scene:
        for name, namespace in (("mail-h", "jobs"), ("post-h", "jobs"), ("mail-h", "other")):
            scene.contents.put_job(make_job("a", name=name, namespace=namespace, uid=f"{namespace}/{name}"))
        assert await scene.told(about("a")) == "AMBIGUOUS"
        assert await scene.told(about("a", jobname="mail-h")) == "AMBIGUOUS"
        assert await scene.told(about("a", jobname="post-h")) == ["post-h"]
        assert await scene.told(about("a", jobnamespace="other")) == ["mail-h"]
        assert await scene.told(about("a", jobname="mail-h", jobnamespace="jobs")) == ["mail-h"]
        with pytest.raises(Rejection, match="its subject, jobname and jobnamespace name"):
            await scene.targets.of(about("a", jobname="mail-h", jobnamespace="none"), waited=0.0)


async def test_a_job_is_named_by_any_of_its_attempts() -> None:
    async with Scene(wait=0.1).running() as scene:
        scene.contents.put_job(make_job("a", name="mail-h-2", attempt=2))
        for name in ("mail-h", "mail-h-2", "mail-h-3"):
            assert await scene.told(about("a", jobname=name)) == ["mail-h-2"]
        assert await scene.told(about("a", jobname="mail-h-x")) == "UNKNOWN"


async def test_several_jobs_that_are_done_are_all_told_alike() -> None:
    async with Scene("done").running() as scene:
        scene.lists.jobs.append(make_job("done", name="another", uid="x", has_finalizer=False))
        assert await scene.told(about("done")) == ["done", "another"]


async def test_of_too_many_that_wait_the_oldest_of_the_largest_group_goes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with Scene().running() as scene:
        monkeypatch.setattr(scene.targets, "_room", WaitingRoom(4))
        alone = asyncio.create_task(scene.told(about("a", source="/alone")))
        many = [asyncio.create_task(scene.told(about(f"m{number}", source="/many"))) for number in range(10)]
        await asyncio.wait(many[:7])
        with pytest.raises(PutBack) as caught:
            await many[0]
        assert 0 < caught.value.delay <= waitingroom.LONGEST
        assert not caught.value.counts
        assert not any(task.done() for task in (alone, *many[7:]))
        scene.contents.put_job(make_job("a"))
        assert await alone == ["a"]
        for task in many:
            task.cancel()
        await asyncio.gather(*many, return_exceptions=True)


def test_the_more_wait_at_the_broker_the_longer_each() -> None:
    now = 0.0
    room = WaitingRoom(1, clock=lambda: now)
    delays = [room.delay() for _ in range(10_000)]
    assert (delays[0], delays[-1]) == (waitingroom.SHORTEST, waitingroom.LONGEST)
    assert delays == sorted(delays)
    back = sorted(delay for delay in delays if delay < waitingroom.LONGEST)
    assert min(later - earlier for earlier, later in pairwise(back)) > 0.009
    now = 300.0
    assert room.delay() == waitingroom.SHORTEST
