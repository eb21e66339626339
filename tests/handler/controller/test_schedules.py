"""Schedules over the whole path: a request becomes a CronJob, and each of its Jobs a request of its own."""

import json
from pathlib import Path
from typing import Any

import pytest

from adapters.base import BrokerUnavailable, Kind, Topic
from adapters.memory import MemoryBroker
from events.identity import request_label
from events.jobs.observed import Schedule
from events.lifecycle.schedules import Runs
from events.names import FINALIZER, Annotation, Label
from handler.effects.writes import Writes
from k8s.api.cluster import Cluster
from k8s.base import Refused
from k8s.devcluster.loops import Options
from tests.handler.controller.scheduling import (
    EACH_MINUTE,
    FAST,
    cron_jobs,
    ended,
    jobs,
    make_schedule,
    minutes_pass,
    runs,
    stored_runs,
)
from tests.handler.jobs import name_of
from tests.handler.relay import WHOLE, detail, running
from tests.handler.samples import SOURCE, by_hand, make_request, until, waits_for


@pytest.fixture
def running_options() -> Options:
    return FAST


async def test_each_run_is_a_request_of_its_own_and_knows_its_time(broker: MemoryBroker, cluster: Cluster) -> None:
    script = 'echo "\\"$JOBRELAY_JOB_ID for $JOBRELAY_SCHEDULED_FOR\\"" > "$JOBRELAY_RESULT_PATH"'
    async with running(broker, cluster) as client:
        await client.publish(make_schedule(script=script, tags=["nightly"], timeZone="Europe/Berlin"))
        times = await ended(client, 2)
        assert [await client.phases(f"s@{time}") for time in times] == [WHOLE] * len(times)
        assert times == sorted(times)
        for time in times:
            events = await client.events(f"s@{time}")
            assert [detail(event)["scheduledFor"] for event in events] == [time] * 3
            assert [event.get_extension("causationid") for event in events] == ["event-s"] * 3
            assert [event.get_extension("requestsource") for event in events] == [SOURCE] * 3
            assert detail(events[-1])["result"] == f"s@{time} for {time}"
            assert detail(events[-1])["tags"] == ["nightly"]
            asked = detail(events[0])["request"]
            assert (asked["type"], asked["image"]) == ("dev.jobrelay.job.requested", "busybox:1")
        first = await client.events(f"s@{times[0]}")
        (job, *_) = await jobs(cluster)
        assert job["metadata"]["labels"][Label.REQUEST] == request_label(f"s@{times[0]}")
        assert job["metadata"]["annotations"][Annotation.RUN] == times[0]
        assert job["spec"]["ttlSecondsAfterFinished"] == 300
        selector = {"labelSelector": f"{Label.REQUEST}={request_label(f's@{times[0]}')}"}
        pods = await cluster.client.request("GET", "/api/v1/namespaces/default/pods", params=selector)
        assert [pod["metadata"]["name"] for pod in json.loads(pods)["items"]] == [detail(first[1])["podName"]]


async def test_a_schedule_is_reported_with_its_next_run(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_schedule(cron="30 3 * * *", timeZone="Etc/UTC", metadata={"k": 1}, maxRuns=7))
        event = await client.reached("s", "scheduled")
        (cron_job,) = await cron_jobs(cluster)
        assert event.get_id() == f"{cron_job['metadata']['uid']}/scheduled"
        assert event.get_source() == f"/namespaces/default/cronjobs/{name_of('s')}"
        assert (event.get_extension("causationid"), event.get_extension("partitionkey")) == ("event-s", "s")
        assert event.get_extension("requestsource") == SOURCE
        found = detail(event)
        assert found["nextRun"].endswith("T03:30:00Z")
        assert {name: found[name] for name in ("schedule", "timeZone", "maxRuns", "metadata", "service")} == {
            "schedule": "30 3 * * *",
            "timeZone": "Etc/UTC",
            "maxRuns": 7,
            "metadata": {"k": 1},
            "service": "tests",
        }


async def test_a_cron_job_follows_its_request_and_its_jobs_wait_for_us(broker: MemoryBroker, cluster: Cluster) -> None:
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


async def test_a_foreign_cron_job_is_left_alone(broker: MemoryBroker, cluster: Cluster) -> None:
    container = {"name": "main", "image": "busybox:1", "command": ["true"]}
    template = {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}}
    metadata = {"name": name_of("s"), "namespace": "default"}
    await cluster.create_cron_job({"metadata": metadata, "spec": {"schedule": "0 0 1 1 *", "jobTemplate": template}})
    async with running(broker, cluster) as client:
        await client.publish(make_schedule())
        error = detail(await client.reached("s", "rejected"))["error"]
        assert error["errorCode"] == "NAME_TAKEN"
        assert error["message"].startswith(f"CronJob default/{name_of('s')} exists")


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
async def test_an_invalid_schedule_is_refused_with_its_field(
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
        # With several pods too, each pod has the event inline.
        parallel = {"parallelism": 2, "completions": 2}
        await client.publish(make_schedule("s", script='test -s "$JOBRELAY_EVENT_PATH"', job=parallel))
        (time, *_) = await ended(client, 1)
        assert (await client.phases(f"s@{time}"))[-1] == "succeeded"


async def test_admission_that_is_off_refuses_schedules(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster, admission="off") as client:
        await client.publish(make_schedule())
        error = detail(await client.reached("s", "rejected"))["error"]
        assert (error["errorCode"], error["fields"][0]["path"]) == ("ADMISSION_OFF", "schedule")


async def test_runs_wait_for_room_as_all_jobs_do(broker: MemoryBroker, cluster: Cluster, tmp_path: Path) -> None:
    async with running(broker, cluster, max_active=1) as client:
        await client.occupied(tmp_path / "go")
        await client.publish(make_schedule(maxRuns=1))

        async def queued() -> bool:
            return ["created", "queued"] in (await runs(client)).values()

        await until(queued)
        (tmp_path / "go").touch()
        (time,) = await ended(client, 1)
        assert (await runs(client))[time] == ["created", "queued", "started", "succeeded"]


async def test_runs_that_may_not_overlap_begin_one_after_the_other(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_schedule(script=waits_for(tmp_path / "go"), concurrencyPolicy="Forbid"))
        await until(lambda: jobs(cluster))
        await minutes_pass(cluster)
        assert len(await jobs(cluster)) == 1
        (tmp_path / "go").touch()
        await ended(client, 2)


async def test_a_job_created_by_hand_is_a_run(broker: MemoryBroker, cluster: Cluster) -> None:
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
        # From here on the broker takes nothing, but the request.
        monkeypatch.setattr(broker, "publish", away)
        await publish(Topic(Kind.REQUESTS), make_schedule(script=f'echo x >> "{mark}"', maxRuns=1))

        async def ran() -> bool:
            return mark.exists()

        await until(ran)
        assert await client.events("s") == []
        monkeypatch.setattr(broker, "publish", publish)
        await client.reached("s", "unscheduled")
        assert await client.phases("s") == ["scheduled", "unscheduled"]


@pytest.mark.parametrize(("seconds", "times"), [(0.0, 0), (60.0, 1)])
async def test_a_new_leader_repeats_only_events_that_the_former_may_not_have_published(
    broker: MemoryBroker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, seconds: float, times: int
) -> None:
    monkeypatch.setattr("handler.controller.published.REPEAT_SECONDS", seconds)
    async with running(broker, cluster) as client:
        await client.publish(make_schedule())
        before = len(await ended(client, 2))
    async with running(broker, cluster) as client:
        await ended(client, before + 1)
        registry = client.state.metrics.registry
        assert registry.get_sample_value("jobrelay_lifecycle_published_total", {"phase": "scheduled"}) == times
        # A repeated event has the id of the first.
        assert await client.phases("s") == ["scheduled"]


async def test_a_refused_write_of_an_outcome_holds_up_no_run(
    broker: MemoryBroker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    noting = Writes.note_runs

    async def refusing(self: Writes, schedule: Schedule, noted: Runs) -> Schedule:
        if noted.succeeded:
            raise Refused("admission webhook says no", status=400)
        return await noting(self, schedule, noted)

    monkeypatch.setattr(Writes, "note_runs", refusing)
    async with running(broker, cluster) as client:
        await client.publish(make_schedule())
        await ended(client, 1)

        async def has_no_finalizer() -> bool:
            (job, *_) = await jobs(cluster)
            return not job["metadata"].get("finalizers")

        await until(has_no_finalizer)


async def test_attempts_belong_to_their_run_and_count_as_one_run(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_schedule(script="exit 1", maxRuns=2, retries=1, retryDelay=1))
        assert detail(await client.reached("s", "unscheduled"))["runs"] == 2
        reported = await runs(client)
        tried = ["created", "started", "retrying", "started", "failed"]
        assert [[phase for phase in phases if phase != "queued"] for phases in reported.values()] == [tried, tried]
        found = stored_runs((await cron_jobs(cluster))[0])
        assert (found.count, found.failed, found.succeeded) == (2, 2, 0)
        assert len(await jobs(cluster)) == 4
