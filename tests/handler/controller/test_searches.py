"""Many requests are looked up with one list, groups take turns, and no failure ends it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from events.identity import request_label
from handler.controller import searches as module
from handler.controller.searches import IDS_AT_ONCE, SHARE, Answer, Searches
from k8s.background import beside
from k8s.base import Refused, Unavailable
from tests.handler.controller.looking import Lists, make_job, services_with
from tests.patience import PATIENCE


class Scene:
    def __init__(self, lists: Lists) -> None:
        self.lists = lists
        self.searches = Searches(services_with(lists))
        self.answers: dict[str, Answer] = {}

    def ask(self, name: str, *ids: str, group: str = "g") -> module.Question:
        return self.searches.ask(ids, group=group, done=lambda answer: self.answers.__setitem__(name, answer))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with beside(self.searches.run()):
            yield

    async def answered(self, *names: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while not set(names) <= self.answers.keys():
                await asyncio.sleep(0.001)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.0)
    monkeypatch.setattr(module, "backoff", lambda *_, **__: 0.0)


async def test_many_questions_take_one_list_and_each_gets_its_own_answer() -> None:
    a, b = make_job("a"), make_job("b")
    scene = Scene(Lists(a, b))
    scene.ask("first", "a", "none")
    scene.ask("second", "b", "a", group="h")
    async with scene.running():
        await scene.answered("first", "second")
    assert scene.answers == {"first": {"a": [a]}, "second": {"a": [a], "b": [b]}}
    assert [sorted(labels) for labels in scene.lists.asked] == [sorted(map(request_label, ("a", "b", "none")))]


async def test_a_group_that_asks_much_holds_up_no_other() -> None:
    scene = Scene(Lists())
    for number in range(10):
        scene.ask(f"big-{number}", *(f"r{number * 90 + one}" for one in range(90)), group="big")
    scene.lists.free.clear()
    async with scene.running():
        await asyncio.sleep(0)
        scene.ask("small", "other", group="small")
        scene.lists.free.set()
        await scene.answered("small", *(f"big-{number}" for number in range(10)))
    assert all(len(labels) <= IDS_AT_ONCE for labels in scene.lists.asked)
    assert len(scene.lists.asked) == 10
    assert request_label("other") in scene.lists.asked[1][: SHARE + 1]


async def test_the_selector_of_a_full_list_fits_what_proxies_take() -> None:
    labels = ",".join(request_label(f"r{number}") for number in range(IDS_AT_ONCE))
    assert len(labels.replace(",", "%2C")) < 6_000


async def test_a_list_that_fails_is_repeated_whatever_the_error() -> None:
    scene = Scene(Lists(job := make_job("a")))
    scene.lists.errors += [Unavailable("not now"), Refused("no", status=400), RuntimeError("a bug")]
    scene.ask("only", "a")
    async with scene.running():
        await scene.answered("only")
    assert (scene.answers, len(scene.lists.asked)) == ({"only": {"a": [job]}}, 4)


async def test_what_is_withdrawn_is_not_asked() -> None:
    scene = Scene(Lists())
    scene.ask("gone", "a").withdraw()
    with scene.searches.asking(["b"], group="g", done=lambda _: None):
        pass
    scene.ask("stays", "c")
    async with scene.running():
        await scene.answered("stays")
    assert (list(scene.answers), scene.lists.asked) == (["stays"], [[request_label("c")]])


async def test_however_many_ask_about_one_request_it_is_asked_about_a_bounded_number_of_times() -> None:
    scene = Scene(Lists())
    for number in range(1500):
        scene.ask(f"q{number}", "same")
    async with scene.running():
        await scene.answered(*(f"q{number}" for number in range(1500)))
    assert len(scene.lists.asked) == 2
