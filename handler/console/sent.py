"""Remembers what this process has published for people, so that a form sent twice is one action on every broker."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

REMEMBERED_SECONDS = 600.0
"""As long as brokers that drop repeats do so."""
MOST = 10_000
"""Actions that are remembered; the oldest are forgotten first."""


@dataclass(slots=True)
class _Entry:
    content: bytes
    since: float
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    done: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """`done`: it was published before. `taken`: something else was, under the same name."""

    done: bool
    taken: bool


class Sent:
    """What was published by name, for `REMEMBERED_SECONDS`."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: dict[Hashable, _Entry] = {}

    @asynccontextmanager
    async def claim(self, name: Hashable, content: bytes) -> AsyncIterator[Claim]:
        """Publish within the block, unless the claim says that this is not to be. An error there forgets it.

        Whoever claims the same name meanwhile waits for what becomes of it. `content`: what tells two actions apart.
        """
        self._forget()
        entry = self._entries.setdefault(name, _Entry(content, self._clock()))
        async with entry.lock:
            claim = Claim(done=entry.done, taken=entry.done and entry.content != content)
            yield claim
            if not claim.done:
                entry.content, entry.done = content, True

    def _forget(self) -> None:
        past = self._clock() - REMEMBERED_SECONDS
        while self._entries:
            name, entry = next(iter(self._entries.items()))
            if (entry.since > past and len(self._entries) <= MOST) or entry.lock.locked():
                return
            del self._entries[name]
