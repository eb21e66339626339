"""Two controllers and three handlers on three brokers, each connected to another node; what they are given, and the
account.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloudevents.core.v1.event import CloudEvent

from adapters.base import BrokerUnavailable, Kind
from adapters.servers.free_port import free_port
from adapters.servers.release import Release
from events.cloudevent.event import decode_structured
from events.names import DEFAULT_INSTANCE
from handler.settings.connections import broker_of
from handler.settings.settings import Settings
from tests.chaos.claims import PhaseEvent, distinct
from tests.chaos.clusters.measures import Readiness, Times, asking, metric
from tests.chaos.clusters.nats import NatsCluster
from tests.chaos.clusters.nodes import LOGIN, NODES, issued
from tests.chaos.clusters.rabbitmq import RabbitCluster
from tests.chaos.fleet import CONTROLLERS, HANDLERS, Fleet
from tests.chaos.load import DEFAULT_LEASE, Load, Stage, account, problems, publish, quiet
from tests.chaos.watch import watching
from tests.handler.samples import make_request, until
from tests.long import LONG
from tests.patience import PATIENCE
from tests.processes import NATS, RABBITMQ, installation

MEMBERS = CONTROLLERS + HANDLERS
STORES = {
    NatsCluster: ("JOBRELAY_REQUESTS", "JOBRELAY_LIFECYCLE"),
    RabbitCluster: ("jobrelay.requests", "jobrelay.lifecycle.log"),
}
"""What holds requests, and what holds their outcomes."""
_REPLIES, _HTTP = "REPLIES", "JOBRELAY_HTTP_ADDRESS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How jobrelay reaches the nodes. `broker`: its adapter. `release`: of RabbitMQ; None: as the environment says.

    `one_address`: each process knows a single node, another one than the next process. `secure`: with a password and
    TLS. `management`: RabbitMQ's API is there, and jobrelay asks it.
    """

    broker: str
    release: Release | None = None
    one_address: bool = False
    secure: bool = False
    management: bool = False

    def nodes(self, directory: Path) -> NatsCluster | RabbitCluster:
        """The cluster, not started."""
        login, tls = (LOGIN, issued(directory / "tls")) if self.secure else (None, None)
        if self.broker == NATS:
            return NatsCluster(directory / "nodes", login=login, tls=tls)
        plugins = ["rabbitmq_management"] if self.management else []
        return RabbitCluster(directory / "nodes", login=login, tls=tls, release=self.release, plugins=plugins)

    @property
    def captive(self) -> bool:
        """Whether a process has to wait for its node: NATS tells of the others, RabbitMQ does not."""
        return self.one_address and self.broker == RABBITMQ

    def __str__(self) -> str:
        addresses = "one address each" if self.one_address else "all addresses"
        return f"{addresses}, password and TLS" if self.secure else addresses

    @property
    def label(self) -> str:
        """For the name of a test."""
        version = Path(self.release.home).name if self.release else ""
        return f"{self.broker} {version} {self}".replace("  ", " ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Use `scene()`. Every second request has a `replyto` of its own.

    `own`: the settings in which processes differ, by name, for their next start. `problems`: what was not as it must
    be.
    """

    form: Form
    nodes: NatsCluster | RabbitCluster
    stage: Stage
    fleet: Fleet
    readiness: Readiness
    own: dict[str, dict[str, str]]
    directory: Path
    times: Times
    problems: list[str] = field(default_factory=list)

    @property
    def stores(self) -> tuple[str, str]:
        """What holds requests, and what holds their outcomes."""
        return STORES[type(self.nodes)]

    def load(self, prefix: str, count: int) -> Load:
        """Short requests, half of which want their events elsewhere."""
        made = Load(self.directory, prefix=prefix)
        for number in range(count):
            name = f"{prefix}-{number}"
            replyto = {"replyto": f"replies.{name}"} if number % 2 else {}
            made.requests.append(make_request(name, script=f'echo {name} >> "{made.runs_file}"', attributes=replyto))
            made.expect(name, runs=1, end="succeeded")
        return made

    async def feed(self, load: Load, *, over: float) -> None:
        """Publish them at a steady rate, whether those before have been accepted or not."""
        async with asyncio.TaskGroup() as group:
            for request in load.requests:
                group.create_task(self._publish(request))
                await asyncio.sleep(over / len(load.requests))

    async def _publish(self, request: CloudEvent) -> None:
        await publish(self.stage.broker, request)
        self.times.accepted[_name(request)] = time.monotonic()

    def told(self, load: Load) -> int:
        """How many outcomes have been told."""
        return len(self.times.told.keys() & load.jobs)

    async def all_told(self, load: Load) -> None:
        async def look() -> bool:
            return self.told(load) == len(load.jobs)

        try:
            await until(look)
        except TimeoutError:
            said = {name: self.readiness.now(name) for name in self.own}
            raise AssertionError(f"{self.told(load)} of {len(load.jobs)} told, {said}") from None

    async def all_ready(self) -> None:
        async def look() -> bool:
            return self.readiness.all_ready

        await until(look)

    async def account(self, load: Load, *, emptied: bool = True) -> str:
        """Check every claim. Returns how much came again, in words.

        Without `emptied`, it does not wait for what was acknowledged on a lost connection, which NATS delivers again
        after 30 s.
        """
        if emptied:
            await quiet(self.stage, load, seconds=PATIENCE)
        events = await until(self._readable)
        of_load = [event for _, event in events if load.owns(event.subject)]
        if emptied:
            await account(self.stage, load, [of_load])
        else:
            assert load.runs() == load.expected_runs
            assert not (found := problems(load, of_load)), found
        wrong = {
            f"{event.id} at {topic}" for topic, event in events if load.owns(event.subject) and topic != _place(event)
        }
        assert not wrong, wrong
        return f"{len(of_load) - len(distinct(of_load))} of {len(of_load)} events stored again"

    async def repeated(self) -> int:
        """How many requests came again to handlers since they started, though they had a Job."""
        addresses = [settings[_HTTP] for name, settings in self.own.items() if name in HANDLERS]
        return int(sum([await metric(address, "jobrelay_messages_duplicate_total") for address in addresses]))

    async def _readable(self) -> list[tuple[str, PhaseEvent]] | None:
        """Topic and event of all that is stored; None while it cannot be read."""
        try:
            async with self.stage.broker.history(Kind.LIFECYCLE) as records:
                found = [(record.topic.key, PhaseEvent.of(decode_structured(record.body))) async for record in records]
        except BrokerUnavailable:
            return None
        if isinstance(self.nodes, NatsCluster):
            replies = await self.nodes.stored(_REPLIES)
            found += [(subject, PhaseEvent.of(decode_structured(body))) for subject, body in replies]
        return found


def _name(request: CloudEvent) -> str:
    data: Any = request.get_data()
    return str(data["id"])


def _place(event: PhaseEvent) -> str:
    """The key of the topic where an event has to be."""
    number = int(event.subject.rpartition("-")[2])
    return f"replies.{event.subject}" if number % 2 else f"tests.{event.subject}.{event.phase}"


@asynccontextmanager
async def scene(
    directory: Path,
    form: Form,
    *,
    members: Sequence[str] = MEMBERS,
    replicas: int = NODES,
    first: Sequence[int] = range(NODES),
) -> AsyncIterator[Scene]:
    """`members` run and are ready; the nodes `first` have what they declared, with so many `replicas`."""
    nodes = form.nodes(directory)
    async with AsyncExitStack() as stack:
        here = await stack.enter_async_context(installation(directory, brokers=()))
        stack.push_async_callback(nodes.end)
        await nodes.start(*first)
        settings = _settings(nodes, replicas)
        broker = await stack.enter_async_context(broker_of(Settings.from_env(settings)))
        await broker.declare()
        if isinstance(nodes, NatsCluster):
            replies = {"name": _REPLIES, "subjects": ["replies.>"], "num_replicas": replicas}
            assert "error" not in await nodes.api(f"STREAM.CREATE.{_REPLIES}", replies)
        cluster = await stack.enter_async_context(here.cluster())
        own = {name: _own(form, nodes, number) for number, name in enumerate(members)}
        fleet, times = Fleet(here, settings, own=own), Times()
        await stack.enter_async_context(watching(cluster, cluster.default_namespace, DEFAULT_INSTANCE, times))
        await fleet.start(*members)
        await until(lambda: _led(own))
        readiness = await stack.enter_async_context(asking({name: own[name][_HTTP] for name in members}))
        yield Scene(
            form=form,
            nodes=nodes,
            stage=Stage(here=here, broker=broker, cluster=cluster, exact=False),
            fleet=fleet,
            readiness=readiness,
            own=own,
            directory=directory,
            times=times,
        )


async def _led(own: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether a controller leads: before that, outcomes wait for it."""
    leading = [await metric(own[name][_HTTP], "jobrelay_leader") for name in CONTROLLERS if name in own]
    return any(leading)


def _settings(nodes: NatsCluster | RabbitCluster, replicas: int) -> dict[str, str]:
    """What all processes have."""
    made = {
        "JOBRELAY_SOURCES": nodes.url(),
        "JOBRELAY_NATS_REPLICAS": str(replicas),
        "JOBRELAY_RABBITMQ_REPLICAS": str(replicas),
        "JOBRELAY_REPLY_TOPICS": "*",
        # A new leader repeats what happened before: that is not what these scenes are about.
        **(DEFAULT_LEASE if LONG else {}),
    }
    if nodes.tls:
        made["JOBRELAY_TLS_CA"] = str(nodes.tls.ca)
    if isinstance(nodes, RabbitCluster) and nodes.management:
        made["JOBRELAY_RABBITMQ_MANAGEMENT_URL"] = f"http://127.0.0.1:{nodes.management[0]}"
    return made


def _own(form: Form, nodes: NatsCluster | RabbitCluster, number: int) -> dict[str, str]:
    """What one process has: where it listens, and the node or nodes that it knows."""
    known = [(number + step) % NODES for step in range(1 if form.one_address else NODES)]
    return {_HTTP: f"127.0.0.1:{free_port()}", "JOBRELAY_SOURCES": nodes.url(*known)}
