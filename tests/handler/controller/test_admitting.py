"""Jobs wait for their turn, over the whole path: limits, keys, priorities, dependencies, times, control events."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.memory import MemoryBroker
from events.names import Annotation
from handler.operations.jobs import find
from handler.operations.sentences import sentence
from handler.settings.settings import Settings
from k8s.api.cluster import Cluster
from tests.handler.jobs import is_suspended, without_finalizer
from tests.handler.relay import detail, running
from tests.handler.samples import make_command, make_request, until, waits_for


async def test_no_more_jobs_run_than_the_limit_and_the_next_runs_when_a_job_ends(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    gate = tmp_path / "go"
    async with running(broker, cluster, max_active=1) as client:
        await client.publish(make_request("first", script=waits_for(gate)))
        await client.reached("first", "started")
        await client.publish(make_request("second"))
        queued = await client.reached("second", "queued")
        assert (detail(queued)["reason"], detail(queued)["position"]) == ("limit", 1)
        assert await is_suspended(cluster, "second")
        gate.touch()
        await client.ended("second")
        assert await client.phases("first") == ["created", "started", "succeeded"]
        assert await client.phases("second") == ["created", "queued", "started", "succeeded"]
        job = await without_finalizer(cluster, "second")
        assert Annotation.QUEUED not in job["metadata"]["annotations"]
        assert Annotation.RELEASED in job["metadata"]["annotations"]


async def test_get_says_what_a_request_waits_for(broker: MemoryBroker, cluster: Cluster) -> None:
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    async with running(broker, cluster, max_active=1) as client:
        await client.publish(make_request("timed", runAt=later), make_request("after", dependencies=["timed"]))
        for name in ("timed", "after"):
            await client.reached(name, "queued")
        rows = {row.job.request_id: row.last for row in await find(cluster, Settings.from_env({}), skipped=print)}
        assert sentence(rows["timed"].phase, rows["timed"].detail) == f"its time has not come, until {later}"
        assert "waits for timed" in sentence(rows["after"].phase, rows["after"].detail)


async def test_a_job_that_no_limit_concerns_runs_at_once_and_is_not_reported_as_queued(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    async with running(broker, cluster, max_active_gpus=1) as client:
        await client.publish(make_request("free"))
        await client.ended("free")
        job = await without_finalizer(cluster, "free")
        assert Annotation.QUEUED not in job["metadata"]["annotations"]
        assert await client.phases("free") == ["created", "started", "succeeded"]


async def test_only_one_job_at_a_time_has_an_exclusive_key(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    gate = tmp_path / "go"
    async with running(broker, cluster) as client:
        fields: dict[str, Any] = {"exclusive": True, "concurrency": {"key": "ledger"}}
        await client.publish(make_request("one", script=waits_for(gate), **fields))
        await client.reached("one", "started")
        await client.publish(make_request("two", **fields), make_request("other", concurrency={"key": "files"}))
        assert detail(await client.reached("two", "queued"))["reason"] == "exclusive"
        await client.ended("other")
        gate.touch()
        await client.ended("two")


async def test_an_exclusive_service_needs_admission_of_all_jobs(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_request("alone", exclusive=True))
        error = detail(await client.reached("alone", "rejected"))["error"]
        assert error["errorCode"] == "ADMISSION_OFF"
        assert error["fields"][0]["path"] == "exclusive"


@pytest.mark.parametrize("field", ["dependencies", "runAt", "concurrency"])
async def test_admission_that_is_off_refuses_requests_that_need_it(
    broker: MemoryBroker, cluster: Cluster, field: str
) -> None:
    values: dict[str, Any] = {"dependencies": ["x"], "runAt": "2026-01-01T00:00:00Z", "concurrency": {"key": "k"}}
    async with running(broker, cluster, admission="off") as client:
        await client.publish(make_request("asks", **{field: values[field]}), make_request("plain"))
        error = detail(await client.reached("asks", "rejected"))["error"]
        assert (error["errorCode"], error["fields"][0]["path"]) == ("ADMISSION_OFF", field)
        await client.ended("plain")


async def test_no_other_job_runs_beside_an_exclusive_job_of_its_service(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    gate = tmp_path / "go"
    async with running(broker, cluster, admission="always") as client:
        await client.occupied(gate)
        await client.publish(make_request("alone", exclusive=True, priority=5))
        assert detail(await client.reached("alone", "queued"))["reason"] == "exclusive"
        gate.touch()
        await client.ended("alone")


async def test_the_higher_priority_goes_first(broker: MemoryBroker, cluster: Cluster, tmp_path: Path) -> None:
    gate, order = tmp_path / "go", tmp_path / "order"
    async with running(broker, cluster, max_active=1) as client:
        await client.occupied(gate)
        for name, priority in (("low", 0), ("high", 500), ("middle", 100)):
            await client.queued(make_request(name, script=f'echo {name} >> "{order}"', priority=priority))
        gate.touch()
        await client.ended("low")
        assert order.read_text().split() == ["high", "middle", "low"]


async def test_a_dependent_runs_once_its_dependency_has_succeeded(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    gate = tmp_path / "go"
    async with running(broker, cluster) as client:
        # The dependent may come first.
        await client.publish(make_request("after", dependencies=["before"]))
        assert detail(await client.reached("after", "queued"))["reason"] == "dependencies"
        await client.publish(make_request("before", script=waits_for(gate)))
        await client.reached("before", "started")
        assert await is_suspended(cluster, "after")
        gate.touch()
        assert (await client.ended("after")).get_type().endswith("succeeded")


async def test_a_dependent_finds_a_dependency_that_ended_before_it_came(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_request("before"))
        await client.ended("before")
        await without_finalizer(cluster, "before")
        await client.publish(make_request("after", dependencies=["before"]))
        assert (await client.ended("after")).get_type().endswith("succeeded")


@pytest.mark.parametrize(("on_failure", "end"), [("cancel", "failed"), ("run", "succeeded")])
async def test_a_dependent_chooses_what_happens_when_its_dependency_fails(
    broker: MemoryBroker, cluster: Cluster, on_failure: str, end: str
) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_request("breaks", script="exit 1"))
        await client.publish(make_request("after", dependencies=["breaks"], onDependencyFailure=on_failure))
        event = await client.ended("after")
        assert event.get_type().endswith(end)
        if end == "failed":
            assert detail(event)["error"]["errorCode"] == "DEPENDENCY_FAILED"
            assert "breaks" in detail(event)["error"]["message"]
            assert "started" not in await client.phases("after")


async def test_a_dependency_that_never_comes_ends_its_dependent_and_is_named(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_request("waits", dependencies=["nobody"], dependencyTimeout=1))
        error = detail(await client.ended("waits"))["error"]
        assert error["errorCode"] == "DEPENDENCY_UNKNOWN"
        assert "nobody" in error["message"]


async def test_a_dependency_that_takes_too_long_is_reported_as_a_timeout(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_request("waits", dependencies=["slow"], dependencyTimeout=2))
        await client.publish(make_request("slow", script=waits_for(tmp_path / "go")))
        assert detail(await client.ended("waits"))["error"]["errorCode"] == "DEPENDENCY_TIMEOUT"
        (tmp_path / "go").touch()
        await client.ended("slow")


async def test_requests_that_wait_for_each_other_are_both_ended(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_request("a", dependencies=["b"]), make_request("b", dependencies=["a"]))
        for name in ("a", "b"):
            # The first to be ended may then be the other's failed dependency.
            code = detail(await client.ended(name))["error"]["errorCode"]
            assert code in ("DEPENDENCY_CYCLE", "DEPENDENCY_FAILED")


async def test_no_request_runs_before_its_time(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        at = datetime.now(UTC) + timedelta(seconds=2)
        await client.publish(make_request("later", runAt=at.isoformat()))
        assert detail(await client.reached("later", "queued"))["reason"] == "runAt"
        started = (await client.reached("later", "started")).get_time()
        assert started is not None
        assert started >= at.replace(microsecond=0)
        await client.ended("later")


async def test_a_queued_request_is_cancelled_without_running(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    async with running(broker, cluster, max_active=1) as client:
        await client.occupied(tmp_path / "go")
        await client.queued(make_request("waits"))
        await client.command(make_command("cancel", "waits"))
        assert detail(await client.ended("waits"))["error"]["errorCode"] == "CANCELLED"
        assert "started" not in await client.phases("waits")
        (tmp_path / "go").touch()
        await client.ended("busy")


async def test_a_queued_request_is_suspended_and_returns_to_the_queue(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    async with running(broker, cluster, max_active=1) as client:
        await client.occupied(tmp_path / "go")
        await client.queued(make_request("waits"))
        await client.command(make_command("suspend", "waits", event_id="c1"))
        assert detail(await client.reached("waits", "suspended"))["by"] == "request"
        await client.command(make_command("resume", "waits", event_id="c2"))
        await client.reached("c2", "accepted")
        assert await is_suspended(cluster, "waits")
        (tmp_path / "go").touch()
        await client.ended("waits")
        assert await client.phases("waits") == ["created", "queued", "suspended", "resumed", "started", "succeeded"]


async def test_a_resumed_job_waits_for_room_again(broker: MemoryBroker, cluster: Cluster, tmp_path: Path) -> None:
    async with running(broker, cluster, max_active=1) as client:
        await client.publish(make_request("first", script=waits_for(tmp_path / "first")))
        await client.reached("first", "started")
        await client.queued(make_request("second", script=waits_for(tmp_path / "second")))
        await client.command(make_command("suspend", "first", event_id="c1"))
        await client.reached("second", "started")
        await client.command(make_command("resume", "first", event_id="c2"))
        await client.reached("first", "queued")
        assert await is_suspended(cluster, "first")
        for name in ("second", "first"):
            (tmp_path / name).touch()
            await client.ended(name)


async def test_a_large_event_waits_for_its_payload_and_for_room(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    async with running(broker, cluster, max_active=1, inline_bytes=0) as client:
        await client.occupied(tmp_path / "go")
        await client.queued(make_request("large", script='test -s "$JOBRELAY_EVENT_PATH"'))
        assert await is_suspended(cluster, "large")
        (tmp_path / "go").touch()
        assert (await client.ended("large")).get_type().endswith("succeeded")


async def test_handlers_take_no_requests_while_too_many_wait_for_room(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    async with running(broker, cluster, max_active=4, max_queued=10, concurrency=4) as client:
        await client.publish(
            *(
                make_request(f"r-{number}", service=f"service-{number % 3}", script=waits_for(tmp_path / "go"))
                for number in range(40)
            )
        )

        async def settled() -> bool:
            before = await waiting(broker)
            await asyncio.sleep(3)
            return 0 < before == await waiting(broker)

        await until(settled)
        # Requests that were delivered before the limit was reached are still handled.
        assert 40 - 4 - 10 - 2 * 4 <= await waiting(broker) <= 40 - 10
        (tmp_path / "go").touch()
        for number in range(40):
            await client.ended(f"r-{number}")


async def waiting(broker: MemoryBroker) -> int:
    return sum(depth.ready for topic, depth in (await broker.depth()).items() if topic.kind == "requests")


async def test_a_key_is_its_services_own_where_the_setting_says_so(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    alone: dict[str, Any] = {"exclusive": True, "concurrency": {"key": "k"}}
    async with running(broker, cluster, keys="service") as client:
        await client.occupied(tmp_path / "go", **alone)
        await client.queued(make_request("behind", **alone))
        await client.publish(make_request("beside", service="others", **alone))
        await client.ended("beside")
        assert await client.phases("behind") == ["created", "queued"]
        (tmp_path / "go").touch()
        await client.ended("behind")


async def test_too_many_requests_that_wait_for_anything_but_room_are_refused(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    async with running(broker, cluster, max_waiting=2) as client:
        at = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        # Together: for a second, a handler adds the Jobs it made to the leader's counts, which may have them already.
        await client.publish(make_request("one", runAt=at), make_request("two", runAt=at))
        for name in ("one", "two"):
            await client.reached(name, "queued")
        await client.publish(make_request("three", runAt=at), make_request("plain"))
        assert detail(await client.reached("three", "rejected"))["error"]["errorCode"] == "TOO_MANY_WAITING"
        await client.ended("plain")
