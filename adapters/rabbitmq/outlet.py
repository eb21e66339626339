"""A channel that publishes, and what the broker says of each publish. It does not know what messages mean."""

import asyncio
import struct
from collections.abc import Iterable
from enum import Enum, auto
from itertools import takewhile
from typing import NamedTuple

from adapters.rabbitmq.client import Channel
from adapters.rabbitmq.wire import frames
from adapters.rabbitmq.wire.content import Content
from adapters.rabbitmq.wire.frames import ACK, METHOD, NACK, RETURN
from adapters.rabbitmq.wire.properties import Properties, encoded, properties_of
from adapters.rabbitmq.wire.stream import Stream

_CONFIRM = struct.Struct(">4xQB")
_MULTIPLE = 1


class Outcome(Enum):
    """What became of a publish: `STORED` in all queues, `RETURNED` because there are none, `NOT_TAKEN` by a queue."""

    STORED = auto()
    RETURNED = auto()
    NOT_TAKEN = auto()


class _Sent(NamedTuple):
    outcome: "asyncio.Future[Outcome]"
    name: str
    since: float


class Outlet:
    """Of its channel, which must confirm, the library sees everything but publishes, confirms and what is returned."""

    def __init__(self, channel: Channel, stream: Stream) -> None:
        self.channel = channel
        self.ended = False
        """Whether nothing can be published any more."""
        self._stream = stream
        self._number = channel.number
        self._loop = asyncio.get_running_loop()
        self._opened_at = self._loop.time()
        self._content = Content()
        self._published = 0
        self._unconfirmed: dict[int, _Sent] = {}
        self._unanswered = 0.0
        self._closing = channel.closing
        self._closing.add_done_callback(lambda _: self._closed())
        stream.listen(self._number, self)

    @property
    def age(self) -> float:
        """Seconds since it was opened."""
        return self._loop.time() - self._opened_at

    def publish(self, exchange: str, key: str, body: bytes, properties: Properties) -> "asyncio.Future[Outcome]":
        """What becomes of it. The message id has to differ from those of all that are under way.

        The future may also fail: with `TimeoutError`, or what closed the channel. Raises `ValueError` for a key of over
        255 bytes.
        """
        outcome = self._loop.create_future()
        data = frames.publish(
            self._number, exchange, key, encoded(properties), body, largest=self.channel.max_content_size
        )
        if self.ended:
            outcome.set_exception(ConnectionError("the channel was closed"))
            return outcome
        self._published += 1
        self._unconfirmed[self._published] = _Sent(outcome, properties.message_id or "", self._loop.time())
        self._stream.send(data)
        return outcome

    def expire(self, seconds: float) -> bool:
        """Wait no longer for what was published so long ago. Returns whether there was any."""
        before = self._loop.time() - seconds
        old = list(takewhile(lambda number: self._unconfirmed[number].since <= before, self._unconfirmed))
        for number in old:
            _fail(self._unconfirmed.pop(number), TimeoutError())
        return bool(old)

    def unanswered(self, step: float) -> float:
        """Seconds for which something waits and nothing at all was answered. `step`: since this was asked last."""
        self._unanswered = self._unanswered + step if self._unconfirmed else 0.0
        return self._unanswered

    async def settled(self) -> None:
        """Wait until all that was published is confirmed or has failed."""
        if waited := [sent.outcome for sent in self._unconfirmed.values() if not sent.outcome.done()]:
            await asyncio.wait(waited)

    def end(self) -> None:
        """Nothing is sent on the channel any more but what the library sends."""
        if not self.ended:
            self._stream.flush()
            self.ended = True

    def take(self, kind: int, payload: bytes) -> bool:
        """See `Listener`."""
        if kind != METHOD:
            return self._take_content(kind, payload)
        method = payload[:4]
        self._content.begin(payload if method == RETURN else b"")
        if method in (ACK, NACK):
            number, bits = _CONFIRM.unpack_from(payload)
            self._confirmed(number, bool(bits & _MULTIPLE), Outcome.STORED if method == ACK else Outcome.NOT_TAKEN)
            return True
        return method == RETURN

    def _take_content(self, kind: int, payload: bytes) -> bool:
        if not self._content.method:
            return False
        if self._content.add(kind, payload):
            # The confirm, which comes later, says only that nothing more becomes of it.
            name = properties_of(self._content.header).message_id
            self._settle((sent for sent in self._unconfirmed.values() if sent.name == name), Outcome.RETURNED)
            self._content.begin(b"")
        return True

    def _confirmed(self, number: int, multiple: bool, outcome: Outcome) -> None:
        self._unanswered = 0.0
        numbers = list(takewhile(lambda each: each <= number, self._unconfirmed)) if multiple else [number]
        self._settle([self._unconfirmed.pop(each) for each in numbers if each in self._unconfirmed], outcome)

    def _settle(self, done: Iterable[_Sent], outcome: Outcome) -> None:
        for sent in done:
            if not sent.outcome.done():
                sent.outcome.set_result(outcome)

    def _closed(self) -> None:
        self.end()
        error = None if self._closing.cancelled() else self._closing.exception()
        if not isinstance(error, Exception):
            error = ConnectionError("the channel was closed")
        for sent in self._unconfirmed.values():
            _fail(sent, error)
        self._unconfirmed.clear()


def _fail(sent: _Sent, error: Exception) -> None:
    if not sent.outcome.done():
        sent.outcome.set_exception(error)
