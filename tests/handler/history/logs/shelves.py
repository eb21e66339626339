"""Records of logs in memory: the part of a `Reader` and a `Writer` that logs need, without a database."""

from collections.abc import Mapping, Sequence
from typing import cast

from handler.history.base import Bodies, KeptLog, Key, PodRun, Reader, Request, StoreUnavailable, Writer
from handler.history.logs.bodies import kept


class Shelves:
    """What was kept. `pods` by uid, `headers` by uid and container, `chunks` by uid, container and number.

    `events`: what asked, by the request's key. `ill`: how many of the next calls raise `StoreUnavailable`. `found`:
    what is known of requests.
    """

    def __init__(self) -> None:
        self.pods: dict[str, tuple[Key, PodRun, float]] = {}
        self.headers: dict[tuple[str, str], KeptLog] = {}
        self.chunks: dict[tuple[str, str, int], bytes] = {}
        self.events: dict[Key, bytes] = {}
        self.found: list[Request] = []
        self.ill = 0
        self.written: list[KeptLog] = []

    @property
    def reader(self) -> Reader:
        return cast("Reader", self)

    @property
    def writer(self) -> Writer:
        return cast("Writer", self)

    async def logs(self, pod: str) -> Sequence[KeptLog]:
        self._answer()
        return [log for (uid, _), log in self.headers.items() if uid == pod]

    async def chunk(self, pod: str, container: str, number: int) -> bytes | None:
        self._answer()
        return self.chunks.get((pod, container, number))

    async def find(self, request_id: str, source: str | None = None) -> Sequence[Request]:
        self._answer()
        return [one for one in self.found if (one.key.id, one.key.source) == (request_id, source)]

    async def keep_pod(self, key: Key, pod: PodRun, *, created: float, asked: bytes | None = None) -> None:
        self._answer()
        if asked is not None:
            self.events.setdefault(key, asked)
        self.pods[pod.uid] = key, pod, created

    async def keep_log(self, log: KeptLog, *, put: Mapping[int, bytes] = {}, drop: Sequence[int] = ()) -> None:
        self._answer()
        assert log.pod in self.pods
        self.written.append(log)
        self.headers[log.pod, log.container] = log
        self.chunks |= {(log.pod, log.container, number): body for number, body in put.items()}
        for number in drop:
            self.chunks.pop((log.pod, log.container, number), None)

    def log(self, request_id: str, container: str = "main") -> KeptLog | None:
        """The log of this container of the only pod of this request."""
        uids = [pod.uid for key, pod, _ in self.pods.values() if key.id == request_id]
        return self.headers.get((uids[0], container)) if len(uids) == 1 else None

    def _answer(self) -> None:
        if self.ill:
            self.ill -= 1
            raise StoreUnavailable("the database is away")


async def read_back(reader: Reader, log: KeptLog, bodies: Bodies | None = None, *, tail: int | None = None) -> bytes:
    """What is printed of it."""
    return b"".join([piece async for piece in kept(reader, bodies, log.pod, log.container, tail=tail)])
