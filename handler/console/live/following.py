"""Follows the log of a container at the cluster until that has ended, each line once.

A read that follows may hang once the node begins a new file (kubernetes#59902), and connections break. So none is
followed for long that brings nothing: the next one begins at the second of the last line, and `Reading` leaves out what
was there before.
"""

import asyncio
import codecs
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import NamedTuple

from events.jobs.pods import ENDED, Role
from handler.console.backend import Backend
from handler.console.views.logbytes import Place
from handler.history.base import Request
from handler.history.logs.stamps import Mark, Reading
from handler.operations.jobs import pods_in, selector_of
from k8s.api.clock import backoff
from k8s.base import KubernetesError, NotFound, Refused

QUIET_SECONDS = 15.0
"""For which a read brings nothing until another one begins."""
LOOK_SECONDS = 1.0
"""Between two looks at a container that has not started yet."""
BYTES_PER_SECOND = 512 << 10
"""Of a log, at most: whoever reads it cannot read faster."""
PIECE = 32 << 10


class Part(NamedTuple):
    """What is new. `mark`: from where to go on after it. `renewed`: something before it is missing."""

    text: str
    mark: Mark
    renewed: bool


class Following:
    """`mark`: how far the log was read; None: it begins with the last `tail` lines."""

    def __init__(self, backend: Backend, request: Request, place: Place, *, tail: int, mark: Mark | None) -> None:
        self.mark = mark
        self._cluster = backend.cluster
        # Not by the Job, as `pods_of` does: a pod may be recorded before the event that names its Job.
        self._selector = selector_of(backend.settings, request.key.id)
        self._place = place
        self._tail = tail

    async def parts(self) -> AsyncIterator[Part]:
        """Until the container has ended, or is gone. Whatever the cluster answers meanwhile, it is asked again."""
        failures = 0
        while True:
            over = await self._is_over()
            try:
                async with aclosing(self._read(follow=over is False)) as parts:
                    async for part in parts:
                        failures = 0
                        yield part
            except NotFound:
                return
            except Refused:
                # It has not started yet, or its log is gone from the node.
                pass
            except KubernetesError:
                over, failures = None, failures + 1
            if over:
                return
            await asyncio.sleep(backoff(failures) if failures else LOOK_SECONDS)

    async def _read(self, *, follow: bool) -> AsyncGenerator[Part]:
        """What is new until the log ends, or is quiet for so long."""
        pod, reading, text = self._place.pod, Reading(self.mark), codecs.getincrementaldecoder("utf-8")("replace")
        pieces = self._cluster.pod_log(
            pod.namespace,
            pod.name,
            container=self._place.container,
            follow=follow,
            tail=None if self.mark else self._tail,
            since=self.mark.since if self.mark else None,
            timestamps=True,
        )
        async with aclosing(_until_quiet(pieces)) as coming:
            async for piece in coming:
                for at in range(0, len(piece), PIECE):
                    new = text.decode(reading.feed(piece[at : at + PIECE]))
                    self.mark = reading.mark()
                    if new and self.mark is not None:
                        yield Part(new, self.mark, reading.renewed)
                        reading.renewed = False
                        await asyncio.sleep(len(new) / BYTES_PER_SECOND)

    async def _is_over(self) -> bool | None:
        """Whether the container writes no more; None if the cluster does not say."""
        place = self._place
        try:
            pods = await pods_in(self._cluster, place.pod.namespace, self._selector)
        except KubernetesError:
            return None
        pod = next((one for one in pods if one.uid == place.pod.uid), None)
        if pod is None or pod.phase in ENDED:
            return True
        one = next((one for one in pod.containers if one.name == place.container), None)
        return one is not None and one.finished is not None and one.role is not Role.SIDECAR


async def _until_quiet(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """These pieces, until none comes for `QUIET_SECONDS`."""
    try:
        while True:
            async with asyncio.timeout(QUIET_SECONDS):
                piece = await anext(pieces, None)
            if piece is None:
                return
            yield piece
    except TimeoutError:
        return
    finally:
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()
