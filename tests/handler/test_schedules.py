"""Schedules on the whole path: a request becomes a CronJob, each of its Jobs a request of its own, and an end is told.

A minute of the cluster's CronJobs takes two seconds here; scheduled times are by that clock, which runs ahead.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.v1.event import CloudEvent

from adapters.base import BrokerUnavailable, Kind, Topic
from adapters.memory import MemoryBroker, connect
from events.cloudevent import decode_structured
from events.identity import request_label
from events.names import FINALIZER, TERMINAL, Annotation, Label
from events.schedules import Runs, read_runs
from handler.settings import Settings
from k8s.base import Manifest
from k8s.client import STRATEGIC_MERGE
from k8s.cluster import Cluster
from k8s.devcluster.controllers import Options
from k8s.devcluster.server import DevCluster, ServerOptions, serve
from tests.handler.relay import Client, detail, running
from tests.handler.samples import by_hand, make_command, make_request, until, waits_for
from tests.handler.test_controller import name_of

EACH_MINUTE = "* * * * *"
MINUTE = 2.0
WHOLE = ["created", "started", "succeeded"]


@pytest.fixture
async def devcluster(tmp_path: Path) -> AsyncIterator[DevCluster]:
    options = ServerOptions(bookmark_interval=1.0, running=Options(backoff=0.5, cron_minute=MINUTE))
    async with serve(tmp_path / "cluster", options=options) as cluster:
        yield cluster


def make_schedule(request_id: str = "s", *, cron: str = EACH_MINUTE, **data: Any) -> CloudEvent:
    return make_request(request_id, schedule=cron, **data)


async def cron_jobs(cluster: Cluster) -> list[Manifest]:
    return await cluster.list_cron_jobs("default", f"{Label.MANAGED_BY}=jobrelay")


async def jobs(cluster: Cluster, schedule: str = "s") -> list[Manifest]:
    """All that were made for it, adopted or not, in the order of their times."""
    return await cluster.list_jobs("default", f"{Label.SCHEDULE}={request_label(schedule)}")


async def told(client: Client) -> list[CloudEvent]:
    async with client.broker.history(Kind.LIFECYCLE) as records:
        return [decode_structured(record.body) async for record in records]


async def runs(client: Client, schedule: str = "s") -> dict[str, list[str]]:
    """Phases of each run that was told of, by its scheduled time; repeats are dropped."""
    found: dict[str, dict[str, str]] = {}
    for event in await told(client):
        name, _, time = (event.get_subject() or "").partition("@")
        if name == schedule and time:
            found.setdefault(time, {})[event.get_id()] = event.get_type().rpartition(".")[2]
    return {time: list(phases.values()) for time, phases in found.items()}


async def ended(client: Client, count: int, schedule: str = "s") -> list[str]:
    """The scheduled times of the first runs, once so many have ended."""

    async def look() -> list[str] | None:
        over = [time for time, phases in (await runs(client, schedule)).items() if phases[-1] in TERMINAL]
        return over if len(over) >= count else None

    return await until(look)


async def minutes_pass(cluster: Cluster) -> None:
    """Two of the cluster's CronJobs: until one of nobody's has been served twice."""
    container = {"name": "main", "image": "busybox:1", "command": ["true"]}
    pods = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    template = {"metadata": {"labels": {"app": "clock"}}, "spec": {"template": pods}}
    clock = {"metadata": {"name": "clock"}, "spec": {"schedule": EACH_MINUTE, "jobTemplate": template}}
    await cluster.client.request("POST", "/apis/batch/v1/namespaces/default/cronjobs", body=clock)

    async def look() -> bool:
        return len(await cluster.list_jobs("default", "app=clock")) == 2

    await until(look)


async def test_each_run_is_a_request_of_its_own_and_knows_its_time(broker: MemoryBroker, cluster: Cluster) -> None:
    script = 'echo "\\"$JOBRELAY_JOB_ID for $JOBRELAY_SCHEDULED_FOR\\"" > "$JOBRELAY_RESULT_PATH"'
    async with running(broker, cluster) as client:
        await client.publish(make_schedule(script=script, tags=["nightly"], timeZone="Europe/Berlin"))
        times = await ended(client, 2)
        assert [await client.phases(f"s@{time}") for time in times] == [WHOLE, WHOLE]
        assert times == sorted(times)
        for time in times:
            events = await client.events(f"s@{time}")
            assert [detail(event)["scheduledFor"] for event in events] == [time] * 3
            assert [event.get_extension("causationid") for event in events] == ["event-s"] * 3
            assert detail(events[-1])["result"] == f"s@{time} for {time}"
            assert detail(events[-1])["tags"] == ["nightly"]
        first = await client.events(f"s@{times[0]}")
        (job, *_) = await jobs(cluster)
        assert job["metadata"]["labels"][Label.REQUEST] == request_label(f"s@{times[0]}")
        assert job["metadata"]["annotations"][Annotation.RUN] == times[0]
        assert job["spec"]["ttlSecondsAfterFinished"] == 300
        selector = {"labelSelector": f"{Label.REQUEST}={request_label(f's@{times[0]}')}"}
        pods = await cluster.client.request("GET", "/api/v1/namespaces/default/pods", params=selector)
        assert [pod["metadata"]["name"] for pod in json.loads(pods)["items"]] == [detail(first[1])["podName"]]


async def test_a_schedule_is_told_with_its_first_time(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_schedule(cron="30 3 * * *", timeZone="Etc/UTC", metadata={"k": 1}, maxRuns=7))
        event = await client.reached("s", "scheduled")
        (cron_job,) = await cron_jobs(cluster)
        assert event.get_id() == f"{cron_job['metadata']['uid']}/scheduled"
        assert event.get_source() == f"/namespaces/default/cronjobs/{name_of('s')}"
        assert (event.get_extension("causationid"), event.get_extension("partitionkey")) == ("event-s", "s")
        found = detail(event)
        assert found["nextRun"].endswith("T03:30:00Z")
        assert {name: found[name] for name in ("schedule", "timeZone", "maxRuns", "metadata", "service")} == {
            "schedule": "30 3 * * *",
            "timeZone": "Etc/UTC",
            "maxRuns": 7,
            "metadata": {"k": 1},
            "service": "tests",
        }


async def test_a_cron_job_is_what_the_request_says_and_its_jobs_wait_for_us(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    async with running(broker, cluster, role="handler") as client:
        await client.publish(make_schedule(concurrencyPolicy="Forbid", timeZone="Asia/Tokyo", timeout=60))
        (cron_job,) = await until(lambda: cron_jobs(cluster))
        spec, metadata = cron_job["spec"], cron_job["metadata"]
        assert (spec["schedule"], spec["timeZone"], spec["concurrencyPolicy"]) == (EACH_MINUTE, "Asia/Tokyo", "Forbid")
        assert (spec["successfulJobsHistoryLimit"], spec["failedJobsHistoryLimit"]) == (1000, 1000)
        assert metadata["finalizers"] == [FINALIZER]
        assert metadata["labels"][Label.REQUEST] == request_label("s")
        (job,) = await until(lambda: jobs(cluster))
        assert job["spec"]["suspend"] is True
        assert "finalizers" not in job["metadata"]
        assert Label.REQUEST not in job["metadata"]["labels"]
        assert job["metadata"]["annotations"][Annotation.RUN] == "new"
        assert await client.events("s") == []


async def test_a_repeat_is_a_duplicate_and_other_data_a_reused_id(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        event = make_schedule(cron="0 0 1 1 *")
        await client.publish(event, event)
        await client.reached("s", "scheduled")
        await client.publish(make_schedule(cron="0 0 2 1 *"))
        assert detail(await client.reached("s", "rejected"))["error"]["errorCode"] == "ID_REUSED"
        assert len(await cron_jobs(cluster)) == 1
        registry = client.state.metrics.registry
        assert registry.get_sample_value("jobrelay_messages_duplicate_total", {"broker": "memory"}) == 1


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"schedule": "every day"}, "schedule"),
        ({"schedule": "61 * * * *"}, "schedule"),
        ({"schedule": "0 0 30 2 *"}, "schedule"),
        ({"schedule": EACH_MINUTE, "timeZone": "Mars/Phobos"}, "timeZone"),
        ({"timeZone": "Etc/UTC"}, "timeZone"),
        ({"maxRuns": 3}, "maxRuns"),
        ({"concurrencyPolicy": "Forbid"}, "concurrencyPolicy"),
        ({"schedule": EACH_MINUTE, "runAt": "2026-01-01T00:00:00Z"}, "schedule"),
        ({"schedule": EACH_MINUTE, "dependencies": ["x"]}, "schedule"),
        ({"schedule": EACH_MINUTE, "payload": "secret"}, "payload"),
    ],
)
async def test_what_is_no_schedule_is_refused_by_its_field(
    broker: MemoryBroker, cluster: Cluster, fields: dict[str, Any], path: str
) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_request("bad", **fields))
        error = detail(await client.reached("bad", "rejected"))["error"]
        assert error["errorCode"] == "INVALID_REQUEST"
        assert [field["path"] for field in error["fields"]] == [path]
        assert not any(str(value) in error["message"] for value in fields.values() if isinstance(value, str))
        assert await cron_jobs(cluster) == []


async def test_an_event_that_is_too_large_for_each_job_is_refused(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster, inline_bytes=1024) as client:
        await client.publish(make_schedule("large", metadata={"padding": "x" * 1024}))
        error = detail(await client.reached("large", "rejected"))["error"]
        assert error["errorCode"] == "TOO_LARGE"
        assert "1024" in error["message"]
        # For several pods, each has it inline too.
        parallel = {"parallelism": 2, "completions": 2}
        await client.publish(make_schedule("s", script='test -s "$JOBRELAY_EVENT_PATH"', job=parallel))
        (time, *_) = await ended(client, 1)
        assert (await client.phases(f"s@{time}"))[-1] == "succeeded"


async def test_switched_off_admission_refuses_schedules(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster, admission="off") as client:
        await client.publish(make_schedule())
        error = detail(await client.reached("s", "rejected"))["error"]
        assert (error["errorCode"], error["fields"][0]["path"]) == ("ADMISSION_OFF", "schedule")


async def test_runs_wait_for_room_as_all_jobs_do(broker: MemoryBroker, cluster: Cluster, tmp_path: Path) -> None:
    async with running(broker, cluster, max_active=1) as client:
        await client.publish(make_request("busy", script=waits_for(tmp_path / "go")))
        await client.reached("busy", "started")
        await client.publish(make_schedule(maxRuns=1))

        async def held() -> bool:
            return ["created", "queued"] in (await runs(client)).values()

        await until(held)
        (tmp_path / "go").touch()
        (time,) = await ended(client, 1)
        assert (await runs(client))[time] == ["created", "queued", "started", "succeeded"]


async def test_it_runs_as_often_as_it_may_and_that_is_told(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    mark = tmp_path / "ran"
    async with running(broker, cluster) as client:
        await client.publish(make_schedule(script=f'echo x >> "{mark}"; test "$(wc -l < "{mark}")" = 1', maxRuns=2))
        over = await client.reached("s", "unscheduled")
        assert detail(over)["runs"] == 2
        (cron_job,) = await cron_jobs(cluster)
        assert over.get_id() == f"{cron_job['metadata']['uid']}/unscheduled"
        assert cron_job["spec"]["suspend"] is True
        found = noted(cron_job)
        assert (found.count, found.succeeded, found.failed, found.cancelled) == (2, 1, 1, 0)
        assert list(found.recent.values()) == ["succeeded", "failed"]
        # A repeat of the request still finds it.
        await client.publish(make_schedule(script=f'echo x >> "{mark}"; test "$(wc -l < "{mark}")" = 1', maxRuns=2))
        await nothing_waits(broker)
        await minutes_pass(cluster)
        assert mark.read_text() == "x\n" * 2
        assert len(await jobs(cluster)) == 2
        assert len(await cron_jobs(cluster)) == 1


def noted(cron_job: Manifest) -> Runs:
    return read_runs(cron_job["metadata"]["annotations"].get(Annotation.RUNS))


async def nothing_waits(broker: MemoryBroker) -> None:
    async def look() -> bool:
        depth = (await broker.depth())[Topic(Kind.REQUESTS)]
        return not depth.ready + depth.unsettled

    await until(look)


async def test_one_that_is_over_goes_once_no_repeat_could_make_it_anew(
    broker: MemoryBroker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = 8
    settings = monkeypatch.setattr
    settings(
        "tests.handler.relay.Settings", lambda **given: Settings(**given).model_copy(update={"dedup_seconds": kept})
    )
    async with running(broker, cluster) as client:
        await client.publish(make_schedule(maxRuns=1))
        began = (await client.reached("s", "scheduled")).get_time()
        await client.reached("s", "unscheduled")
        await until(lambda: gone(cluster))
        assert began is not None
        assert cluster.server_time() >= began.timestamp() + kept
        (job,) = await jobs(cluster)
        assert job["metadata"].get("ownerReferences", []) == []
        assert (await client.phases("s")).count("unscheduled") == 1


async def gone(cluster: Cluster) -> bool:
    return await cron_jobs(cluster) == []


async def test_a_run_that_came_while_nobody_led_counts_and_runs_afterwards(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    mark = tmp_path / "ran"
    async with running(broker, cluster) as client:
        await client.publish(make_schedule(script=f'echo x >> "{mark}"', maxRuns=2))
        await ended(client, 1)

    async def missed() -> bool:
        # Of these, one is too many.
        return len(await jobs(cluster)) == 3

    await until(missed)
    assert mark.read_text() == "x\n"
    async with running(broker, cluster) as client:
        assert detail(await client.reached("s", "unscheduled"))["runs"] == 2
        assert list((await runs(client)).values()) == [WHOLE, WHOLE]
        assert list(await runs(client)) == [run_of(job) for job in await jobs(cluster)]
        assert mark.read_text() == "x\n" * 2


def run_of(job: Manifest) -> str:
    run: str = job["metadata"]["annotations"][Annotation.RUN]
    return run


class Dying:
    """A cluster for a process that ends at its n-th call, before it is sent or after it was carried out."""

    def __init__(self, cluster: Cluster, *, at: int, carried_out: bool) -> None:
        self.dead = asyncio.Event()
        self.calls: list[str] = []
        self._cluster = cluster
        self._at = at
        self._carried_out = carried_out

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._cluster, name)
        return self._counted(name, found) if name.split("_")[0] in ("create", "patch", "delete") else found

    def _counted(self, name: str, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def counted(*args: Any, **options: Any) -> Any:
            self.calls.append(name)
            if len(self.calls) < self._at:
                return await call(*args, **options)
            if len(self.calls) == self._at and self._carried_out:
                await call(*args, **options)
            self.dead.set()
            # The dead make no calls and get no answers.
            return await asyncio.Event().wait()

        return counted


PATIENCE = 100.0
"""Seconds: many of them live at the same time."""
CALLS = 9
"""The CronJob is made; each of two runs is counted, let go, counted as ended, and released."""


async def survived(cluster: Cluster, directory: Path, *, at: int, carried_out: bool) -> None:
    """The whole life of a schedule with two runs, in which jobrelay ends once, at this call, and is started again."""
    name = f"s-{at}-{'after' if carried_out else 'before'}"
    mark = directory / name
    request = make_schedule(name, script=f'echo x >> "{mark}"', maxRuns=2)
    dying: Any = Dying(cluster, at=at, carried_out=carried_out)
    async with connect() as broker:
        await broker.declare()
        async with running(broker, dying, instance=name) as client:
            await client.publish(request)
            await asyncio.wait_for(dying.dead.wait(), PATIENCE)
        async with running(broker, cluster, instance=name) as client:
            assert detail(await client.reached(name, "unscheduled", seconds=PATIENCE))["runs"] == 2
            assert list((await runs(client, name)).values()) == [WHOLE, WHOLE], dying.calls
            assert mark.read_text() == "x\n" * 2, dying.calls
            (cron_job,) = await cluster.list_cron_jobs("default", f"{Label.INSTANCE}={name}")
            found = noted(cron_job)
            assert (found.count, found.succeeded) == (2, 2), dying.calls


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("carried_out", [False, True], ids=["before a call", "after a call"])
async def test_it_runs_as_often_as_it_may_wherever_jobrelay_is_stopped(
    cluster: Cluster, tmp_path: Path, carried_out: bool
) -> None:
    async with asyncio.TaskGroup() as group:
        for at in range(1, CALLS + 1):
            group.create_task(survived(cluster, tmp_path, at=at, carried_out=carried_out))


async def test_one_deleted_before_it_was_let_go_is_no_run(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster, role="handler") as client:
        await client.publish(make_schedule(maxRuns=2))
        (job,) = await until(lambda: jobs(cluster))
    # As after a crash of the leader just then.
    metadata = job["metadata"]
    counted = Runs(count=1, last=metadata["creationTimestamp"], job=metadata["uid"])
    annotations = {"metadata": {"annotations": {Annotation.RUNS: counted.to_annotation()}}}
    await cluster.patch_cron_job("default", name_of("s"), annotations)
    await cluster.delete_job("default", metadata["name"])
    async with running(broker, cluster) as client:
        assert detail(await client.reached("s", "unscheduled"))["runs"] == 2
        assert list((await runs(client)).values()) == [WHOLE, WHOLE]


async def test_suspended_it_begins_no_run_until_it_is_resumed(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_schedule())
        await ended(client, 1)
        await client.command(make_command("suspend", "s", event_id="c1"))
        assert detail(await client.reached("c1", "accepted"))["jobs"] == [name_of("s")]
        (cron_job,) = await cron_jobs(cluster)
        assert cron_job["spec"]["suspend"] is True
        before = len(await jobs(cluster))
        await minutes_pass(cluster)
        assert len(await jobs(cluster)) == before
        await client.command(make_command("resume", "s", event_id="c2"))
        await client.reached("c2", "accepted")
        await ended(client, before + 1)


async def test_cancelled_it_is_over_and_a_run_goes_on(broker: MemoryBroker, cluster: Cluster, tmp_path: Path) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_schedule(script=waits_for(tmp_path / "go"), concurrencyPolicy="Forbid"))

        async def begun() -> list[str] | None:
            return [time for time, phases in (await runs(client)).items() if "started" in phases]

        (time,) = await until(begun)
        await client.command(make_command("cancel", "s"))
        await client.reached("command-1", "accepted")
        assert detail(await client.reached("s", "unscheduled"))["runs"] == 1
        await until(lambda: gone(cluster))
        (tmp_path / "go").touch()
        assert await ended(client, 1) == [time]
        assert (await runs(client))[time] == WHOLE


async def test_what_was_made_for_it_when_it_was_cancelled_goes_too(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster, role="handler") as client:
        await client.publish(make_schedule())
        await until(lambda: jobs(cluster))
    await cluster.delete_cron_job("default", name_of("s"))
    async with running(broker, cluster) as client:
        await client.reached("s", "unscheduled")

        async def none_left() -> bool:
            return await jobs(cluster) == []

        await until(none_left)
        assert await runs(client) == {}


async def test_a_command_for_a_schedule_that_is_over_is_refused(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_schedule(maxRuns=1))
        await client.reached("s", "unscheduled")
        await client.command(make_command("resume", "s"))
        assert detail(await client.reached("command-1", "rejected"))["error"]["errorCode"] == "FINISHED"


async def test_a_run_is_commanded_by_its_own_id(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_schedule(script="sleep 60", concurrencyPolicy="Forbid"))

        async def begun() -> list[str] | None:
            return [time for time, phases in (await runs(client)).items() if "started" in phases]

        (time,) = await until(begun)
        await client.command(make_command("cancel", f"s@{time}"))
        assert detail(await client.ended(f"s@{time}"))["error"]["errorCode"] == "CANCELLED"

        async def counted() -> bool:
            return noted((await cron_jobs(cluster))[0]).cancelled == 1

        await until(counted)


async def test_forbidden_to_overlap_none_begins_before_the_other_has_ended(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_schedule(script=waits_for(tmp_path / "go"), concurrencyPolicy="Forbid"))
        await until(lambda: jobs(cluster))
        await minutes_pass(cluster)
        assert len(await jobs(cluster)) == 1
        (tmp_path / "go").touch()
        await ended(client, 2)


async def test_replaced_the_run_before_is_cancelled(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_schedule(script="sleep 60", concurrencyPolicy="Replace", maxRuns=2))
        (time,) = await ended(client, 1)
        assert detail(await client.ended(f"s@{time}"))["error"]["errorCode"] == "DELETED"

        async def last() -> list[str] | None:
            return [one for one, phases in (await runs(client)).items() if phases == ["created", "started"]]

        # No third one comes to replace it.
        (time,) = await until(last)
        await minutes_pass(cluster)
        assert (await runs(client))[time] == ["created", "started"]
        await client.command(make_command("cancel", f"s@{time}"))
        assert detail(await client.reached("s", "unscheduled"))["runs"] == 2


async def test_deleted_by_somebody_it_ends_with_its_runs(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_schedule(script="sleep 60", concurrencyPolicy="Forbid"))

        async def begun() -> list[str] | None:
            return [time for time, phases in (await runs(client)).items() if "started" in phases]

        (time,) = await until(begun)
        # As kubectl does.
        path = f"/apis/batch/v1/namespaces/default/cronjobs/{name_of('s')}"
        await cluster.client.request("DELETE", path, body={"propagationPolicy": "Background"})
        assert detail(await client.reached("s", "unscheduled"))["runs"] == 1
        assert detail(await client.ended(f"s@{time}"))["error"]["errorCode"] == "DELETED"
        await until(lambda: gone(cluster))


async def test_one_made_by_hand_is_a_run(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_schedule(cron="0 0 1 1 *"))
        await client.reached("s", "scheduled")
        (cron_job,) = await cron_jobs(cluster)
        await cluster.create_job(by_hand(cron_job))
        (time,) = await ended(client, 1)
        assert (await runs(client))[time] == WHOLE


async def test_runs_do_not_wait_for_the_broker(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "ran"

    async def away(*_: Any, **__: Any) -> None:
        raise BrokerUnavailable("away")

    publish = broker.publish
    async with running(broker, cluster) as client:
        await client.publish(make_schedule(script=f'echo x >> "{mark}"', maxRuns=1))
        monkeypatch.setattr(broker, "publish", away)

        async def ran() -> bool:
            return mark.exists()

        await until(ran)
        assert await client.events("s") == []
        monkeypatch.setattr(broker, "publish", publish)
        await client.reached("s", "unscheduled")
        assert await client.phases("s") == ["scheduled", "unscheduled"]


async def test_one_of_a_newer_version_is_left_alone(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster, role="handler") as client:
        await client.publish(make_schedule())
        await until(lambda: cron_jobs(cluster))
    path = f"/apis/batch/v1/namespaces/default/cronjobs/{name_of('s')}"
    patch = {"metadata": {"annotations": {Annotation.VERSION: "2"}}}
    await cluster.client.request("PATCH", path, body=patch, content_type=STRATEGIC_MERGE)
    async with running(broker, cluster, control_wait=0.5) as client:
        await until(lambda: jobs(cluster))
        await client.command(make_command("cancel", "s"))
        assert detail(await client.reached("command-1", "rejected"))["error"]["errorCode"] == "NEWER_FORMAT"
        (job, *_) = await jobs(cluster)
        assert job["metadata"]["annotations"][Annotation.RUN] == "new"
        assert await client.events("s") == []


async def test_attempts_of_a_run_are_of_that_run_and_the_next_run_counts_as_one(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_schedule(script="exit 1", maxRuns=2, retries=1, retryDelay=1))
        assert detail(await client.reached("s", "unscheduled", seconds=60))["runs"] == 2
        told = await runs(client)
        tried = ["created", "started", "retrying", "started", "failed"]
        assert [[one for one in phases if one != "queued"] for phases in told.values()] == [tried, tried]
        found = noted((await cron_jobs(cluster))[0])
        assert (found.count, found.failed, found.succeeded) == (2, 2, 0)
        assert len(await jobs(cluster)) == 4
