"""Loops among waiting Jobs are found beside everything else, and forgotten as soon as one of them has changed."""

import asyncio
import tracemalloc
from collections.abc import Sequence

import pytest

from handler.admission.data import Entry
from handler.controller import cycles as module
from handler.controller.cycles import Cycles
from k8s.background import beside
from tests.handler.admission.entries import make_entry, wait_for
from tests.patience import PATIENCE

A, B = make_entry("a", needs=wait_for("b")), make_entry("b", needs=wait_for("a"))


class Scene:
    def __init__(self) -> None:
        self.cycles, self.found = Cycles(), asyncio.Event()

    def come(self, *entries: Entry) -> None:
        for entry in entries:
            self.cycles.changed((None, None), (entry, None), lambda _: False)
        self.cycles.consider([], entries)

    async def loops(self) -> Sequence[str]:
        self.found.clear()
        async with beside(self.cycles.run(self.found.set)), asyncio.timeout(PATIENCE):
            await self.found.wait()
        return sorted(name for _, name in self.cycles.loops)


async def test_jobs_that_wait_for_each_other_are_found_until_one_of_them_changes() -> None:
    scene = Scene()
    scene.come(A, B, make_entry("c", needs=wait_for("c")))
    assert await scene.loops() == ["a", "b", "c"]
    scene.cycles.changed((A, None), (None, None), lambda _: False)
    assert list(scene.cycles.loops) == [("jobs", "c")]


async def test_a_job_that_has_changed_since_is_in_no_loop() -> None:
    scene = Scene()
    scene.come(A, B, make_entry("c", needs=wait_for("c")))
    scene.cycles.changed((A, None), (None, None), lambda _: False)
    assert await scene.loops() == ["c"]


async def test_what_changes_is_remembered_only_for_a_search() -> None:
    scene = Scene()
    scene.come(A, B)
    assert await scene.loops() == ["a", "b"]
    alone = [make_entry(f"r{number}") for number in range(1000)]
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for entry in alone:
        scene.cycles.changed((None, None), (None, entry), lambda _: False)
        scene.cycles.consider([], [])
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 1000, "thousands of Jobs come and go that wait for no other"


async def test_a_search_leaves_most_of_the_time_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLICE", 0.0005)
    scene, turns = Scene(), 0
    many = [make_entry(f"r{number}", needs=wait_for(f"r{(number + 1) % 3000}")) for number in range(3000)]
    scene.come(*many)

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with beside(others()):
        assert len(await scene.loops()) == 3000
    assert turns > 10


def test_only_what_may_close_a_loop_leads_to_a_search() -> None:
    cycles = Cycles()

    def due(before: Entry | None, after: Entry | None, *wanted: str) -> bool:
        cycles.changed((before, None), (after, None), lambda request_id: request_id in wanted)
        was = cycles._due
        cycles.consider([], [])
        return was

    plain = make_entry("a")
    assert not due(None, plain)
    assert due(None, plain, "a")
    assert not due(plain, make_entry("a", gpus=1), "a")
    assert due(None, A)
    assert not due(A, make_entry("a", needs=wait_for("b", searched=False)))
    assert not due(A, make_entry("a", needs=wait_for()))
    assert due(A, make_entry("a", needs=wait_for("b", "c")))
