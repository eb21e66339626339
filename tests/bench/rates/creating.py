"""How fast a full queue becomes Jobs, against bare requests for the same Jobs. Each measurement cleans up."""

from contextlib import suppress
from functools import partial

from handler.effects.repeating import until_answered
from k8s.base import Conflict
from k8s.manifests.job import Rendered
from tests.bench.bench import Bench
from tests.bench.load.events import IDLE, SIZE, jobs_of, make_events, many, rendered
from tests.bench.load.feed import REQUESTS, feeding, holds
from tests.bench.load.jobs import Jobs, no_pods
from tests.bench.load.processes import HANDLER, Meter, Pids, Round, paused, settled
from tests.bench.load.relays import LONG, all_made, declare, handling
from tests.bench.rates.rounds import CLIENTS, Rates, alternate
from tests.e2e.site import Relay, Site


async def creating(
    bench: Bench, *, count: int, in_flight: int, rounds: int, size: int = SIZE, handlers: int = 1, bare: bool = True
) -> Rates:
    """From a full queue until the handlers have created all Jobs and acknowledged, against bare requests.

    `in_flight`: of each handler, and of each bare client. `bare`: whether these take part.
    """
    events = make_events(count, command=IDLE, image=bench.site.image, size=size)
    plainly = {
        who: partial(_posted, who, bench.site, bench.servers, events, in_flight=in_flight)
        for who in (CLIENTS if bare else ())
    }
    ours = {
        who: partial(_created, site, bench.servers, events, in_flight=in_flight, handlers=handlers)
        for who, site in bench.relays.items()
    }
    async with no_pods(bench.site):
        return await alternate({**plainly, **ours}, rounds=rounds)


async def _posted(who: str, site: Site, servers: Pids, events: list[bytes], *, in_flight: int) -> Round:
    instance, first = site.new_instance(), opening(site, in_flight)
    async with CLIENTS[who](site) as client:
        jobs = Jobs(site, client)
        made: list[list[Rendered]] = [[*rendered(bodies, instance=instance, site=site)] for bodies in (first, events)]
        await many(partial(_surely, jobs), made[0], in_flight=in_flight)
        with settled():
            meter = Meter(servers)
            await many(jobs.launch, made[1], in_flight=in_flight)
            taken = meter.round(len(events))
    await jobs.remove(instance, (one.job for part in made for one in part))
    return taken


async def _surely(jobs: Jobs, made: Rendered) -> None:
    """While so many connections are opened at once, one may wait too long: jobrelay would try again, too."""
    with suppress(Conflict):  # it was created, without an answer
        await until_answered(partial(jobs.launch, made))


async def _created(site: Site, servers: Pids, events: list[bytes], *, in_flight: int, handlers: int) -> Round:
    instance, first = site.new_instance(), opening(site, in_flight)
    await declare(site, instance)
    async with handling(site, instance, count=handlers, in_flight=in_flight) as relays:
        taken = await handled(site, instance, relays, servers, first=first, events=events)
    await Jobs(site).remove(instance, jobs_of([*first, *events], instance=instance, site=site))
    return taken


async def handled(
    site: Site, instance: str, relays: list[Relay], servers: Pids, *, first: list[bytes], events: list[bytes]
) -> Round:
    """What these handlers take for `events`, after `first`, which are the first that they see."""
    pids = {**servers, HANDLER: [relay.process.pid for relay in relays]}
    async with feeding(site, instance) as feed:
        await feed.publish(first)
        await all_made(site, relays, len(first))
        with paused(relays):
            await feed.publish(events)
            meter = Meter(pids)
        # The broker's number costs a handler nothing, but RabbitMQ's leaves out what is delivered and in work.
        await holds(feed, REQUESTS, 0, seconds=LONG)
        await all_made(site, relays, len(first) + len(events))
        return meter.round(len(events))


def opening(site: Site, in_flight: int, command: str = IDLE) -> list[bytes]:
    """Events that let whoever gets them open its connections to the API server."""
    return make_events(in_flight, command=command, image=site.image, name="first")
