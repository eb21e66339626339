"""A connection to NATS that restores itself, with request and reply and the JetStream API on it. It knows no topics.

Workarounds for nats-py are in `client`.
"""

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import orjson

from adapters.background import running
from adapters.base import BrokerUnavailable
from adapters.jetstream.client import Handle, Interest, NatsError, SafeClient
from adapters.jetstream.errors import (
    ApiError,
    Forbidden,
    NoAnswer,
    NoResponders,
    NotStored,
    TooLarge,
    error_of_a_stream,
    unanswered,
)
from adapters.jetstream.message import Message, block
from adapters.jetstream.options import OWN_API, RULES, JetStreamOptions
from adapters.jetstream.outage import Outage
from adapters.listeners import Listeners
from adapters.urls import parse

logger = logging.getLogger(__name__)


CHECK_SECONDS = 1.0
LATE_SECONDS = 0.5
FLUSH_SECONDS = 2
UNSENT_LIMIT = 100_000
_TOO_LARGE = 10054
_BODY_ERROR = b'"error"'


class Connection:
    """A client, replaced when it closed for good. Use `connection()`."""

    def __init__(self, url: str, options: JetStreamOptions) -> None:
        self._url = parse(url, RULES)
        self._options = options
        self._client = SafeClient()
        self._replies: Interest | None = None
        self._inbox = ""
        self._tokens = itertools.count()
        self._waiting: dict[str, tuple[asyncio.Future[Message], str, float]] = {}
        """Requests without a reply, oldest first: where it goes, the subject, and the loop's time when it is late."""
        self._timer: asyncio.TimerHandle | None = None
        self._unsent: deque[tuple[str, bytes]] = deque(maxlen=UNSENT_LIMIT)
        self.reconnects = Listeners()
        """Notified after each reconnect, when pull requests and subscriptions may be gone."""
        self._closed = asyncio.Event()
        self._last_error: Exception | None = None
        self._opening: asyncio.Timeout | None = None
        self._outage = Outage()

    @property
    def connected(self) -> bool:
        """Whether something sent now would go out."""
        return bool(self._client.is_connected)

    @property
    def address(self) -> str:
        """Of the server that it is, or was last, connected to or tried."""
        return self._client.address

    @property
    def addresses(self) -> frozenset[str]:
        """Of all servers that are tried: those of the URL, and those that the cluster has told of."""
        return self._client.addresses

    @property
    def missing(self) -> BrokerUnavailable:
        """What to raise while it is not connected: it says which server was lost and why, and how others answered."""
        return self._outage.missing()

    @property
    def max_payload(self) -> int:
        """The server's limit for a message, headers included."""
        return int(self._client.max_payload)

    # Lifetime

    async def open(self) -> None:
        """Raises `BrokerUnavailable` when there is no connection in time, naming what was tried."""
        try:
            async with asyncio.timeout(self._options.connect_timeout) as self._opening:
                await self._connect(SafeClient())
        except TimeoutError as error:
            raise self._outage.at_start(self._client.address, error) from error
        finally:
            self._opening = None

    async def _connect(self, client: SafeClient) -> None:
        """Tries for ever. Raises `BrokerUnavailable` when not even a try is possible."""
        self._client = client

        async def on_closed() -> None:
            if client is self._client:
                self._closed.set()

        callbacks = {
            "error_cb": self._on_error,
            "disconnected_cb": self._on_lost,
            "reconnected_cb": self._restored,
            "closed_cb": on_closed,
        }
        try:
            await client.begin(self._url, self._options, callbacks)
            self._inbox = client.new_inbox()
            self._replies = await client.listen(f"{self._inbox}.*", self._on_reply)
            self._outage.over = True
        except Exception as error:
            # Bad credential files raise whatever the parsers of keys raise.
            await client.abandon()
            raise self._outage.at_start(self._client.address, error) from error
        except BaseException:
            await client.abandon()
            raise

    async def supervise(self) -> None:
        """Replace a client that closed for good (an authorization revoked, a protocol error) or tries no more."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(CHECK_SECONDS):
                    await self._closed.wait()
            if self._client.given_up:
                await self._replace()

    async def _replace(self) -> None:
        old, new = self._client, SafeClient()
        await self._on_lost()
        await old.abandon()
        self._closed.clear()
        new.follow(old)
        try:
            await self._connect(new)
        except BrokerUnavailable as error:
            logger.debug("%s", error)
        else:
            await self._restored()

    async def close(self) -> None:
        """Flush what is left and close. Never raises."""
        client, self._outage.over = self._client, False
        if client.is_connected:
            with suppress(Exception):
                await client.flush(timeout=FLUSH_SECONDS)
        if self._replies is not None:
            with suppress(Exception):
                await self._replies.unsubscribe()
        await client.abandon()
        if self._timer is not None:
            self._timer.cancel()
        await self._on_lost()

    async def _on_error(self, error: Exception) -> None:
        self._last_error = error
        if not isinstance(error, OSError | TimeoutError | NatsError):
            logger.error("a callback failed", exc_info=error)
        elif "permissions violation" in str(error):
            logger.warning("%s", error)
            self._forbid(str(error))
        elif not self._outage.over:
            self._outage.note(self._client.address, error, quiet=self._opening is not None)
            if self._opening is not None and self._outage.is_hopeless(self._client.addresses):
                # Trying again cannot help: stop waiting.
                self._opening.reschedule(asyncio.get_running_loop().time())

    def _forbid(self, text: str) -> None:
        # The server answers a forbidden publish with an error that names the subject, and the client lower-cases it.
        for future, subject, _ in list(self._waiting.values()):
            if f'publish to "{subject.lower()}"' in text and not future.done():
                future.set_exception(Forbidden(text))

    async def _on_lost(self) -> None:
        # Their replies cannot come on another connection.
        for future, _, _ in list(self._waiting.values()):
            if not future.done():
                future.set_exception(BrokerUnavailable("the connection was lost before the answer"))
        self._outage.begin(self._client.address, self._last_error or self._client.last_error)

    async def _restored(self) -> None:
        self._outage.end(self._client.address)
        self._last_error = None
        unsent, self._unsent = self._unsent, deque(maxlen=UNSENT_LIMIT)
        for subject, payload in unsent:
            self.send(subject, payload)
        self.reconnects.notify()

    # Messages

    async def interest(self, prefix: str, handle: Handle) -> Interest:
        """Subscribe to everything below `prefix`. Nothing limits how much comes: pull requests do."""
        try:
            return await self._client.listen(f"{prefix}.*", handle)
        except (OSError, NatsError) as error:
            raise BrokerUnavailable(f"cannot subscribe: {error!r}") from error

    def new_inbox(self) -> str:
        """A subject that nobody else uses."""
        return str(self._client.new_inbox())

    async def unsubscribe(self, interest: Interest | None, *, wait: bool = False) -> None:
        """With `wait`, first handle everything that the server sent before. Never raises."""
        if interest is not None:
            with suppress(OSError, TimeoutError, NatsError):
                async with asyncio.timeout(FLUSH_SECONDS):
                    await (interest.drain() if wait and self.connected else interest.unsubscribe())  # type: ignore[no-untyped-call]

    def doubt(self, *, since: float) -> None:
        """What had to come has not. If nothing came after this time of the loop, the server is given up soon."""
        self._client.doubt(since=since)

    async def flush(self) -> None:
        """Return once the server has read what was sent. Never raises."""
        if self.connected:
            with suppress(OSError, TimeoutError, NatsError):
                await self._client.flush(timeout=FLUSH_SECONDS)

    def send(self, subject: str, payload: bytes, *, reply: str = "", keep: bool = True, lazy: bool = False) -> bool:
        """Publish without a reply, now or within milliseconds (`lazy`), together with others.

        Returns False while disconnected: kept for the reconnect (`keep`), or lost.
        """
        try:
            self._client.post(subject, payload, reply=reply, lazy=lazy)
        except NatsError as error:
            logger.debug("not sent: %r", error)
        else:
            return True
        if keep:
            self._unsent.append((subject, payload))
        return False

    async def request(self, subject: str, payload: bytes = b"", *, headers: Mapping[str, str] | None = None) -> bytes:
        """The reply. Raises `BrokerUnavailable`: lost, late, or impossible (`NoResponders`, `Forbidden`)."""
        return await self._request(subject, payload, block(headers) if headers else b"")

    async def _request(self, subject: str, payload: bytes, headers: bytes) -> bytes:
        if not self._client.is_connected:
            raise self.missing
        token = str(next(self._tokens))
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Message] = loop.create_future()
        due = loop.time() + self._options.publish_timeout
        self._waiting[token] = (future, subject, due)
        # One timer for all: replies nearly always come long before.
        if self._timer is None:
            self._timer = loop.call_at(due, self._expire)
        try:
            self._client.post(subject, payload, reply=f"{self._inbox}.{token}", headers=headers)
            answer = await future
        except NatsError as error:
            raise BrokerUnavailable(f"not sent: {error!r}") from error
        finally:
            del self._waiting[token]
        if answer.headers and answer.headers.get("Status") == "503":
            raise NoResponders(f"nobody listens on {subject} now")
        return answer.data

    def _expire(self) -> None:
        timer, self._timer, loop = self._timer, None, asyncio.get_running_loop()
        if timer is not None and loop.time() - timer.when() > LATE_SECONDS:
            # This process has been stopped, or was very busy: first read what came meanwhile.
            self._timer = loop.call_later(LATE_SECONDS / 10, self._expire)
            return
        for future, subject, due in self._waiting.values():
            if due > loop.time():
                self._timer = loop.call_at(due, self._expire)
                return
            if not future.done():
                future.set_exception(NoAnswer(f"no answer on {subject} in time"))
                self.doubt(since=due - self._options.publish_timeout)

    def _on_reply(self, message: Message) -> None:
        question = self._waiting.get(message.subject[len(self._inbox) + 1 :])
        if question is not None and not question[0].done():
            question[0].set_result(message)

    async def store(self, subject: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Return once a stream has stored it. Raises `BrokerUnavailable`; where the cause is known, an error above."""
        head = block(headers)
        if len(body) + len(head) > self.max_payload:
            raise TooLarge(f"{len(body)} bytes and headers; the server takes {self.max_payload}")
        answer = await self._request(subject, body, head)
        if _BODY_ERROR not in answer and b'"seq"' in answer:
            return
        problem = error_of_a_stream(answer)
        if problem is None:
            raise NotStored(f"{subject} was answered, but not by a stream")
        if problem.get("err_code") == _TOO_LARGE:
            raise TooLarge(f"{len(body)} bytes and headers: {problem.get('description')}")
        raise ApiError(subject, problem)

    def api_subject(self, call: str) -> str:
        """Where the JetStream that we use takes this call."""
        return f"{self._options.api}.{call}"

    @property
    def clustered(self) -> bool:
        """Whether the server that we are connected to is in a cluster: then leaders are elected."""
        return bool(self._client.server_info.get("cluster"))

    def _no_api(self) -> str:
        if self._options.api_prefix:
            return f"nobody answers on {self._options.api}: is it what JOBRELAY_NATS_API_PREFIX has to be?"
        if self._options.domain:
            return f"no JetStream domain {self._options.domain} is reachable from this NATS server"
        if self._client.server_info.get("jetstream"):
            return "JetStream does not answer now: this NATS server is starting, stopping, or has shut JetStream down"
        if self.clustered:
            return "JetStream is not enabled on this NATS server, and no server of its cluster that has it is reachable"
        return "JetStream is not enabled on this NATS server"

    async def own_stream(self, name: str) -> Mapping[str, Any]:
        """What the server's own JetStream, not that of the domain, knows of a stream; empty if nothing."""
        try:
            found: dict[str, Any] = orjson.loads(await self.request(f"{OWN_API}.STREAM.INFO.{name}"))
        except BrokerUnavailable:
            return {}
        return found if "config" in found else {}

    async def api(
        self, call: str, request: Mapping[str, object] | None = None, *, within: float | None = None
    ) -> dict[str, Any]:
        """`STREAM.INFO.<name>` and the like. Raises `ApiError`, `BrokerUnavailable`.

        `within`: seconds, for who asks again soon. While nobody leads a stream, nobody answers.
        """
        payload = b"" if request is None else orjson.dumps(request)
        try:
            async with asyncio.timeout(within):
                answer: dict[str, Any] = orjson.loads(await self.request(self.api_subject(call), payload))
        except NoResponders as error:
            raise BrokerUnavailable(self._no_api()) from error
        except (NoAnswer, TimeoutError) as error:
            raise unanswered(call, clustered=self.clustered) from error
        if problem := answer.get("error"):
            raise ApiError(call, problem)
        return answer


@asynccontextmanager
async def connection(url: str, options: JetStreamOptions) -> AsyncIterator[Connection]:
    """An open connection, closed afterwards."""
    link = Connection(url, options)
    await link.open()
    try:
        async with running(link.supervise()):
            yield link
    finally:
        await link.close()
