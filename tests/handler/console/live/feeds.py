"""A record to write to, a page that serves it, and streams read as browsers read them. Support for tests."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import ClientResponse, ClientSession, ClientTimeout

from adapters.base import Cursor
from handler.console.backend import Backend
from handler.console.serving.server import serve_page
from handler.history.base import Batch, Entry, Store, Writer
from handler.history.sql.store import open_store
from handler.settings.settings import Settings
from handler.telemetry.metrics import Metrics
from k8s.api.cluster import Cluster
from tests.handler.commands.history.records import BROKER
from tests.handler.samples import until
from tests.patience import PATIENCE


@dataclass
class Record:
    """A store that this test writes to."""

    store: Store
    writer: Writer
    cursor: Cursor | None = None

    @property
    def told(self) -> int:
        """How many events were recorded."""
        return self.cursor.sequence if self.cursor else 0

    async def add(self, *entries: Entry) -> None:
        """Record these, in one transaction."""
        after = self.cursor
        cursor = Cursor("stream", (after.sequence if after else 0) + len(entries), "")
        await self.writer.add(Batch(cursor=cursor, entries=entries), broker=BROKER, after=after)
        self.cursor = cursor


@asynccontextmanager
async def recording(url: str | None = None) -> AsyncIterator[Record]:
    async with open_store(url, migrate=True) as store, store.writing() as writer:
        yield Record(store, writer, await store.position(BROKER))


def backend_of(store: Store, cluster: Cluster, **settings: Any) -> Backend:
    chosen = Settings(role="console", ui_address="127.0.0.1:0", **settings)
    backend = Backend(chosen, cluster=cluster, brokers={}, metrics=Metrics(role="console"))
    backend.opened(store, None)
    return backend


@dataclass(frozen=True)
class Message:
    """`id`: None where it has none."""

    event: str
    data: Any
    id: str | None


class Stream:
    """What a browser's `EventSource` keeps of a stream. `last`: what it would send as `Last-Event-ID`."""

    def __init__(self, lines: AsyncIterable[bytes], last: str = "") -> None:
        self.last = last
        self.retry: int | None = None
        self._lines = lines

    async def next(self) -> Message | None:
        """The next message; None at the end."""
        event, data, at = "message", list[str](), None
        async with asyncio.timeout(PATIENCE):
            async for line in self._lines:
                name, _, value = line.decode().rstrip("\n").partition(":")
                value = value.removeprefix(" ")
                if name == "event":
                    event = value
                elif name == "data":
                    data.append(value)
                elif name == "id":
                    at = self.last = value
                elif name == "retry":
                    self.retry = int(value)
                elif not name and not value and line == b"\n":
                    if data:
                        return Message(event, orjson.loads("\n".join(data)), at)
                    event, at = "message", None
        return None

    async def until(self, event: str) -> Message:
        while True:
            message = await self.next()
            assert message is not None, f"the stream ended before {event}"
            if message.event == event:
                return message

    async def ids(self, count: int) -> list[str]:
        """The ids of requests in the next messages, until there are so many."""
        found: list[str] = []
        while len(found) < count:
            found += [row["id"] for row in (await self.until("requests")).data]
        return found


@asynccontextmanager
async def serving(backend: Backend) -> AsyncIterator[str]:
    """The page's URL, without a slash at its end."""
    async with serve_page(backend) as served:
        assert served is not None
        yield served.url.rstrip("/")


@asynccontextmanager
async def streaming(url: str, *, last: str = "", **query: Any) -> AsyncIterator[Stream]:
    """A stream, as soon as there is something to follow."""
    headers = {"Last-Event-ID": last} if last else {}
    async with ClientSession(timeout=ClientTimeout(total=None)) as session:

        async def begun() -> ClientResponse | None:
            answer = await session.get(url, params=query, headers=headers)
            if answer.status == 503:
                answer.release()
                return None
            return answer

        async with await until(begun) as answer:
            assert answer.status == 200, await answer.text()
            assert answer.content_type == "text/event-stream"
            yield Stream(answer.content, last)


def rows(message: Message) -> Sequence[tuple[str, str]]:
    """Ids and phases."""
    return [(row["id"], row["phase"]) for row in message.data]
