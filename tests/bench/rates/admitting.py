"""Admission: how fast a leader lets waiting Jobs run, against bare requests. Each measurement cleans up."""

from functools import partial

from events.names import Label
from k8s.base import Manifest
from tests.bench.bench import Bench
from tests.bench.load.events import IDLE, IN_FLIGHT, Fields, jobs_of, make_events, many
from tests.bench.load.feed import LIFECYCLE, feeding, holds
from tests.bench.load.jobs import Jobs, no_pods
from tests.bench.load.looking import all_done
from tests.bench.load.processes import CONTROLLER, Meter, Pids, Round, settled
from tests.bench.load.relays import LONG, leading
from tests.bench.rates.rounds import CLIENTS, Rates, alternate
from tests.e2e.site import Relay, Site

ADMIT_SECONDS = 120.0
"""An API server that is too busy to answer within jobrelay's 3 s has admitted a Job that nobody counts: then this part
fails, and soon."""


async def admitting(bench: Bench, *, count: int) -> Rates:
    """`count` Jobs wait for one Job to end, and the leader lets them run, against bare PATCHes of the same Jobs."""
    events = make_events(count, command=IDLE, image=bench.site.image, fields=lambda _: {"service": "waiting"})
    bare = {who: partial(_patched, who, bench.site, bench.servers, events) for who in CLIENTS}
    ours = {who: partial(_released, site, bench.servers, events) for who, site in bench.relays.items()}
    async with no_pods(bench.site):
        return await alternate({**bare, **ours}, rounds=bench.size.rounds)


async def _patched(who: str, site: Site, servers: Pids, events: list[bytes]) -> Round:
    instance, first = site.new_instance(), _opening(site)
    async with CLIENTS[who](site) as client:
        jobs = Jobs(site, client)
        warm, made = ([*jobs_of(bodies, instance=instance, site=site, governed=True)] for bodies in (first, events))
        await many(jobs.post, [*warm, *made], in_flight=IN_FLIGHT)
        # The leader watches Jobs, so the API server sends it the effect of each PATCH: the bare client bears that too.
        async with jobs.watched(instance):
            await many(jobs.admit, warm, in_flight=IN_FLIGHT)
            with settled():
                meter = Meter(servers)
                await many(jobs.admit, made, in_flight=IN_FLIGHT)
                taken = meter.round(len(events))
    await jobs.remove(instance, [*warm, *made])
    return taken


async def _released(site: Site, servers: Pids, events: list[bytes]) -> Round:
    jobs, instance, first = Jobs(site), site.new_instance(), _opening(site)
    async with (
        leading(site, instance, role="controller", admission="always") as controller,
        feeding(site, instance) as feed,
    ):
        groups = [await _behind_a_gate(jobs, bodies, instance=instance, site=site) for bodies in (first, events)]
        told = sum(2 * len(made) - 1 for made in groups)  # each is created, and all but the gates are queued
        await holds(feed, LIFECYCLE, told, seconds=2 * LONG)
        taken = [await _admit_all(jobs, controller, servers, made) for made in groups]
        assert (await controller.metrics())["jobrelay_jobs_admitted_total"] == len(first) + len(events)
    await jobs.remove(instance, (job for made in groups for job in made))
    return taken[-1]


def _opening(site: Site) -> list[bytes]:
    return make_events(IN_FLIGHT, command=IDLE, image=site.image, name="first", fields=lambda _: {"service": "first"})


async def _behind_a_gate(jobs: Jobs, bodies: list[bytes], *, instance: str, site: Site) -> list[Manifest]:
    """Create an exclusive Job, the gate, and Jobs that wait for it to end. Returns all, the gate first."""
    made = [*jobs_of(bodies, instance=instance, site=site, governed=True)]
    service = made[0]["metadata"]["labels"][Label.NAME]
    fields: Fields = {"service": service, "exclusive": True}
    alone = make_events(1, command=IDLE, image=site.image, name=f"alone-{service}", fields=lambda _: fields)
    gates = [*jobs_of(alone, instance=instance, site=site)]
    await many(jobs.post, gates, in_flight=1)
    await many(jobs.post, made, in_flight=IN_FLIGHT)
    return [*gates, *made]


async def _admit_all(jobs: Jobs, controller: Relay, servers: Pids, made: list[Manifest]) -> Round:
    """What it takes from the end of the gate until all Jobs behind it are admitted."""
    gate, *waiting = made
    wanted = _admitted(controller) + len(waiting)

    async def missing() -> float:
        return wanted - _admitted(controller)

    meter = Meter({**servers, CONTROLLER: [controller.process.pid]})
    await jobs.complete(gate["metadata"]["name"])
    await all_done(missing, seconds=ADMIT_SECONDS)
    return meter.round(len(waiting))


def _admitted(controller: Relay) -> int:
    """Counted in its log: answering with metrics would cost it time."""
    return controller.process.output().count(": admitted ")
