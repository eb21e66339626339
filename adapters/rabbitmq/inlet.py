"""A channel that consumes: its deliveries, and how they are settled. It does not know what messages mean."""

from collections.abc import Callable, Mapping

from adapters.rabbitmq.client import Cancelled, Channel, Delivered
from adapters.rabbitmq.wire import frames
from adapters.rabbitmq.wire.content import Content, Message, delivered
from adapters.rabbitmq.wire.frames import DELIVER, METHOD
from adapters.rabbitmq.wire.stream import Stream

OnMessage = Callable[[Message], None]


class Inlet:
    """Of its channel, the library sees everything but deliveries and what settles them.

    Settling does nothing once the channel is closed, or about to be: the broker has the delivery back.
    """

    def __init__(self, channel: Channel, stream: Stream) -> None:
        self.channel = channel
        self.ended = False
        """Whether nothing can be settled any more."""
        self._stream = stream
        self._number = channel.number
        self._content = Content()
        self._consumers: dict[str, OnMessage] = {}
        channel.on_consumer_cancel_callbacks.add(self._on_cancelled)
        channel.closing.add_done_callback(lambda _: self.end())
        stream.listen(self._number, self)

    async def consume(
        self, queue: str, on_message: OnMessage, *, tag: str, prefetch: int, arguments: Mapping[str, int]
    ) -> None:
        """Have `on_message`, which must not raise, called with each message. Raises what the library raises."""
        self._consumers[tag] = on_message
        try:
            # Applies to consumers that start from now on. Quorum queues know no prefetch of a whole channel.
            await self.channel.basic_qos(prefetch_count=prefetch)
            await self.channel.basic_consume(queue, _passed, consumer_tag=tag, arguments=dict(arguments))
        except BaseException:
            self.end()
            raise

    async def cancel(self, tag: str) -> None:
        """End this consumer: when it returns nothing more comes. Raises what the library raises."""
        try:
            await self.channel.basic_cancel(tag)
        except BaseException:
            # After a method that had no answer the library closes the channel, at a time of its own.
            self.end()
            raise
        self._consumers.pop(tag, None)

    def ack(self, tag: int) -> None:
        """This delivery is done."""
        if not self.ended:
            self._stream.send(frames.ack(self._number, tag))

    def reject(self, tag: int) -> None:
        """This delivery is to come again, and counts."""
        if not self.ended:
            self._stream.send(frames.reject(self._number, tag))

    def nack(self, tag: int) -> None:
        """This delivery is to come again, and does not count where the broker can tell."""
        if not self.ended:
            self._stream.send(frames.nack(self._number, tag))

    def end(self) -> None:
        """Nothing is sent on the channel any more but what the library sends."""
        if not self.ended:
            self._stream.flush()
            self.ended = True

    def take(self, kind: int, payload: bytes) -> bool:
        """See `Listener`."""
        content = self._content
        if kind == METHOD:
            content.begin(payload if payload.startswith(DELIVER) else b"")
        elif content.method and content.add(kind, payload):
            message = delivered(content)
            content.begin(b"")
            if on_message := self._consumers.get(message.consumer):
                on_message(message)
            return True
        return bool(content.method)

    def _on_cancelled(self, frame: Cancelled) -> None:
        self._consumers.pop(str(frame.consumer_tag), None)


async def _passed(_: Delivered) -> None:
    """The library calls this with no message: each is taken before."""
