"""One connection to a server: one request at a time, each with a deadline, and an end when nobody uses it."""

import asyncio
from collections.abc import Callable
from typing import cast

from k8s.api.http.message import Answer
from k8s.api.http.reader import Reader


class Unanswered(ConnectionResetError):
    """The connection ended before a byte of the answer came. The request may have had its effect."""


class Connection(asyncio.Protocol):
    """Made by `Pool`. `gone` is called once it cannot be used any more."""

    def __init__(self, gone: Callable[["Connection"], None]) -> None:
        self._gone = gone
        self._loop = asyncio.get_running_loop()
        self._reader = Reader()
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._closed = False
        self._due = 0.0
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def usable(self) -> bool:
        """It is open, as far as we know."""
        return self._transport is not None and not self._transport.is_closing()

    def ask(self, request: bytes, *, until: float) -> "asyncio.Future[Answer]":
        """What it is answered. Whoever stops waiting for that closes the connection.

        The future fails with `OSError`, of which `TimeoutError` is one. All of the request is handed to the system, or
        kept until that takes it: the largest object that Kubernetes stores has 1.5 MiB.
        """
        self._waiting = waiting = self._loop.create_future()
        if self._transport is None:
            waiting.set_exception(self._ended())
            return waiting
        self._wake_at(until)
        self._transport.write(request)
        return waiting

    def rest(self, seconds: float) -> None:
        """Nobody uses it. If nobody has after so many seconds, it closes itself."""
        self._wake_at(self._loop.time() + seconds)

    def close(self, error: OSError | None = None) -> None:
        """Without waiting for the server. Whoever waits for an answer gets the error."""
        self._closed = True
        transport, self._transport = self._transport, None
        if transport is None:
            return
        transport.abort()
        if self._alarm is not None:
            self._alarm.cancel()
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(error or ConnectionAbortedError("the connection was closed by us"))
        self._gone(self)

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._closed:
            cast("asyncio.Transport", transport).abort()  # Nobody waits for it any more.
        else:
            self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._waiting is None:
            self.close()  # What a server says unasked could be taken for the next answer.
            return
        try:
            answer = self._reader.feed(data)
        except OSError as error:
            self.close(error)
            return
        if answer is not None:
            self._answered(answer)

    def eof_received(self) -> None:
        if self._waiting is not None and (answer := self._reader.feed_eof()) is not None:
            self._answered(answer)
        self.close(self._ended())

    def connection_lost(self, error: Exception | None) -> None:
        self.close(self._ended(error))

    def _answered(self, answer: Answer) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)
        # A server that answers before it has read the whole request may never read the rest.
        if not self._reader.reusable or (self._transport is not None and self._transport.get_write_buffer_size()):
            self.close()

    def _ended(self, error: Exception | None = None) -> OSError:
        text = f": {error}" if error else ""
        if self._reader.begun:
            return ConnectionResetError(f"the connection ended in the middle of the answer{text}")
        return Unanswered(f"the connection ended before the answer{text}")

    def _wake_at(self, due: float) -> None:
        """A timer for each request would cost more than to wake once too early: it is set anew only to be earlier."""
        self._due = due
        if self._alarm is not None:
            if self._alarm.when() <= due:
                return
            self._alarm.cancel()
        self._alarm = self._loop.call_at(due, self._wake)

    def _wake(self) -> None:
        self._alarm = None
        if self._loop.time() < self._due:
            self._wake_at(self._due)
        else:
            self.close(TimeoutError("no answer in time"))
