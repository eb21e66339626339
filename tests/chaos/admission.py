"""An installation with admission, its load, and the account at the end: on our own servers, or on those of KUBECONFIG,
NATS_URL and RABBITMQ_URL. Does not kill any process.
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from events.phases import TERMINAL, Phase
from tests.bench.load.events import IN_FLIGHT, many
from tests.chaos.books import Books, Limits
from tests.chaos.claims import PhaseEvent, distinct, path_problems
from tests.chaos.crew import Crew, crew
from tests.chaos.turns import Turn
from tests.chaos.watch import watching
from tests.e2e.observer import Observer, phase
from tests.e2e.site import NATS, Site, site, until


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """`books`: kept by a watch that began before the first request. Use `scene()`."""

    site: Site
    crew: Crew
    observer: Observer
    books: Books
    turns: Mapping[str, Turn]

    async def publish(self, names: Sequence[str]) -> None:
        """Publish these requests at the same time."""
        await many(self._publish, names, in_flight=IN_FLIGHT)

    async def feed(self, names: Sequence[str], *, over: float) -> None:
        """Publish these requests one after the other, spread over `over` seconds."""
        for name in names:
            await asyncio.sleep(random.uniform(0, 2 * over / len(names)))
            await self._publish(name)

    async def _publish(self, name: str) -> None:
        await self.observer.publish(self.turns[name].request(name, image=self.site.image))

    async def quiet(self, *, seconds: float) -> None:
        """Wait until all Jobs have ended and lost their finalizer, all ends are published, and no request is queued."""
        try:
            await until(self._is_quiet, seconds=seconds * self.site.patience)
        except TimeoutError:
            raise AssertionError(f"not quiet: {self.books.open()}, {self.books.problems}") from None

    async def _is_quiet(self) -> bool:
        if self.books.open():
            return False
        ended = {event.get_subject() for event in self.observer.events if phase(event) in TERMINAL}
        return ended >= self.turns.keys() and await self.observer.waiting() == 0

    def account(self) -> None:
        """Check every claim, once all is quiet."""
        assert self.books.problems == [], self.books.problems
        events = [PhaseEvent(str(raw.get_subject()), phase(raw), str(raw.get_id())) for raw in self.observer.events]
        paths: dict[str, list[PhaseEvent]] = {name: [] for name in self.turns}
        for event in distinct(events):
            if event.subject in paths:
                paths[event.subject].append(event)
        for name, turn in self.turns.items():
            assert path_problems(paths[name]) == [], paths[name]
            assert paths[name][-1].phase == turn.end, paths[name]
            if turn.end != Phase.CANCELLED:
                assert self.books.pods(name) == turn.runs, f"{name}: its container must run once per attempt, or never"

    def repeats(self) -> str:
        """How many events arrived again, in words."""
        ids = [event.get_id() for event in self.observer.events]
        return f"{len(ids) - len(set(ids))} of {len(ids)} events repeated"

    def waits(self) -> str:
        """The median wait by quarter of priorities, in words, the highest quarter first."""
        return " / ".join(f"{seconds:.1f}" for seconds in reversed(self.books.waits())) + " s"


@asynccontextmanager
async def scene(
    directory: Path, turns: Mapping[str, Turn], limits: Limits, *names: str, broker: str = NATS, **settings: object
) -> AsyncIterator[Scene]:
    """Run processes of these names with these limits. `settings`: more fields of `Settings`."""
    chosen = {"max_active": limits.total, "max_active_per_key": limits.per_key} | settings
    async with site(directory, os.environ, broker=broker) as found:
        instance, books = found.new_instance(), Books(turns, limits)
        async with (
            found.observer(instance) as observer,
            watching(found.cluster, found.namespace, instance, books),
            crew(found, instance, *names, **chosen) as running,
        ):
            yield Scene(site=found, crew=running, observer=observer, books=books, turns=turns)
