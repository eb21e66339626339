"""HTTP to one API server: credentials, timeouts, errors, its clock. Knows no resources.

What is read whole goes over connections of `k8s.api.http`. aiohttp does what is rare: it opens watches and logs, and
does everything where there is a proxy.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache, partial
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import orjson
from yarl import URL

from events.problems import brief
from k8s.api.answers import failure
from k8s.api.clock import ServerClock, boottime
from k8s.api.config import Access
from k8s.api.http.message import Answer, Heads, request
from k8s.api.http.pool import CONNECT_SECONDS, Pool
from k8s.background import beside
from k8s.base import Refused, Unavailable

JSON = "application/json"
STRATEGIC_MERGE = "application/strategic-merge-patch+json"

Params = Mapping[str, str]

_LIMITS = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)


class Client:
    """Sends requests to one API server. Made by `open_client`; safe to share between tasks."""

    def __init__(
        self, access: Access, session: aiohttp.ClientSession, *, pool: Pool | None, timeout: float, user_agent: str
    ) -> None:
        """`pool`: None where `session` has to do everything."""
        self._access = access
        self._session = session
        self._exchange = self._through_session if pool is None else partial(self._through_pool, pool)
        self._timeout = timeout
        url = URL(access.base_url)
        self._root = url.raw_path.rstrip("/")
        self._heads = Heads(host=url.host_port_subcomponent or "", user_agent=user_agent)
        self._clock = ServerClock()
        self._options: dict[str, Any] = {
            "ssl": access.tls or True,
            "proxy": access.proxy,
            "server_hostname": access.server_name,
            "allow_redirects": False,
        }

    def server_time(self) -> float:
        """The API server's time in epoch seconds, never ahead of it. Before the first answer, this machine's time."""
        return self._clock.now()

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        body: object = None,
        content_type: str = JSON,
        accept: str = JSON,
        timeout: float | None = None,
    ) -> bytes:
        """Send a request; return the body of a 2xx answer. `path` is already quoted; `body` is sent as JSON.

        `timeout`: seconds for everything together, including reading credentials again after a 401. Raises only the
        errors of `k8s.base`; after `Unavailable` the request may have had its effect. What has one is sent twice only
        after a 401; a GET also if a kept connection turns out to have ended.
        """
        data = None if body is None else orjson.dumps(body)
        wait = self._timeout if timeout is None else timeout
        try:
            answer = await self._exchange(
                method, _target(path, params), data, accept, "" if data is None else content_type, wait
            )
        except (aiohttp.ClientError, OSError) as error:
            raise _unavailable(method, path, error) from error
        if not 200 <= answer.status < 300:
            raise failure(method, answer.status, headers=answer.headers(), body=answer.body)
        return answer.body

    async def _through_pool(
        self, pool: Pool, method: str, target: str, data: bytes | None, accept: str, content_type: str, wait: float
    ) -> Answer:
        target, until = f"{self._root}{target}", asyncio.get_running_loop().time() + wait
        refreshed = False
        while True:
            fields = self._heads.fields(accept, content_type, self._access.authorization)
            sent = boottime()
            answer = await pool.request(request(method, target, fields, data), until=until, repeat=method == "GET")
            self._clock.heard(answer.header(b"date"), sent=sent, received=boottime())
            if answer.status != 401 or refreshed:
                return answer
            async with asyncio.timeout_at(until):
                await self._access.refresh()
            refreshed = True

    async def _through_session(
        self, method: str, target: str, data: bytes | None, accept: str, content_type: str, wait: float
    ) -> Answer:
        headers = {"Accept": accept, **({"Content-Type": content_type} if content_type else {})}
        url = _parsed(f"{self._access.base_url}{target}")
        async with asyncio.timeout(wait):
            async with await self._send(method, url, headers=headers, data=data, timeout=_LIMITS) as response:
                body = await response.read()
        fields = {name.lower(): value for name, value in reversed(response.raw_headers)}
        return Answer(response.status, fields, body)

    @asynccontextmanager
    async def stream(
        self, path: str, *, params: Params | None = None, accept: str = JSON, silence: float | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The body of a 2xx answer to a GET, in pieces as they arrive.

        `silence`: seconds without a byte before `Unavailable`. Entering and iterating raise only the errors of
        `k8s.base`.
        """
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=silence)
        url = _parsed(f"{self._access.base_url}{_target(path, params)}")
        with _translated("GET", path):
            async with asyncio.timeout(self._timeout):
                response = await self._send("GET", url, headers={"Accept": accept}, timeout=limits)
        async with response:
            if not 200 <= response.status < 300:
                with _translated("GET", path):
                    async with asyncio.timeout(self._timeout):
                        answer = await response.read()
                raise failure("GET", response.status, headers=response.headers, body=answer)
            yield _pieces(response, path)
            response.close()  # Do not wait for the rest of it.

    async def _send(self, method: str, url: URL, *, headers: dict[str, str], **options: Any) -> aiohttp.ClientResponse:
        """The answer's head. A 401 had no effect: read the credentials again, and send the request once more."""
        response = await self._send_once(method, url, headers=headers, **options)
        if response.status == 401:
            response.release()
            await self._access.refresh()
            response = await self._send_once(method, url, headers=headers, **options)
        return response

    async def _send_once(
        self, method: str, url: URL, *, headers: dict[str, str], **options: Any
    ) -> aiohttp.ClientResponse:
        sent = boottime()
        granted = self._access.authorization
        headers = {**headers, "Authorization": granted} if granted else headers
        response = await self._session.request(method, url, headers=headers, **self._options, **options)
        self._clock.heard(response.headers.get("Date", ""), sent=sent, received=boottime())
        return response


@asynccontextmanager
async def open_client(access: Access, *, timeout: float = 15.0, user_agent: str = "jobrelay") -> AsyncIterator[Client]:
    """A client for one block, which keeps its credentials fresh. `timeout`: seconds for each request."""
    session = aiohttp.ClientSession(
        # No limit: a Lease renewal must not queue behind creates. Callers bound their own concurrency.
        # Close idle connections soon: after an outage, each dead connection costs a request its whole timeout.
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=15),
        headers={"User-Agent": user_agent},
        # Compression would cost the server more than it saves on a cluster's network.
        skip_auto_headers={"Accept-Encoding"},
        read_bufsize=2**21,
    )
    async with session, beside(access.keep_fresh()):
        pool = _pool(access)
        try:
            yield Client(access, session, pool=pool, timeout=timeout, user_agent=user_agent)
        finally:
            if pool is not None:
                pool.close()


def _pool(access: Access) -> Pool | None:
    url = URL(access.base_url)
    if access.proxy or url.user or not url.raw_host or not url.port:
        return None
    return Pool(url.raw_host, url.port, tls=access.tls, server_name=access.server_name)


def _target(path: str, params: Params | None) -> str:
    return f"{path}{_query(tuple(params.items()))}" if params else path


# Nearly all requests are creates in one namespace, with equal parameters.
@lru_cache(maxsize=64)
def _query(params: tuple[tuple[str, str], ...]) -> str:
    return f"?{urlencode(params, quote_via=quote)}"


@lru_cache(maxsize=64)
def _parsed(url: str) -> URL:
    return URL(url, encoded=True)


def segment(name: str) -> str:
    """A name as one segment of a path. Raises `Refused` for a segment that would name no object, or several."""
    if name in {"", ".", ".."}:
        raise Refused(f"{name!r} is no name", status=400)
    return quote(name, safe="")


async def _pieces(response: aiohttp.ClientResponse, path: str) -> AsyncIterator[bytes]:
    with _translated("GET", path):
        async for piece in response.content.iter_any():
            yield piece
            del piece  # It need not stay until the next one comes.


@contextmanager
def _translated(method: str, path: str) -> Iterator[None]:
    try:
        yield
    except (aiohttp.ClientError, OSError) as error:
        raise _unavailable(method, path, error) from error


def _unavailable(method: str, path: str, error: Exception) -> Unavailable:
    text = " ".join(str(error).split())
    if not text:
        text = "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
    return Unavailable(brief(f"{method} {path}: {text}"))
