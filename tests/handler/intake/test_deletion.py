"""A request that is sent again while its former Job is being deleted runs anew, and a mere redelivery does not."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.v1.event import CloudEvent

from adapters.base import Kind, Topic
from adapters.memory import MemoryBroker
from events.names import FINALIZER
from handler.telemetry.state import State
from k8s.api.cluster import Cluster
from k8s.base import Manifest, NotFound
from tests.handler.controller.scheduling import make_schedule
from tests.handler.intake.functions import make_event, make_function, write
from tests.handler.jobs import job_of, name_of, our_jobs
from tests.handler.relay import WHOLE, Client, connected, relaying, running
from tests.handler.samples import make_command, make_request, until, waits_for

HELD = "example.com/held"
"""A finalizer of somebody else's: it keeps a deleted object."""


def counted(state: State, name: str, **labels: str) -> float:
    return state.metrics.registry.get_sample_value(name, {"broker": "memory", **labels}) or 0.0


async def deferred(state: State) -> bool:
    return counted(state, "jobrelay_messages_deferred_total", reason="deletion") > 0


async def delivered_again(broker: MemoryBroker, event: CloudEvent) -> None:
    """Publish it, and have it delivered a first time to a process that dies."""
    await broker.publish(Topic(Kind.REQUESTS), event, message_id="again")
    async with broker.subscribe(Kind.REQUESTS, prefetch=1) as subscription:
        await anext(aiter(subscription))


async def held_and_deleted(cluster: Cluster, name: str, *, finalizers: list[str]) -> None:
    """Delete this Job, which then stays with these finalizers."""
    await cluster.patch_job("default", name, {"metadata": {"finalizers": finalizers}})
    await cluster.delete_job("default", name)


async def let_go(cluster: Cluster, name: str) -> None:
    removed = {"$deleteFromPrimitiveList/finalizers": [HELD, FINALIZER]}
    await cluster.patch_job("default", name, {"metadata": removed})


@pytest.mark.parametrize("inline_bytes", [16384, 0])
@pytest.mark.parametrize("script", ["exit 0", "true"], ids=["same", "other"])
async def test_a_request_waits_for_its_deleted_job_and_runs_anew(
    broker: MemoryBroker, cluster: Cluster, inline_bytes: int, script: str
) -> None:
    """`other`: with other data, too."""
    async with running(broker, cluster, inline_bytes=inline_bytes) as client:
        await client.publish(make_request("r", script="exit 0"))
        former = (await client.ended("r")).get_id()
        await held_and_deleted(cluster, name_of("r"), finalizers=[HELD])
        await client.publish(make_request("r", script=script))
        await until(partial(deferred, client.state))
        await let_go(cluster, name_of("r"))

        async def over() -> bool:
            return (await client.phases("r")) == WHOLE * 2

        await until(over)
        assert (await client.events("r"))[-1].get_id() != former
        assert not await client.dead()


async def test_a_request_sent_again_before_our_finalizer_is_gone_runs_anew(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    """Whoever sends it again right after the terminal event may be faster than the controller."""
    async with relaying(connected(broker), cluster, role="handler") as state:
        client = Client(broker, state)
        await client.publish(make_request("r", script=waits_for(tmp_path / "never")))
        job = await until(partial(found, cluster, "r"))
        await cluster.delete_job("default", name_of("r"))
        await client.publish(make_request("r"))
        await until(partial(deferred, state))
        await let_go(cluster, name_of("r"))

        async def another() -> bool:
            there = await found(cluster, "r")
            return there is not None and there["metadata"]["uid"] != job["metadata"]["uid"]

        await until(another)


@pytest.mark.parametrize("by_function", [False, True])
async def test_a_redelivery_does_not_undo_a_deletion_whose_end_is_not_told(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path, by_function: bool
) -> None:
    """The handler crashed after it had made the Job, and somebody has deleted that."""
    event = make_event("e1") if by_function else make_request("r")
    settings: dict[str, Any] = {"role": "handler"}
    if by_function:
        settings["functions"] = write(tmp_path / "f.yaml", make_function(script=waits_for(tmp_path / "never")))
    async with relaying(connected(broker), cluster, **settings) as state:
        await Client(broker, state).publish(event)
        (job,) = await until(partial(our_jobs, cluster))
    await cluster.delete_job("default", job["metadata"]["name"])
    await delivered_again(broker, event)
    async with relaying(connected(broker), cluster, **settings) as state:

        async def duplicate() -> bool:
            return counted(state, "jobrelay_messages_duplicate_total") > 0

        await until(duplicate)
        assert not await deferred(state)


async def test_a_schedule_sent_again_waits_for_its_deleted_cron_job(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_schedule())
        await client.reached("s", "scheduled")
        cron_job = (await cluster.list_cron_jobs("default", ""))[0]
        name, held = cron_job["metadata"]["name"], {"metadata": {"finalizers": [HELD]}}
        await cluster.patch_cron_job("default", name, held)
        await client.command(make_command("cancel", "s"))
        await client.reached("s", "unscheduled")
        await client.publish(make_schedule())
        await until(partial(deferred, client.state))
        removed = {"metadata": {"$deleteFromPrimitiveList/finalizers": [HELD]}}
        await cluster.patch_cron_job("default", name, removed)

        async def scheduled_again() -> bool:
            return (await client.phases("s")) == ["scheduled", "unscheduled", "scheduled"]

        await until(scheduled_again)


async def found(cluster: Cluster, request_id: str) -> Manifest | None:
    try:
        return await job_of(cluster, request_id)
    except NotFound:
        return None
