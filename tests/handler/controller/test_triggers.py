"""A schedule is run now, by a control event: one run more, of its own time, counted as any other."""

import uuid
from pathlib import Path
from typing import Any

from cloudevents.core.v1.event import CloudEvent

from adapters.base import Kind, Topic
from adapters.memory import MemoryBroker
from events.identity import command_hash, run_name
from events.names import Annotation
from events.phases import TERMINAL
from k8s.api.cluster import Cluster
from k8s.base import Manifest
from tests.handler.controller.scheduling import cron_jobs, ended, jobs, make_schedule, runs, started, stored_runs
from tests.handler.jobs import name_of
from tests.handler.relay import WHOLE, Client, detail, running
from tests.handler.samples import SOURCE, by_hand, make_command, make_request, until, waits_for

NEVER = "0 0 1 1 *"
"""Once a year: no run comes by itself."""


async def answer(client: Client, event_id: str = "command-1") -> dict[str, Any]:
    """The detail of the answer to this control event, once it is there."""

    async def look() -> CloudEvent | None:
        return next(iter(await client.events(event_id)), None)

    return detail(await until(look))


async def run_now(client: Client, event_id: str = "command-1", subject: str = "s", **more: Any) -> dict[str, Any]:
    await client.command(make_command("run", subject, event_id=event_id, **more))
    return await answer(client, event_id)


def code(told: dict[str, Any]) -> str:
    return str(told["error"]["errorCode"])


async def sent_again(client: Client, command: CloudEvent, *, accepted: int) -> None:
    """Publish it, as brokers may deliver it again; return when this leader has accepted so many."""
    await client.broker.publish(Topic(Kind.CONTROL), command, message_id=str(uuid.uuid4()))
    count = client.state.metrics.control.labels("run", "accepted")._value

    async def counted() -> bool:
        return bool(count.get() >= accepted)

    await until(counted)


async def scheduled(client: Client, **fields: Any) -> None:
    await client.publish(make_schedule(cron=NEVER, **fields))
    await client.reached("s", "scheduled")


async def test_a_run_is_made_now_and_is_as_any_other(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await scheduled(client)
        told = await run_now(client, actor="ada")
        assert (told["verb"], told["subject"]) == ("run", "s")
        assert told["jobs"] == [run_name(name_of("s"), command_hash(SOURCE, "command-1"))]
        (time,) = await ended(client, 1)
        assert told["run"] == f"s@{time}"
        assert (await runs(client))[time] == WHOLE
        first = await client.reached(told["run"], "created")
        assert (detail(first)["scheduledFor"], first.get_extension("causationid")) == (time, "event-s")
        assert (await client.reached("command-1", "accepted")).get_extension("actor") == "ada"

        async def counted() -> bool:
            noted = stored_runs((await cron_jobs(cluster))[0])
            return (noted.count, noted.last, noted.succeeded) == (1, time, 1)

        await until(counted)
        (job,) = await jobs(cluster)
        assert job["metadata"]["ownerReferences"][0]["controller"] is False


async def test_the_same_command_makes_one_run_also_under_the_next_leader(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    async with running(broker, cluster) as client:
        await scheduled(client, maxRuns=1)
        await run_now(client)
        await client.reached("s", "unscheduled")
        await sent_again(client, make_command("run", "s"), accepted=2)
    async with running(broker, cluster) as client:
        await sent_again(client, make_command("run", "s"), accepted=1)
        assert len(await jobs(cluster)) == 1
        assert code(await run_now(client, "another")) == "FINISHED"
    assert len(await client.events("command-1")) == 1


async def test_runs_of_the_same_second_are_called_by_different_times(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await scheduled(client)
        for number in range(4):
            await client.command(make_command("run", "s", event_id=f"c{number}"))
        made = {(await answer(client, f"c{number}"))["run"] for number in range(4)}
        assert len(made) == 4
        assert {f"s@{time}" for time in await ended(client, 4)} == made
        assert not [run for run in made if run.endswith(":00Z")]


async def test_a_suspended_schedule_can_be_run_and_stays_suspended(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await scheduled(client)
        await client.command(make_command("suspend", "s", event_id="c1"))
        await client.reached("c1", "accepted")
        await run_now(client)
        await ended(client, 1)
        assert (await cron_jobs(cluster))[0]["spec"]["suspend"] is True


async def test_what_forbids_overlap_is_not_run_beside_a_run(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    async with running(broker, cluster) as client:
        await scheduled(client, script=waits_for(tmp_path / "go"), concurrencyPolicy="Forbid")
        first = await run_now(client, "c1")
        told = await run_now(client, "c2")
        assert code(told) == "RUN_IN_PROGRESS"
        await started(client)
        assert code(await run_now(client, "c3")) == "RUN_IN_PROGRESS"
        (tmp_path / "go").touch()
        await client.ended(first["run"])
        assert (await run_now(client, "c4"))["run"] != first["run"]


async def test_what_replaces_its_runs_is_run_in_place_of_them(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    async with running(broker, cluster) as client:
        await scheduled(client, script=waits_for(tmp_path / "go"), concurrencyPolicy="Replace")
        first = await run_now(client, "c1")
        await started(client)
        second = await run_now(client, "c2")
        assert detail(await client.ended(first["run"]))["error"]["errorCode"] == "DELETED"
        (tmp_path / "go").touch()
        assert (await client.ended(second["run"])).get_type().endswith("succeeded")


async def test_only_a_schedule_can_be_run(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster, control_wait=0.3) as client:
        await client.publish(make_request("r"))
        await client.ended("r")
        assert code(await run_now(client, "c1", "r")) == "NO_SCHEDULE"
        assert code(await run_now(client, "c2", "nothing")) == "UNKNOWN"


async def test_a_job_of_somebody_else_under_the_name_is_left_alone(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await scheduled(client)
        (cron_job,) = await cron_jobs(cluster)
        other: Manifest = by_hand(cron_job)
        other["metadata"]["name"] = run_name(name_of("s"), command_hash(SOURCE, "command-1"))
        await cluster.create_job(other)
        assert code(await run_now(client)) == "NAME_TAKEN"
        await ended(client, 1)
        assert len(await jobs(cluster)) == 1


async def test_a_run_that_fails_is_tried_again_as_runs_are(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await scheduled(client, script="exit 1", retries=1, retryDelay=1)
        told = await run_now(client)
        assert detail(await client.ended(told["run"]))["attempt"] == 2
        assert all((job["metadata"]["annotations"])[Annotation.RUN] in told["run"] for job in await jobs(cluster))
        assert {phases[-1] in TERMINAL for phases in (await runs(client)).values()} == {True}
