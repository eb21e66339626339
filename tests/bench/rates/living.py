"""How fast a full queue becomes Jobs that end and are released, against bare requests. Each measurement cleans up."""

from functools import partial

from k8s.base import Manifest
from tests.bench.apiserver import TRUE
from tests.bench.bench import Bench
from tests.bench.load.events import IN_FLIGHT, jobs_of, make_events, many
from tests.bench.load.feed import LIFECYCLE, feeding, holds
from tests.bench.load.jobs import Jobs
from tests.bench.load.processes import CONTROLLER, HANDLER, Meter, Pids, Round, paused, settled
from tests.bench.load.relays import LONG, leading, none_followed
from tests.bench.rates.creating import opening
from tests.bench.rates.rounds import CLIENTS, Rates, alternate
from tests.e2e.site import Site, until

EVENTS_OF_A_LIFE = 3


async def living(bench: Bench, *, count: int) -> Rates:
    """From a full queue until every terminal event is stored and no Job has our finalizer, with a handler and a
    controller, against bare POST and PATCH.
    """
    events = make_events(count, command=TRUE, image=bench.site.image)
    bare = {who: partial(_posted, who, bench.site, bench.servers, events) for who in CLIENTS}
    ours = {who: partial(_lived, site, bench.servers, events) for who, site in bench.relays.items()}
    return await alternate({**bare, **ours}, rounds=bench.size.rounds)


async def _posted(who: str, site: Site, servers: Pids, events: list[bytes]) -> Round:
    instance, first = site.new_instance(), opening(site, IN_FLIGHT, TRUE)
    async with CLIENTS[who](site) as client:
        jobs = Jobs(site, client)

        async def live(job: Manifest) -> None:
            await jobs.post(job)
            await jobs.release(job)

        warm, made = ([*jobs_of(bodies, instance=instance, site=site)] for bodies in (first, events))
        await many(live, warm, in_flight=IN_FLIGHT)
        await _completed(jobs, warm)
        with settled():
            meter = Meter(servers)
            await many(live, made, in_flight=IN_FLIGHT)
            await _completed(jobs, made[-IN_FLIGHT:])
            taken = meter.round(len(events))
    await jobs.remove(instance, [*warm, *made])
    return taken


async def _completed(jobs: Jobs, made: list[Manifest]) -> None:
    for job in made:
        await until(partial(jobs.completed, job["metadata"]["name"]), seconds=LONG, every=0.01)


async def _lived(site: Site, servers: Pids, events: list[bytes]) -> Round:
    instance, first = site.new_instance(), opening(site, IN_FLIGHT, TRUE)
    async with (
        leading(site, instance, role="controller") as controller,
        site.relay(instance, role="handler", concurrency=IN_FLIGHT) as handler,
        feeding(site, instance) as feed,
    ):

        async def lived(count: int) -> None:
            await holds(feed, LIFECYCLE, EVENTS_OF_A_LIFE * count, seconds=LONG)
            await none_followed(controller)

        await feed.publish(first)
        await lived(len(first))
        with paused([handler]):
            await feed.publish(events)
            meter = Meter({**servers, HANDLER: [handler.process.pid], CONTROLLER: [controller.process.pid]})
        await lived(len(first) + len(events))
        taken = meter.round(len(events))
    await Jobs(site).remove(instance, jobs_of([*first, *events], instance=instance, site=site))
    return taken
