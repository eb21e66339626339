"""Scenes that need a jobrelay of their own, to stop or kill it. Played while tests run, judged by tests later."""

import asyncio
import os
import signal
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

from k8s.base import KubernetesError, NotFound
from tests.e2e.confined import confined
from tests.e2e.functions import functions
from tests.e2e.kueue import kueue
from tests.e2e.observer import Observer, request
from tests.e2e.schedules import schedules
from tests.e2e.site import Relay, Site, until
from tests.patience import PATIENCE

BUSY = "trap 'exit 0' TERM; while :; do :; done"
SLOW_TO_END = "trap 'sleep 2; exit 143' TERM; while :; do sleep 0.1; done"
"""Times of Kubernetes are whole seconds: what fails in the second of its deletion may have failed before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Downtime:
    """`jobs`: manifests of the ended Jobs while jobrelay was down. `exit_codes`: of the processes that were stopped."""

    observer: Observer
    jobs: dict[str, dict[str, Any]]
    exit_codes: set[int | None]


async def downtime(site: Site) -> Downtime:
    """Two Jobs end and a third is deleted while no jobrelay runs; then a jobrelay starts."""
    instance, patience = site.new_instance(), PATIENCE * site.patience
    seconds = 3 if site.own_cluster else 20
    result = f'sleep {seconds}; echo \'{{"seven": 7}}\' > "$JOBRELAY_RESULT_PATH"'
    scripts = {"ends": result, "breaks": f"sleep {seconds}; echo no >&2; exit 7", "goes": SLOW_TO_END}
    async with site.observer(instance) as observer:
        async with site.relays(instance, *site.roles) as relays:
            for name, script in scripts.items():
                await observer.publish(request(name, script, image=site.image))
            for name in scripts:
                await observer.reached(name, "started", seconds=patience)
            await asyncio.gather(*(relay.process.stop() for relay in relays))
        names = {name: str(job_name(observer, name)) for name in scripts}
        for name in ("ends", "breaks"):
            await until(partial(finished, site, names[name]), seconds=patience)
        jobs = {name: await site.cluster.read_job(site.namespace, names[name]) for name in ("ends", "breaks")}
        await site.cluster.delete_job(site.namespace, names["goes"])
        # No process has to take requests for that.
        async with site.relay(instance, role=site.leading_role):
            for name in scripts:
                await observer.ended(name, seconds=patience)
            await until(lambda: gone(site, names["goes"]), seconds=patience)
            # Long enough for a second look at everything: a repeat would show.
            await asyncio.sleep(1)
    return Downtime(observer=observer, jobs=jobs, exit_codes={relay.process.exit_code for relay in relays})


@dataclass(frozen=True, slots=True, kw_only=True)
class Takeover:
    """Seconds from the end of a leader until another led; `observer` has the events of each term."""

    leaders_at_once: int
    after_sigterm: float
    after_kill: float
    exit_code: int | None
    observer: Observer


async def takeover(site: Site) -> Takeover:
    """Of three candidates, the leader is asked to stop, and the next leader is killed."""
    instance, patience = site.new_instance(), PATIENCE * site.patience
    async with (
        site.observer(instance) as observer,
        site.relays(instance, *[site.leading_role] * 3, *site.roles[1:]) as started,
    ):
        relays = started[:3]
        leader = await until(lambda: leader_of(relays), seconds=patience)
        leaders = sum([await relay.leads() for relay in relays])
        relays.remove(leader)
        os.kill(leader.process.pid, signal.SIGTERM)
        begun = time.monotonic()
        leader, exit_code = await until(lambda: leader_of(relays), seconds=patience), leader
        after_sigterm = time.monotonic() - begun
        await observer.publish(request("second-term", image=site.image))
        await observer.ended("second-term", seconds=patience)
        relays.remove(leader)
        leader.process.kill()
        begun = time.monotonic()
        await until(lambda: leader_of(relays), seconds=patience)
        after_kill = time.monotonic() - begun
        await observer.publish(request("third-term", image=site.image))
        await observer.ended("third-term", seconds=patience)
        return Takeover(
            leaders_at_once=leaders,
            after_sigterm=after_sigterm,
            after_kill=after_kill,
            exit_code=await exit_code.process.wait(),
            observer=observer,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """`left`: requests in the broker when the first process had ended."""

    exit_code: int | None
    seconds: float
    left: int
    requests: list[str]
    observer: Observer


async def drain(site: Site) -> Drain:
    """SIGTERM in the middle of a burst; then another process handles the rest. A controller keeps running."""
    instance, patience = site.new_instance(), PATIENCE * site.patience
    requests = [f"drain-{number}" for number in range(40)]
    stays = [role for role in site.roles if role != site.handling_role]
    async with site.observer(instance) as observer, site.relays(instance, *stays):
        async with site.relay(instance, role=site.handling_role, concurrency=4) as relay:
            await asyncio.gather(*(observer.publish(request(name, image=site.image)) for name in requests))
            await observer.reached(requests[0], "created", seconds=patience)
            begun = time.monotonic()
            await relay.process.stop()
            seconds = time.monotonic() - begun
            left = await observer.waiting()
        async with site.relay(instance, role=site.handling_role):
            for name in requests:
                await observer.ended(name, seconds=patience)
    return Drain(exit_code=relay.process.exit_code, seconds=seconds, left=left, requests=requests, observer=observer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """`why_not`: why this cluster has no metrics; empty if it has."""

    observer: Observer
    why_not: str


async def measured(site: Site) -> Measured:
    """A busy Job runs until its usage has been published twice; then it is cancelled."""
    instance, patience = site.new_instance(), PATIENCE * site.patience
    async with site.observer(instance) as observer, site.relays(instance, "controller", "handler", progress_seconds=1):
        try:
            await site.cluster.pod_metrics(site.namespace, "")
        except KubernetesError as error:
            return Measured(observer=observer, why_not=str(error))
        await observer.publish(request("busy", BUSY, image=site.image))
        await observer.reached("busy", "started", seconds=patience)

        async def published_twice() -> bool:
            return observer.phases("busy").count("progress") >= 2

        await until(published_twice, seconds=patience)
        await observer.command("cancel", "busy")
        await observer.ended("busy", seconds=patience)
    return Measured(observer=observer, why_not="")


SCENES = {
    "downtime": downtime,
    "takeover": takeover,
    "drain": drain,
    "measured": measured,
    "confined": confined,
    "functions": functions,
    "kueue": kueue,
    "schedules": schedules,
}
WITH_BROKER = frozenset({"downtime", "drain", "functions", "schedules"})
"""The scenes in which the broker plays a part."""


def job_name(observer: Observer, request_id: str) -> str:
    """The name of the request's Job, by its first event."""
    created = next(event for event in observer.of(request_id))
    return str(created.get_source()).rpartition("/")[2]


async def leader_of(relays: list[Relay]) -> Relay | None:
    for relay in relays:
        if await relay.leads():
            return relay
    return None


async def finished(site: Site, name: str) -> bool:
    job = await site.cluster.read_job(site.namespace, name)
    conditions = job.get("status", {}).get("conditions", ())
    return any(found["type"] in ("Complete", "Failed") and found["status"] == "True" for found in conditions)


async def gone(site: Site, name: str) -> bool:
    try:
        await site.cluster.read_job(site.namespace, name)
    except NotFound:
        return True
    return False
