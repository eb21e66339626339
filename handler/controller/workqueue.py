"""Keys that need a look, and the workers that look: each key by one worker at a time, failed looks repeated."""

import asyncio
import heapq
import itertools
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable

from adapters.base import BrokerUnavailable
from handler.controller.slots import Slots
from handler.effects.publisher import Untaken
from handler.effects.repeating import pause_after
from handler.telemetry.metrics import Metrics
from handler.telemetry.outages import Outages
from k8s.base import Conflict, Key, KubernetesError, LeadershipLost, NotFound

logger = logging.getLogger(__name__)

_SPARE = 64
"""By how much the heap may exceed twice the times in force before it is rebuilt."""


class WorkQueue:
    """A key that is added while a worker has it gets another look afterwards, so that no change is missed.

    With each key it keeps `since`: all changes of the key before that time were done when it was added. `oldest()` is
    the time up to which the leader may vouch for everything.

    Keys whose looks fail stand in a line of their own, those that failed least first: others do not wait for them.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[Key, float] = OrderedDict()
        self._troubled: dict[Key, float] = {}
        self._trouble: list[tuple[int, int, Key]] = []
        self._number = itertools.count()
        self._working: dict[Key, float] = {}
        self._again: dict[Key, float] = {}
        self._failed: dict[Key, float] = {}
        self._attempts: dict[Key, int] = {}
        self._pauses: dict[Key, float] = {}
        self._paused: dict[Key, float | None] = {}
        self._later: dict[Key, float] = {}
        self._heap: list[tuple[float, Key]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._ready = asyncio.Event()
        self._ready_again = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting) + len(self._troubled) + len(self._working) + len(self._failed)

    def __contains__(self, key: Key) -> bool:
        """Whether a look at it is due or under way, or has failed."""
        lines = (self._waiting, self._troubled, self._working, self._failed, self._paused)
        return any(key in line for line in lines)

    def add(self, keys: Iterable[Key], *, since: float) -> None:
        """These changed after `since` (epoch seconds, the API server's clock)."""
        for key in keys:
            if key in self._paused:
                known = self._paused[key]
                self._paused[key] = since if known is None else min(since, known)
            elif key in self._working:
                self._again[key] = min(since, self._again.get(key, since))
            else:
                self._line_up(key, min(since, self._failed.pop(key, since)))
        if self._waiting:
            self._ready.set()

    def _line_up(self, key: Key, since: float) -> None:
        attempts = self._attempts.get(key, 0)
        line = self._troubled if attempts else self._waiting
        if attempts and key not in line:
            heapq.heappush(self._trouble, (attempts, next(self._number), key))
            self._ready_again.set()
        line[key] = min(since, line.get(key, since))

    def add_later(self, key: Key, delay: float) -> None:
        """Look at it again in `delay` seconds, changed or not; sooner if an earlier time is set already."""
        at = asyncio.get_running_loop().time() + max(0.0, delay)
        if at < self._later.get(key, float("inf")):
            self._later[key] = at
            heapq.heappush(self._heap, (at, key))
            self._set_timer()

    def forget(self, key: Key) -> None:
        """Drop the time set for it, which may be a year away: there is nothing to look at any more."""
        if self._later.pop(key, None) is not None and len(self._heap) > 2 * len(self._later) + _SPARE:
            self._heap = [(at, waiting) for waiting, at in self._later.items()]
            heapq.heapify(self._heap)
            self._set_timer()

    async def get(self) -> Key:
        """Wait for the next key whose last look did not fail; `done`, `failed` or `leave` gives it back."""
        while not self._waiting:
            self._ready.clear()
            await self._ready.wait()
        key, since = self._waiting.popitem(last=False)
        self._working[key] = since
        return key

    async def get_troubled(self) -> Key:
        """Wait for the next key whose last look failed; in all else like `get`."""
        while not self._trouble:
            self._ready_again.clear()
            await self._ready_again.wait()
        _, _, key = heapq.heappop(self._trouble)
        self._working[key] = self._troubled.pop(key)
        return key

    def pause_after(self, key: Key, seconds: float) -> None:
        """The look at this key that is under way was long. When it has succeeded, the next one begins no sooner."""
        self._pauses[key] = seconds

    def done(self, key: Key) -> None:
        """The look succeeded: all changes before it began are done."""
        del self._working[key]
        self._attempts.pop(key, None)
        again, pause = self._again.pop(key, None), self._pauses.pop(key, None)
        if pause is not None:
            self._paused[key] = again
            asyncio.get_running_loop().call_later(pause, self._go_on, key)
        elif again is not None:
            self.add([key], since=again)

    def _go_on(self, key: Key) -> None:
        again = self._paused.pop(key)
        if again is not None:
            self.add([key], since=again)

    def settle(self, key: Key) -> None:
        """The look under way has done what changed since it began, too: it needs no other look."""
        self._again.pop(key, None)

    def failed(self, key: Key) -> int:
        """The look failed: the key still counts in `oldest`. Returns how many looks failed in a row."""
        self._attempts[key] = attempts = self._attempts.get(key, 0) + 1
        self.leave(key)
        return attempts

    def leave(self, key: Key) -> None:
        """The key is not for us: it counts in `oldest` until it changes and a look at it succeeds."""
        since = self._working.pop(key)
        self._pauses.pop(key, None)
        if self._again.pop(key, None) is None:
            self._failed[key] = since
        else:
            self.add([key], since=since)

    def oldest(self) -> float:
        """All changes before this time are done; infinite if no key is left."""
        paused = [since for since in self._paused.values() if since is not None]
        lines = (self._waiting, self._troubled, self._working, self._failed)
        pending = (*(line.values() for line in lines), paused)
        return min((since for group in pending for since in group), default=float("inf"))

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._heap:
            self._timer = asyncio.get_running_loop().call_at(self._heap[0][0], self._fire)

    def _fire(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._heap and self._heap[0][0] <= now:
            at, key = heapq.heappop(self._heap)
            if self._later.get(key) == at:
                del self._later[key]
                self.add([key], since=float("inf"))
        self._set_timer()


class NewerFormat(Exception):
    """The object was written by a newer version of jobrelay, and is left alone."""


class Workers:
    """Looks at `at_once` keys concurrently: a look is a few calls that wait for the broker or the API server.

    Looks that hang give their places to others. A quarter as many places are for keys whose last look failed.
    """

    def __init__(self, queue: WorkQueue, *, metrics: Metrics, outages: Outages, at_once: int) -> None:
        self._queue = queue
        self._metrics = metrics
        self._outages = outages
        self._untaken: set[Key] = set()
        self._at_once = at_once

    async def run(self, look: Callable[[Key], Awaitable[None]]) -> None:
        """Call `look` with each key, until cancelled. Raises `LeadershipLost` (in a group)."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._again(look, group))
                slots = Slots(self._at_once)
                while True:
                    # Only this loop waits; if each worker did, every change would wake them all.
                    await slots.free()
                    slots.start(group, self._work(await self._queue.get(), look))
        finally:
            for key in [*self._untaken]:
                self._note(key, None)

    async def _again(self, look: Callable[[Key], Awaitable[None]], group: asyncio.TaskGroup) -> None:
        free = asyncio.Semaphore(max(1, self._at_once // 4))
        while True:
            await free.acquire()
            key = await self._queue.get_troubled()
            group.create_task(self._work(key, look)).add_done_callback(lambda _: free.release())

    async def _work(self, key: Key, look: Callable[[Key], Awaitable[None]]) -> None:
        untaken: Untaken | None = None
        try:
            await look(key)
        except LeadershipLost:
            raise
        except NewerFormat:
            # A metric counts it. A leader that understands it begins where we stopped vouching for everything.
            self._queue.leave(key)
        except NotFound:
            self._queue.done(key)  # Deleted meanwhile: the watch will say so.
        except Conflict:
            # Another write was faster: the watch brings what it made of the object.
            self._queue.leave(key)
            self._queue.add_later(key, 0.1)
        except (BrokerUnavailable, KubernetesError) as error:
            attempts = self._look_again(key, error)
            untaken = error if isinstance(error, Untaken) else None
            # What keeps all events back is told once for all of them.
            level = logging.DEBUG if isinstance(error, BrokerUnavailable) else logging.WARNING
            logger.log(level, "looking again: %s", error, extra={"attempt": attempts})
        except Exception as error:
            # A key that we cannot handle must not stop the others.
            self._look_again(key, error)
            logger.exception("look failed")
        else:
            self._queue.done(key)
        finally:
            self._note(key, untaken)

    def _note(self, key: Key, untaken: Untaken | None) -> None:
        """Whether what there is to tell of this key waits for a broker."""
        if key in self._untaken:
            self._untaken.discard(key)
            self._outages.goes_on((self, key))
        if untaken is not None:
            self._untaken.add(key)
            self._outages.waits((self, key), untaken.broker, str(untaken))

    def _look_again(self, key: Key, error: Exception) -> int:
        """Look again after a pause. Returns how many looks failed in a row."""
        self._metrics.sync_failures.inc()
        attempts = self._queue.failed(key)
        self._queue.add_later(key, pause_after(error, attempts, waiting=len(self._untaken)))
        return attempts
