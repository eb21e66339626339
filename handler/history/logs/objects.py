"""Chunks of logs outside of the database: `<prefix>/<pod uid>/<container>/<number>` in a directory, or in S3."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote, urlsplit

from events.problems import brief
from handler.history.base import Bodies, StoreRefused, StoreUnavailable
from handler.history.extra import missing
from handler.history.logs.keeping import CHUNK

if TYPE_CHECKING:
    from obstore.store import LocalStore, S3Store

SECONDS = 30.0
"""Until a request counts as failed, with its repetitions and its wait for a thread."""
_TRY, _CONNECT, _RETRIES = "10s", "5s", 2
_MOST = 2 * CHUNK
"""Bytes that are read of an object. Ours are smaller."""
_UNSAFE = re.compile(rb"[^A-Za-z0-9-]")
_T = TypeVar("_T")


class ObjectBodies:
    """Uses obstore's synchronous functions, in threads: its asynchronous ones may abort the interpreter at its end."""

    def __init__(self, store: "LocalStore | S3Store", pool: ThreadPoolExecutor) -> None:
        import obstore

        self._obstore = obstore
        self._store = store
        self._pool = pool

    async def put(self, pod: str, container: str, number: int, body: bytes) -> None:
        """Raises `StoreUnavailable`: then the chunk may be there, or may not."""
        await self._call(lambda: self._obstore.put(self._store, _key(pod, container, number), body))

    async def get(self, pod: str, container: str, number: int) -> bytes | None:
        """None if there is no such chunk. Raises `StoreUnavailable`."""

        def read() -> bytes | None:
            try:
                found = self._obstore.get(self._store, _key(pod, container, number), options={"range": (0, _MOST)})
                return bytes(found.bytes())
            except FileNotFoundError:
                return None

        return await self._call(read)

    async def delete(self, pod: str, container: str, numbers: Sequence[int]) -> None:
        """Raises `StoreUnavailable`: then some may be gone. Those that are gone already are no error."""

        def remove() -> None:
            for number in numbers:
                try:
                    self._obstore.delete(self._store, _key(pod, container, number))
                except FileNotFoundError:
                    continue

        await self._call(remove)

    async def _call(self, work: Callable[[], _T]) -> _T:
        try:
            async with asyncio.timeout(SECONDS):
                return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        except TimeoutError as error:
            raise StoreUnavailable("the store of logs does not answer in time") from error
        except (self._obstore.exceptions.BaseError, OSError) as error:
            raise StoreUnavailable(brief(f"the store of logs: {' '.join(str(error).split())}")) from error


@asynccontextmanager
async def open_bodies(url: str | None, *, workers: int = 8) -> AsyncIterator[Bodies | None]:
    """The store of this URL: `file:///dir`, which is made if it is missing, or `s3://bucket/prefix`. None: no store.

    `workers`: threads, and so requests at the same time. S3 goes by the usual variables `AWS_*`, `AWS_ENDPOINT_URL`
    among them, or by the identity of the machine. Raises `StoreRefused`.
    """
    if url is None:
        yield None
        return
    store = await asyncio.to_thread(_opened, url)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="logs")
    try:
        yield ObjectBodies(store, pool)
    finally:
        # What still runs ends by its own timeout.
        pool.shutdown(wait=False, cancel_futures=True)


def _opened(url: str) -> "LocalStore | S3Store":
    if (lacking := missing()) is not None:
        raise StoreRefused(lacking)
    from obstore.exceptions import BaseError
    from obstore.store import LocalStore, S3Store

    parts = urlsplit(url)
    try:
        if parts.scheme == "file":
            return LocalStore(unquote(parts.path), mkdir=True, automatic_cleanup=True)
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
        return S3Store(
            parts.netloc,
            prefix=unquote(parts.path).strip("/") or None,
            # Whoever names an endpoint without TLS wants that.
            client_options={
                "timeout": _TRY,
                "connect_timeout": _CONNECT,
                **({"allow_http": True} if endpoint.startswith("http:") else {}),
            },
            retry_config={"max_retries": _RETRIES},
        )
    except (BaseError, OSError, ValueError) as error:
        raise StoreRefused(brief(f"JOBRELAY_LOG_STORE cannot be opened: {error}")) from error


def _key(pod: str, container: str, number: int) -> str:
    """No name leads out of the prefix, or to what another name leads to."""
    return f"{_segment(pod)}/{_segment(container)}/{int(number)}"


def _segment(name: str) -> str:
    return _UNSAFE.sub(lambda found: b"_%02x" % found[0][0], name.encode(errors="surrogatepass")).decode() or "_"
