"""Every call may fail once before its effect and once after: the outcome is the same, and reported once."""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from cloudevents.core.v1.event import CloudEvent

from adapters.base import BrokerUnavailable
from adapters.memory import MemoryBroker
from events.jobs.observed import Job
from handler import candidate
from handler.controller import control
from handler.effects import deliveries
from k8s.api.cluster import Cluster
from k8s.base import Manifest, Refused, Unavailable
from tests.chaos.claims import PhaseEvent, distinct, path_problems
from tests.handler.jobs import name_of, without_finalizer_or_gone
from tests.handler.relay import Client, code_of, detail, running
from tests.handler.samples import make_command, make_request, until


class Faulty:
    """Each distinct call of `methods` fails twice: the first time without being carried out, then after it was."""

    def __init__(self, real: Any, methods: frozenset[str], error: Exception) -> None:
        self._real = real
        self._methods = methods
        self._error = error
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        return self._failing(name, found) if name in self._methods else found

    def _failing(self, name: str, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def failing(*args: Any, **options: Any) -> Any:
            what = f"{name} {_shape(args)}"
            self.calls[what] += 1
            if self.calls[what] == 1:
                raise self._error
            answer = await call(*args, **options)
            if self.calls[what] == 2:
                raise self._error
            return answer

        return failing


def _shape(value: Any) -> Any:
    """What makes a call distinct: names and ids, but only the fields of a patch, whose versions and times change."""
    if isinstance(value, dict):
        return {name: value[name] if name == "name" else _shape(value[name]) for name in value}
    if isinstance(value, tuple):
        return [item if isinstance(item, str) else _shape(item) for item in value]
    return value.get_id() if isinstance(value, CloudEvent) else type(value).__name__


WRITES = frozenset(
    {
        *("create_job", "patch_job", "patch_job_unread", "read_job"),
        *("create_secret", "delete_secret", "delete_pods", "pods_of"),
    }
)


@pytest.fixture
def faulty_cluster(cluster: Cluster) -> Any:
    return Faulty(cluster, WRITES, Unavailable("on purpose"))


@pytest.fixture
def faulty_broker(broker: MemoryBroker) -> Any:
    return Faulty(broker, frozenset({"publish"}), BrokerUnavailable("on purpose"))


@pytest.fixture(params=["cluster", "broker"])
def parts(request: pytest.FixtureRequest, cluster: Cluster, broker: MemoryBroker) -> tuple[Any, Any]:
    """Broker and cluster, of which either fails."""
    if request.param == "cluster":
        return broker, request.getfixturevalue("faulty_cluster")
    return request.getfixturevalue("faulty_broker"), cluster


async def assert_reported(client: Client, request_id: str, end: str) -> None:
    reported = distinct(PhaseEvent.of(event) for event in await client.events(request_id))
    assert path_problems(reported) == []
    assert reported[-1].phase == end


async def _settled(broker: MemoryBroker) -> bool:
    return not any(depth.unsettled or depth.ready for depth in (await broker.depth()).values())


async def test_ends_of_every_kind_survive_failing_calls(
    parts: tuple[Any, Any], broker: MemoryBroker, cluster: Cluster
) -> None:
    async with running(*parts, inline_bytes=4096) as client:
        client.broker = broker
        await client.publish(
            make_request("good"),
            make_request("bad", script="exit 3"),
            make_request("large", metadata={"padding": "x" * 7000}),
            make_request("late", script="sleep 600", timeout=2),
            make_request("pull", startTimeout=1, job={"image": "missing/image", "command": ["x"]}),
            make_request("cancel", script="sleep 600"),
            make_request("delete", script="sleep 600"),
        )
        # A Job that is deleted before its request is acknowledged is created again: the request still stands.
        await until(lambda: _settled(broker))
        await client.reached("cancel", "started")
        await client.command(make_command("cancel", "cancel"))
        await client.reached("delete", "started")
        await cluster.delete_job("default", name_of("delete"))
        expected = {
            "good": ("succeeded", None),
            "bad": ("failed", "JOB_EXECUTION_FAILED"),
            "large": ("succeeded", None),
            "late": ("failed", "TIMEOUT"),
            "pull": ("failed", "START_TIMEOUT"),
            "cancel": ("cancelled", "CANCELLED"),
            "delete": ("cancelled", "DELETED"),
        }
        for request_id, (phase, code) in expected.items():
            end = await client.ended(request_id)
            assert (detail(end).get("error") or {}).get("errorCode") == code
            await without_finalizer_or_gone(cluster, request_id)
            await assert_reported(client, request_id, phase)
        (answer,) = await client.events("command-1")
        assert answer.get_type().endswith(".accepted"), "the command itself cancelled, whatever call had to be repeated"


class Refusing:
    """A cluster on which `method` always raises `error`."""

    def __init__(self, real: Cluster, method: str, error: Exception) -> None:
        self._real = real
        self._method = method
        self._error = error

    def __getattr__(self, name: str) -> Any:
        return self._raise if name == self._method else getattr(self._real, name)

    async def _raise(self, *_: Any, **__: Any) -> Any:
        raise self._error


async def test_a_command_that_the_api_server_refuses_is_answered_and_the_leader_stays(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    refusing: Any = Refusing(cluster, "patch_job", Refused("no, says a webhook", status=403))
    async with running(broker, refusing) as client:
        await client.publish(make_request("kept", script="sleep 600"))
        await client.reached("kept", "started")
        for event_id in ("first", "second"):
            await client.command(make_command("cancel", "kept", event_id=event_id))
            error = detail(await client.reached(event_id, "rejected"))["error"]
            assert (error["errorCode"], error["message"]) == ("FORBIDDEN", "no, says a webhook")
        assert client.state.leading


async def test_a_command_that_breaks_us_becomes_a_dead_letter_and_the_leader_stays(
    broker: MemoryBroker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "BUG_SECONDS", 0.0)
    breaking: Any = Refusing(cluster, "patch_job", RuntimeError("a bug"))
    async with running(broker, breaking, max_attempts=3) as client:
        await client.publish(make_request("kept", script="sleep 600"))
        await client.reached("kept", "started")
        await client.command(make_command("cancel", "kept"))
        (letter,) = await until(client.dead)
        assert letter.headers["jobrelay-code"] == "INTERNAL"
        assert client.state.leading


async def test_a_command_whose_write_gets_no_answer_gives_its_place_to_others_and_ends(
    broker: MemoryBroker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "IN_HAND_SECONDS", 0.2)
    monkeypatch.setattr(control, "AGAIN_SECONDS", 0.1)
    monkeypatch.setattr(candidate, "CONTROL_PREFETCH", 1)
    patch_job = cluster.patch_job

    async def patched(namespace: str, name: str, patch: Manifest, **options: Any) -> Job:
        if name == name_of("sick") and "spec" in patch:
            raise Unavailable("a webhook of its own fails")
        return await patch_job(namespace, name, patch, **options)

    monkeypatch.setattr(cluster, "patch_job", patched)
    async with running(broker, cluster, max_attempts=3) as client:
        for name in ("sick", "well"):
            await client.publish(make_request(name, script="sleep 600"))
            await client.reached(name, "started")
        await client.command(make_command("cancel", "sick", event_id="first"))
        await client.command(make_command("cancel", "well", event_id="second"))
        await client.reached("second", "accepted")
        assert code_of(await client.reached("first", "rejected")) == "UNAVAILABLE"
        (letter,) = await until(client.dead)
        assert letter.headers["jobrelay-code"] == "UNAVAILABLE"
        assert client.state.leading
