"""No value of an event is told anywhere: not in the log, in events, in reasons of dead letters, in spans or metrics."""

import io
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.v1.event import CloudEvent
from prometheus_client import generate_latest

from adapters import connect as adapters
from adapters.base import Broker, BrokerUnavailable, Kind, Record, Topic, TopologyDrift
from adapters.headers import CODE, ORIGIN, reason_of
from adapters.memory import MemoryBroker
from adapters.servers import nats as natsserver, rabbitmq as rabbitmqserver
from events.cloudevent.timestamp import format_epoch
from handler.telemetry import logs
from handler.telemetry.logs import TextFormatter
from k8s.api.cluster import Cluster
from tests.adapters.conftest import need_rabbit
from tests.amqp import client as amqp_client
from tests.garbage.wire import block, wire
from tests.handler.intake.functions import make_event, write
from tests.handler.intake.secret_places import CONTROL, FUNCTIONS, ID, ON_AMQP, ON_NATS, POLICY, REQUESTS, Case
from tests.handler.relay import relaying, running
from tests.handler.samples import make_command, make_request, until
from tests.handler.telemetry.test_tracing import Spans

pytestmark = [pytest.mark.broker, pytest.mark.slow]
OURS = ("events", "adapters", "k8s", "handler")
LATER = format_epoch(time.time() + 86_400)


ANY = "hunter00000x"
"""A secret that can be a name in Kubernetes. Each message has one of its own in its place, of the same length."""


def cases(makers: tuple[Callable[[str], Iterator[Case]], ...]) -> dict[str, Case]:
    """Each with its secret, so that what is told says where it came from."""
    made = (case for make in makers for case in make(ANY))
    numbered = ((f"hunter{number:05}x", case) for number, case in enumerate(made, start=1))
    return {
        secret: replace(case, body=own(case.body, secret), headers=own(dict(case.headers), secret))
        for secret, case in numbered
    }


def own(value: Any, secret: str) -> Any:
    """A copy with this secret, and an id that follows from it."""
    if isinstance(value, dict):
        return {name: own(inner, secret) for name, inner in value.items()}
    if isinstance(value, list):
        return [own(inner, secret) for inner in value]
    if isinstance(value, bytes | bytearray):
        return value.replace(ANY.encode(), secret.encode()).replace(ID.encode(), f"e-{secret[6:11]}".encode())
    return value.replace(ANY, secret).replace(ID, f"e-{secret[6:11]}") if isinstance(value, str) else value


@dataclass
class Told:
    """Everything that somebody could read. `messages`: the sentences in it, without fields and attributes."""

    lines: io.StringIO = field(default_factory=io.StringIO)
    records: list[str] = field(default_factory=list)
    everything: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)


class Sentences(logging.Handler):
    """Keeps what log lines say, without their fields."""

    def __init__(self, kept: list[str]) -> None:
        super().__init__()
        self._kept = kept

    def emit(self, record: logging.LogRecord) -> None:
        self._kept.append(record.getMessage())


@contextmanager
def logged(told: Told, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In the block the log is as `jobrelay run` configures it, with every level and in both forms."""
    root = logging.getLogger()
    monkeypatch.setattr("sys.stderr", told.lines)
    monkeypatch.setattr(root, "handlers", [])
    for name in ("logThreads", "logProcesses", "logMultiprocessing"):
        monkeypatch.setattr(logging, name, True)
    before = {name: logging.getLogger(name).level for name in ("", *OURS)}
    logs.configure(form="json", level="DEBUG")
    text = logging.StreamHandler(told.lines)
    text.setFormatter(TextFormatter())
    root.handlers += [text, Sentences(told.records)]
    # The development cluster is no part of jobrelay.
    logging.getLogger("k8s.devcluster").setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logging.getLogger("k8s.devcluster").setLevel(logging.NOTSET)
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


async def stored(broker: Broker, kind: Kind) -> list[Record]:
    async with broker.history(kind) as records:
        return [record async for record in records]


async def gather(told: Told, broker: Broker, sent: Mapping[str, Case]) -> None:
    """Wait until each has become a dead letter, and take down what these and the events say."""

    async def settled() -> bool:
        return (await broker.depth())[Topic(Kind.DEAD)].ready >= len(sent)

    with suppress(TimeoutError):
        await until(settled, seconds=40)
    letters = await stored(broker, Kind.DEAD)
    kept = "".join(f"{letter.body!r}{letter.headers}" for letter in letters)
    missing = [case.what for secret, case in sent.items() if secret in repr(case) and secret not in kept]
    assert len(letters) == len(sent), missing
    for letter in letters:
        said = [reason_of(letter.headers), letter.headers[CODE]]
        told.messages += said
        told.everything += [*said, letter.headers[ORIGIN]]
    await take_down(told, broker)


@asynccontextmanager
async def telling(
    url: str, name: str, cluster: Cluster, told: Told, functions: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Broker]:
    """jobrelay on this broker; at the end spans and metrics are taken down too."""
    spans = Spans()
    settings: dict[str, Any] = {**POLICY, "functions": write(functions, *FUNCTIONS)}
    with logged(told, monkeypatch):
        async with (
            adapters.connect(url) as broker,
            relaying({name: lambda: adapters.connect(url)}, cluster, tracing=spans.tracing, **settings) as state,
        ):
            await until(lambda: is_ready(broker))
            yield broker
            told.everything.append(generate_latest(state.metrics.registry).decode())
    told.everything += [span.to_json() for span in spans.all()]
    told.messages += [str(span.status.description) for span in spans.all()]
    told.everything.append(told.lines.getvalue())
    told.messages += told.records


async def is_ready(broker: Broker) -> bool:
    try:
        await broker.check()
    except (BrokerUnavailable, TopologyDrift):
        return False
    return True


def check_complete(told: Told, sent: Mapping[str, Case]) -> None:
    """Everything was listened to: a search finds something only where there is something."""
    lines = told.lines.getvalue().splitlines()
    assert sum(line.startswith("{") and "rejected: " in line for line in lines) >= len(sent) / 2
    assert sum("handler.intake.telling: rejected: " in line for line in lines) >= len(sent) / 2
    everything = "\n".join(told.everything)
    assert everything.count('"type":"dev.jobrelay.job.rejected"') >= len(sent) / 2
    assert '"jobrelay.outcome": "rejected"' in everything
    assert "jobrelay_messages_failed_total{" in everything
    assert "/secrets" in everything, "what identifies is there"
    assert any("is not allowed by JOBRELAY_IMAGES" in message for message in told.messages)
    assert any("onPodConditions" in message and "Invalid value: " in message for message in told.messages)


async def take_down(told: Told, broker: Broker) -> None:
    """What lifecycle events say."""
    for record in await stored(broker, Kind.LIFECYCLE):
        told.everything += [str(record.topic), repr(dict(record.headers)), record.body.decode()]
        error = json.loads(record.body)["data"]["detail"].get("error", {})
        told.messages.append(json.dumps(error))


def shown(told: Told, sent: Mapping[str, Case]) -> list[str]:
    """Each case whose secret is told, and where."""
    everything, messages = "\n".join(told.everything), "\n".join(told.messages)
    found = []
    for secret, case in sent.items():
        text = messages if case.identifies else everything
        if (at := text.find(secret)) >= 0:
            found.append(f"{case.what}: …{text[max(0, at - 150) : at + 60]}…")
    return found


async def test_no_secret_is_told_of_what_comes_over_nats(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, sent = Told(), cases(ON_NATS)
    async with (
        natsserver.run(tmp_path / "nats") as server,
        telling(server.url, "nats", cluster, told, tmp_path / "functions.yaml", monkeypatch) as broker,
        wire(server.url) as socket,
    ):
        for case in sent.values():
            headers = [(name.encode(), str(value).encode()) for name, value in case.headers.items()]
            answer = await socket.publish(f"jobrelay.{case.topic}", case.body, block(*headers))
            assert "error" not in answer, (case.what, answer)
        await gather(told, broker, sent)
    check_complete(told, sent)
    assert shown(told, sent) == []


@pytest.mark.long
async def test_no_secret_is_told_of_what_comes_over_rabbitmq(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_rabbit()
    told, sent = Told(), cases(ON_AMQP)
    async with (
        rabbitmqserver.run(tmp_path / "rabbitmq") as server,
        telling(server.url, "rabbitmq", cluster, told, tmp_path / "functions.yaml", monkeypatch) as broker,
        amqp_client(server.url) as publisher,
    ):
        for case in sent.values():
            headers = dict(case.headers)
            properties = {
                "content_type": headers.pop("Content-Type", None),
                "content_encoding": headers.pop("Content-Encoding", None),
            }
            exchange, key = {REQUESTS: ("jobrelay.requests", ""), CONTROL: ("jobrelay.control", "jobrelay.control")}[
                case.topic
            ]
            await publisher.publish(exchange, key, case.body, headers=headers, **properties)
        await gather(told, broker, sent)
    check_complete(told, sent)
    assert shown(told, sent) == []


def secretive(request_id: str, exit_code: int, **data: Any) -> CloudEvent:
    """A request that runs, with secrets wherever one can be."""
    job = {
        "args": [ANY],
        "env": [{"name": "PASSWORD", "value": ANY}],
        "labels": {"password": ANY},
        "annotations": {"password": f"{{{ANY}}}"},
        "volumes": [{"mountPath": f"/{ANY}", "emptyDir": {}}],
        "tolerations": [{"key": "password", "value": ANY}],
    }
    fixed: dict[str, Any] = {"job": job, "concurrency": {"key": ANY}, **data}
    return make_request(
        request_id, script=f"exit {exit_code}", attributes={"password": ANY, "dataschema": ANY}, **fixed
    )


async def test_no_secret_is_told_of_what_runs(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, spans = Told(), Spans()
    functions = write(tmp_path / "functions.yaml", *FUNCTIONS)
    with logged(told, monkeypatch):
        async with running(broker, cluster, tracing=spans.tracing, functions=functions) as client:
            await client.publish(
                secretive("good", 0),
                secretive(
                    "bad",
                    3,
                    retries=1,
                    retryDelay=1,
                    failover={"job": {"image": "busybox", "command": ["true"], "args": [ANY]}},
                ),
                secretive("late", 0, runAt=LATER, timeout=2),
                secretive("held", 0, runAt=LATER),
                make_event("f", {"secret": ANY}, type="com.example.literal", password=ANY),
            )
            for request_id in ("good", "bad", "bad/failover", "late", "literal/f"):
                await client.ended(request_id)
            await client.reached("held", "queued")
            await client.publish(secretive("held", 1))
            await client.reached("held", "rejected")
            await client.command(make_command("cancel", "held", password=ANY))
            await client.ended("held")
            await take_down(told, broker)
            told.everything.append(generate_latest(client.state.metrics.registry).decode())
    told.everything += [told.lines.getvalue(), *(span.to_json() for span in spans.all())]
    everything = "\n".join(told.everything)
    assert all(code in everything for code in ("JOB_EXECUTION_FAILED", "TIMEOUT", "ID_REUSED", "CANCELLED"))
    at = everything.find(ANY)
    assert at < 0, everything[max(0, at - 300) : at + 60]
