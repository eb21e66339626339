"""Look-ups happen one after the other, once each, and are reported afterwards."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from handler.controller.lookups import Lookups
from k8s.base import Key
from tests.patience import PATIENCE

A, B = ("jobs", "a"), ("jobs", "b")


class Scene:
    """Look-ups that are carried out as the test lets them. `steps`: what happened, in order."""

    def __init__(self, *, pause: float = 0.0) -> None:
        self.lookups: Lookups[str] = Lookups(pause=pause)
        self.steps: list[str] = []
        self.free = asyncio.Semaphore(0)

    async def look_up(self, key: Key, about: str) -> None:
        self.steps.append(f"{key[1]} begins: {about}")
        await self.free.acquire()

    def notify(self, keys: Iterable[Key]) -> None:
        self.steps += [f"{name} is done" for _, name in keys]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.lookups.run(self.look_up, self.notify))
        try:
            yield
        finally:
            task.cancel()

    async def reached(self, *steps: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while len(self.steps) < len(steps):
                await asyncio.sleep(0.001)
        assert self.steps == list(steps)


async def test_keys_are_looked_up_one_after_the_other_and_reported_afterwards() -> None:
    scene = Scene()
    async with scene.running():
        scene.lookups.ask(A, "x")
        scene.lookups.ask(B, "y")
        await scene.reached("a begins: x")
        scene.free.release()
        await scene.reached("a begins: x", "a is done", "b begins: y")
        scene.free.release()
        await scene.reached("a begins: x", "a is done", "b begins: y", "b is done")


async def test_a_key_that_is_asked_for_again_before_its_turn_is_looked_up_once() -> None:
    scene = Scene()
    for key, about in ((A, "old"), (B, "y"), (A, "new")):
        scene.lookups.ask(key, about)
    scene.free = asyncio.Semaphore(9)
    async with scene.running():
        await scene.reached("a begins: new", "a is done", "b begins: y", "b is done")


async def test_a_key_that_is_asked_for_during_its_look_up_is_looked_up_again() -> None:
    scene = Scene()
    scene.lookups.ask(A, "old")
    async with scene.running():
        await scene.reached("a begins: old")
        scene.lookups.ask(A, "new")
        scene.free.release()
        await scene.reached("a begins: old", "a is done", "a begins: new")


async def test_a_key_that_is_forgotten_is_not_looked_up() -> None:
    scene = Scene()
    scene.free = asyncio.Semaphore(9)
    scene.lookups.ask(A, "x")
    scene.lookups.forget(A)
    async with scene.running():
        scene.lookups.ask(B, "y")
        await scene.reached("b begins: y", "b is done")


async def test_the_next_look_up_begins_after_the_pause() -> None:
    scene = Scene(pause=0.2)
    scene.free = asyncio.Semaphore(9)
    scene.lookups.ask(A, "x")
    scene.lookups.ask(B, "y")
    began = asyncio.get_running_loop().time()
    async with scene.running():
        await scene.reached("a begins: x", "a is done", "b begins: y", "b is done")
    assert asyncio.get_running_loop().time() - began >= 0.2
