"""Reads the log of one container, once, and has what is to be kept of it stored. Repeats nothing."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import msgspec
from msgspec import structs

from handler.history.base import Bodies, HistoryError, KeptLog, LogState, LogWriter, Reader, StoreUnavailable
from handler.history.logs.bodies import chunk_of, compressed
from handler.history.logs.keeping import CHUNK, NOTHING, Chunk, Keeper, Kept, Shelf
from handler.history.logs.stamps import Mark, Reading
from handler.history.logs.watching import Seen
from k8s.api.cluster import Cluster
from k8s.base import Refused, Unavailable

SECONDS = 30.0
"""Until a log has to have begun to come, and for which it may come slowly."""
BYTES_PER_SECOND = 262_144
"""Of a log that takes longer than that."""
RENEWED = "the node began a new file of it between two reads: what the last one had at its end is missing"
_NOT_THERE = (b"unable to retrieve container logs for ", b"failed to try resolving symlinks in path ")
"""What a kubelet answers, with status 200 and without an end of line, in place of a log that it does not have."""
_SHORT = 2048
"""Bytes; such an answer has less."""


class BodiesUnavailable(HistoryError):
    """The store of logs outside of the database, not now."""


class Log(msgspec.Struct, frozen=True, gc=False):
    """What is known of a container's log. `header`: as it is stored; None if nothing is.

    `shelf` and `mark`: None if another process has stored it.
    """

    header: KeptLog | None = None
    shelf: Shelf | None = None
    mark: Mark | None = None

    @property
    def done(self) -> bool:
        return self.header is not None and self.header.state is not LogState.GROWING


class Taking:
    """Logs go to `bodies`, or where that is None to the database. `limit`: bytes to keep of each."""

    def __init__(
        self, cluster: Cluster, reader: Reader, writer: LogWriter, bodies: Bodies | None, *, limit: int
    ) -> None:
        self._cluster = cluster
        self._reader = reader
        self._writer = writer
        self._bodies = bodies
        self._limit = limit

    async def read(self, seen: Seen, container: str, log: Log, *, final: bool, answered: Callable[[], None]) -> Log:
        """Read what is new of it, and store that. `final`: the container has ended. `answered` is called once.

        The pod has to be noted. Raises `KubernetesError`, `StoreUnavailable`, `BodiesUnavailable`: nothing is changed
        then.
        """
        shelf, unfilled = await self._stored(seen, container, log)
        mark = log.mark or (Mark(log.header.read) if log.header and shelf.chunks else None)
        keeper, reading = Keeper(self._limit, shelf, unfilled), Reading(mark)
        # What is read but once needs no times.
        stamped = mark is not None or not final

        def take(piece: bytes) -> None:
            keeper.feed(reading.feed(piece) if stamped else piece)

        await self._pour(seen, container, take, mark, stamped=stamped, answered=answered)
        if log.header is not None and not (final or keeper.fed or reading.renewed):
            return structs.replace(log, shelf=shelf, mark=reading.mark())
        kept = await asyncio.to_thread(keeper.finish)
        now = reading.mark()
        reason = RENEWED if reading.renewed else log.header.reason if log.header else None
        read = time.time() if final else now.last if now else 0.0
        header = _header(seen, container, kept.shelf, final=final, reason=reason, read=read)
        await self._keep(header, kept)
        return Log(header, kept.shelf, now)

    async def give_up(self, seen: Seen, container: str, log: Log, reason: str) -> Log:
        """Note that there will be no more of it, and why. Raises `StoreUnavailable`."""
        header = log.header or KeptLog(pod=seen.run.uid, container=container, state=LogState.MISSING)
        state = LogState.CUT if header.chunks else LogState.MISSING
        header = structs.replace(header, state=state, reason=reason, read=time.time())
        await self._writer.keep_log(header)
        return structs.replace(log, header=header)

    async def _pour(
        self,
        seen: Seen,
        container: str,
        take: Callable[[bytes], None],
        mark: Mark | None,
        *,
        stamped: bool,
        answered: Callable[[], None],
    ) -> None:
        """Have `take` called with all of the log from the mark on, in small pieces."""
        run, came, begun = seen.run, 0, asyncio.get_running_loop().time()
        since = mark.since if mark else None
        try:
            async with asyncio.timeout_at(begun + SECONDS) as patience:
                async for piece in self._cluster.pod_log(
                    run.namespace, run.name, container=container, since=since, timestamps=stamped
                ):
                    if not came:
                        answered()
                        _check(piece)
                    came += len(piece)
                    for at in range(0, len(piece), CHUNK):
                        take(piece[at : at + CHUNK])
                        await asyncio.sleep(0)
                    patience.reschedule(begun + SECONDS + came / BYTES_PER_SECOND)
        except TimeoutError as error:
            raise Unavailable("the log did not come in time") from error
        if not came:
            answered()

    async def _keep(self, header: KeptLog, kept: Kept) -> None:
        """Chunks before the header that names them, and the header before those go that it does not name any more."""
        if self._bodies is None:
            await self._writer.keep_log(header, put=kept.put, drop=kept.drop)
            return
        with _elsewhere():
            for number, body in kept.put.items():
                await self._bodies.put(header.pod, header.container, number, await asyncio.to_thread(compressed, body))
        await self._writer.keep_log(header)
        if kept.drop:
            with suppress(StoreUnavailable):
                await self._bodies.delete(header.pod, header.container, kept.drop)

    async def _stored(self, seen: Seen, container: str, log: Log) -> tuple[Shelf, bytes]:
        """What is stored of it, and the bytes of its unfilled chunk. What has gone meanwhile counts as left out."""
        shelf = log.shelf
        if shelf is None:
            shelf = NOTHING if log.header is None else await self._measured(log.header)
        while (again := shelf.unfilled(self._limit)) is not None:
            body = await self._chunk(seen.run.uid, container, again.number)
            if body is not None and len(body) == again.size:
                return shelf, body
            shelf = shelf.without(again)
        return shelf, b""

    async def _measured(self, header: KeptLog) -> Shelf:
        head: list[Chunk] = []
        tail: list[Chunk] = []
        for place, number in enumerate(header.chunks):
            body = await self._chunk(header.pod, header.container, number)
            if body is not None:
                (head if place < header.head else tail).append(Chunk(number, len(body)))
        return Shelf(tuple(head), tuple(tail), header.dropped)

    async def _chunk(self, pod: str, container: str, number: int) -> bytes | None:
        if self._bodies is None:
            return await chunk_of(self._reader, None, pod, container, number)
        with _elsewhere():
            return await chunk_of(self._reader, self._bodies, pod, container, number)


def _check(first: bytes) -> None:
    """Raises `Refused` if this is no log."""
    if len(first) < _SHORT and first.startswith(_NOT_THERE) and b"\n" not in first:
        raise Refused(first.decode(errors="replace"), status=404)


def _header(seen: Seen, container: str, shelf: Shelf, *, final: bool, reason: str | None, read: float) -> KeptLog:
    state = LogState.GROWING
    if final:
        state = LogState.CUT if shelf.dropped or reason else LogState.WHOLE
    return KeptLog(
        pod=seen.run.uid,
        container=container,
        state=state,
        bytes=shelf.size,
        dropped=shelf.dropped,
        head=len(shelf.head),
        chunks=tuple(chunk.number for chunk in shelf.chunks),
        reason=reason,
        read=read,
    )


@contextmanager
def _elsewhere() -> Iterator[None]:
    try:
        yield
    except StoreUnavailable as error:
        raise BodiesUnavailable(str(error)) from error
