"""An installation that gets all events of the corpus, as bytes, and what became of each."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from aiormq.abc import DeliveredMessage

from adapters.base import Broker
from adapters.connect import connect
from adapters.headers import CODE, REASON, reason_of
from k8s.api.cluster import connect as connect_cluster
from k8s.devcluster.loops import Options
from k8s.devcluster.server import ServerOptions, serve
from tests.amqp import client, subscribed
from tests.garbage.wire import block, wire
from tests.handler.intake.functions import make_function, write
from tests.handler.relay import relaying
from tests.interop.corpus import Event
from tests.patience import PATIENCE

SEEN = "seen"
"""The folder that containers write into."""
SUBJECT, EXCHANGE, DEAD = "jobrelay.requests", "jobrelay.requests", "jobrelay.dead"


@dataclass(frozen=True, slots=True)
class Ran:
    """A container ran: the file with the event, and its variables."""

    file: bytes
    variables: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Refused:
    """The event is a dead letter."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Site:
    """A running jobrelay on one broker. Containers write into `directory`."""

    url: str
    directory: Path

    async def nats(self, events: Sequence[Event]) -> dict[str, Ran | Refused]:
        """Publish these events, all at once; what became of each, by its name."""
        async with wire(self.url) as socket:
            stored = [await socket.publish(SUBJECT, event.body, header_block(event)) for event in events]
            found: dict[str, Ran | Refused] = {}
            for event, receipt in zip(events, stored, strict=True):
                letters = await socket.settled(receipt["stream"], receipt["seq"], within=PATIENCE)
                found[event.name] = (
                    Refused(letters[0].headers[CODE], reason_of(letters[0].headers))
                    if letters
                    else await self.ran(event.name)
                )
            return found

    async def rabbitmq(self, events: Sequence[Event]) -> dict[str, Ran | Refused]:
        """The same on RabbitMQ. Dead letters are told apart by their bodies."""
        letters: dict[bytes, Refused] = {}

        def take(message: DeliveredMessage) -> None:
            headers = {name: str(value) for name, value in (message.header.properties.headers or {}).items()}
            letters[message.body] = Refused(headers[CODE], reason_of({REASON: headers[REASON]}))

        async def became(event: Event) -> Ran | Refused:
            while not (self.directory / event.name).exists():
                if event.body in letters:
                    return letters[event.body]
                await asyncio.sleep(0.02)
            return await self.ran(event.name)

        async with subscribed(self.url, DEAD, take, queue="letters", kind="fanout"), client(self.url) as sender:
            for event in events:
                headers = {name: _sendable(value) for name, value in event.headers}
                await sender.publish(EXCHANGE, "", event.body, headers=headers, **event.properties)
            async with asyncio.timeout(PATIENCE):
                return {event.name: await became(event) for event in events}

    async def ran(self, name: str) -> Ran:
        """What the container of the function `name` has left, once it is there."""
        path = self.directory / name
        async with asyncio.timeout(PATIENCE):
            while not path.exists():
                await asyncio.sleep(0.02)
        pairs = (entry.partition("=") for entry in (path / "env").read_bytes().decode().split("\0"))
        return Ran((path / "event").read_bytes(), {name: value for name, _, value in pairs})


def leaving(folder: str) -> str:
    """A script that leaves the event and the variables that it sees in this new folder."""
    steps = [
        'mkdir "$to.new"',
        'cp "$JOBRELAY_EVENT_PATH" "$to.new/event"',
        'env -0 >"$to.new/env"',
        'mv "$to.new" "$to"',
    ]
    return f'to="{folder}"; {"; ".join(steps)}'


def function_of(name: str, event_id: str, templates: Iterable[str], directory: Path) -> dict[str, Any]:
    """A function that takes this event, and leaves what its container sees in `directory`, in a folder of its name."""
    env = {f"V{number}": template for number, template in enumerate(templates)}
    return make_function(name, script=leaving(f"{directory / name}"), env=env, filters=[{"exact": {"id": event_id}}])


def functions_for(events: Sequence[Event], directory: Path) -> list[dict[str, Any]]:
    """A function for each event that is said to be taken."""
    return [
        function_of(event.name, event.attributes["id"], event.outcome.wants, directory)
        for event in events
        if event.outcome.taken
    ]


def header_block(event: Event) -> bytes | None:
    """The headers as bytes: text is UTF-8. None: the message has none."""
    pairs = [(name.encode(), value if isinstance(value, bytes) else value.encode()) for name, value in event.headers]
    return block(*pairs) if pairs else None


@asynccontextmanager
async def site(url: str, directory: Path, functions: Sequence[dict[str, Any]]) -> AsyncIterator[Site]:
    """A jobrelay with these functions, which write into `directory / SEEN`, until the block ends."""
    (directory / SEEN).mkdir()
    file = write(directory / "functions.yaml", *functions)
    connecting: Callable[[], AbstractAsyncContextManager[Broker]] = partial(connect, url)
    options = ServerOptions(bookmark_interval=1.0, running=Options(backoff=0.5))
    async with AsyncExitStack() as exits:
        cluster = await exits.enter_async_context(serve(directory / "cluster", options=options))
        connected = await exits.enter_async_context(connect_cluster(kubeconfig=cluster.kubeconfig))
        async with connecting() as broker:
            await broker.declare()
        name = broker.name
        await exits.enter_async_context(relaying({name: connecting}, connected, functions=file))
        yield Site(url, directory / SEEN)


def _sendable(value: Any) -> Any:
    return bytearray(value) if isinstance(value, bytes) else value  # The library takes no other bytes.
