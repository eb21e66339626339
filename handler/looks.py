"""Works off the keys of a queue, many at a time: a look that fails is repeated and stops no other. Looks at nothing."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from adapters.base import BrokerUnavailable
from handler.metrics import Metrics
from handler.workqueue import Key, WorkQueue
from k8s.api.clock import backoff
from k8s.base import Conflict, KubernetesError, LeadershipLost, NotFound, Unavailable

logger = logging.getLogger(__name__)


class NotOurs(Exception):
    """What was looked at was written by a newer version: it is left alone."""


class Looks:
    """`at_once`: a look is a few calls that wait for the broker or the API server."""

    def __init__(self, queue: WorkQueue, *, metrics: Metrics, at_once: int) -> None:
        self._queue = queue
        self._metrics = metrics
        self._at_once = at_once

    async def run(self, look: Callable[[Key], Awaitable[None]]) -> None:
        """Until cancelled. Raises `LeadershipLost` (in a group)."""
        free = asyncio.Semaphore(self._at_once)
        async with asyncio.TaskGroup() as group:
            while True:
                # One waits for the queue: with each look waiting there itself, every change would wake all of them.
                await free.acquire()
                key = await self._queue.get()
                group.create_task(self._work(key, look)).add_done_callback(lambda _: free.release())

    async def _work(self, key: Key, look: Callable[[Key], Awaitable[None]]) -> None:
        try:
            await look(key)
        except LeadershipLost:
            raise
        except NotOurs:
            # Counted by a metric. Whoever understands it begins where we stopped vouching for everything.
            self._queue.leave(key)
        except NotFound:
            self._queue.done(key)  # It went meanwhile; the watch will say so.
        except Conflict:
            # Somebody was faster: the watch brings what they made of it.
            self._queue.failed(key)
            self._queue.add_later(key, 0.1)
        except (BrokerUnavailable, KubernetesError) as error:
            attempts = self._look_again(key, error)
            logger.warning("looking again: %s", error, extra={"attempt": attempts})
        except Exception as error:
            # One that we cannot handle must not stop the others.
            self._look_again(key, error)
            logger.exception("look failed")
        else:
            self._queue.done(key)

    def _look_again(self, key: Key, error: Exception) -> int:
        self._metrics.sync_failures.inc()
        attempts = self._queue.failed(key)
        retry_after = error.retry_after if isinstance(error, Unavailable) else None
        self._queue.add_later(key, backoff(attempts, retry_after=retry_after))
        return attempts
