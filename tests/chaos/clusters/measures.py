"""What is measured while nodes go: when each outcome was told, and what `/readyz` of each process said."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from textwrap import shorten

import aiohttp

from events.names import FINALIZER, Annotation
from k8s.background import beside
from k8s.base import Manifest
from tests.chaos.books import ended

_LOOK_SECONDS = 0.25
_ANSWER_SECONDS = 2.0


class Times:
    """Of each request, by id, in seconds of the monotonic clock.

    `accepted`: when the broker had it. `over`: when its Job had ended. `told`: when jobrelay let go of the Job, which
    it does once its terminal event is stored.
    """

    def __init__(self) -> None:
        self.accepted: dict[str, float] = {}
        self.over: dict[str, float] = {}
        self.told: dict[str, float] = {}

    def note(self, job: Manifest, *, at: float, gone: bool) -> None:
        """Fed by a watch."""
        metadata = job["metadata"]
        name = str(metadata["annotations"][Annotation.ID])
        if ended(job) is None:
            return
        self.over.setdefault(name, at)
        if FINALIZER not in metadata.get("finalizers", ()):
            self.told.setdefault(name, at)

    def longest(self, names: Iterable[str]) -> float:
        """The longest time from a request that the broker has to its outcome told."""
        return max((self.told[name] - self.accepted[name] for name in names), default=0.0)

    def longest_held(self, names: Iterable[str]) -> float:
        """The longest time from the end of a Job to its outcome told."""
        return max((self.told[name] - self.over[name] for name in names), default=0.0)


class Readiness:
    """What `/readyz` of processes says, by name of the process; `addresses` are `host:port`."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._addresses = addresses
        self._said: dict[str, list[tuple[float, str, str]]] = {name: [] for name in addresses}

    def now(self, name: str) -> str:
        """What is missing; empty while it is ready."""
        said = self._said[name]
        return said[-1][1] if said else "not asked yet"

    def notes(self, name: str) -> str:
        """What it adds though it is ready."""
        said = self._said[name]
        return said[-1][2] if said else ""

    @property
    def all_ready(self) -> bool:
        return not any(map(self.now, self._addresses))

    @property
    def ready(self) -> list[str]:
        """Those that are."""
        return [name for name in self._addresses if not self.now(name)]

    def since(self, begun: float) -> str:
        """Who was not ready after that moment, from when to when, and what was missing first, in words."""
        spells = [spell for name in self._addresses if (spell := self._spell(name, begun))]
        if not spells:
            return "all ready"
        first, _, why = min(spells)
        last = max(until for _, until, _ in spells)
        who = f"{len(spells)} of {len(self._addresses)} unready"
        return f"{who} between +{first:.1f} and +{last:.1f} s ({shorten(why, 80)})"

    def _spell(self, name: str, begun: float) -> tuple[float, float, str] | None:
        """The first and the last second after `begun` in which it was not ready, and what was missing first."""
        bad = [(at, why) for at, why, _ in self._said[name] if at >= begun and why]
        if not bad:
            return None
        back = next((at for at, why, _ in self._said[name] if at > bad[-1][0] and not why), time.monotonic())
        return bad[0][0] - begun, back - begun, bad[0][1]

    async def follow(self) -> None:
        """Ask again and again."""
        timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                await asyncio.gather(*(self._ask(session, name) for name in self._addresses))
                await asyncio.sleep(_LOOK_SECONDS)

    async def _ask(self, session: aiohttp.ClientSession, name: str) -> None:
        problem, notes = "no answer", ""
        with suppress(aiohttp.ClientError, TimeoutError):
            async with session.get(f"http://{self._addresses[name]}/readyz") as answer:
                lines = (await answer.text()).splitlines()
            problem, notes = ("", "; ".join(lines[1:])) if answer.status == 200 else ("; ".join(lines), "")
        said = self._said[name]
        if not said or said[-1][1:] != (problem, notes):
            said.append((time.monotonic(), problem, notes))


@asynccontextmanager
async def asking(addresses: Mapping[str, str]) -> AsyncIterator[Readiness]:
    """Ask from now on until the block ends."""
    made = Readiness(addresses)
    async with beside(made.follow()):
        yield made


async def metric(address: str, name: str) -> float:
    """The sum of a metric over its labels."""
    async with aiohttp.ClientSession() as session, session.get(f"http://{address}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))
