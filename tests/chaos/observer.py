"""An ordinary subscriber to lifecycle events, on each broker; it knows nothing of jobrelay's streams."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from aiormq.abc import DeliveredMessage
from cloudevents.core.v1.event import CloudEvent
from nats.aio.client import Client
from nats.aio.msg import Msg

from events.cloudevent.event import decode_structured
from events.phases import TERMINAL
from tests.amqp import subscribed
from tests.chaos.claims import Told, distinct

OBSERVER_QUEUE = "observer"


class Observer:
    """What an ordinary subscriber has received, in order."""

    def __init__(self) -> None:
        self.events: list[CloudEvent] = []
        self._told: list[Told] = []

    def take(self, event: CloudEvent) -> None:
        self.events.append(event)
        self._told.append(Told.of(event))

    def told(self) -> list[Told]:
        return list(self._told)

    def repeats(self) -> str:
        """How many of them came again, in words."""
        told = self.told()
        return f"{len(told) - len(distinct(told))} of {len(told)} events repeated"

    def ended(self) -> set[str]:
        return {one.subject for one in self.told() if one.phase in TERMINAL}


def observing(url: str) -> AbstractAsyncContextManager[Observer]:
    """An ordinary subscriber of that broker."""
    return _on_nats(url) if url.startswith("nats") else _on_rabbitmq(url)


@asynccontextmanager
async def _on_rabbitmq(url: str) -> AsyncIterator[Observer]:
    """A queue of its own, which misses nothing while the broker is away."""
    observer = Observer()

    def take(message: DeliveredMessage) -> None:
        observer.take(decode_structured(message.body))

    async with subscribed(url, "jobrelay.lifecycle", take, queue=OBSERVER_QUEUE):
        yield observer


@asynccontextmanager
async def _on_nats(url: str) -> AsyncIterator[Observer]:
    """A plain subscription, which knows nothing of streams."""
    observer = Observer()

    async def on_message(message: Msg) -> None:
        observer.take(decode_structured(message.data))

    async def ignore(_: Exception) -> None:
        """The server is killed on purpose."""

    client = Client()
    # Sooner than jobrelay. Not without a pause: nats-py loses a cancellation that comes just as an attempt fails, and
    # without one nearly all of them do.
    await client.connect(url, max_reconnect_attempts=-1, reconnect_time_wait=0.05, error_cb=ignore)  # type: ignore[arg-type]
    try:
        await client.subscribe("jobrelay.lifecycle.>", cb=on_message)
        await client.flush()
        yield observer
    finally:
        await client.close()
