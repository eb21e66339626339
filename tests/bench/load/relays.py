"""Processes `jobrelay run` of an installation that is measured, and when they have done their work."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from handler.settings.connections import broker_of
from handler.settings.settings import PREFIX, Settings
from tests.bench.load.looking import all_done
from tests.e2e.site import NATS_MAX_BYTES, Relay, Site, until

LONG = 300.0
"""Seconds after which a measurement has failed."""
_PHASES = ("pending", "running", "suspended", "finishing")


@asynccontextmanager
async def leading(site: Site, instance: str, **settings: object) -> AsyncIterator[Relay]:
    """A process that leads and has listed its Jobs."""
    async with site.relay(instance, **settings) as relay:
        await until(relay.leads, seconds=LONG)
        yield relay


@asynccontextmanager
async def handling(site: Site, instance: str, *, count: int, in_flight: int) -> AsyncIterator[list[Relay]]:
    """So many handlers, without a controller."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(site.relay(instance, role="handler", concurrency=in_flight))
            for _ in range(count)
        ]


async def says_it_leads(relay: Relay) -> bool:
    """By its log, for a process that never lost the lead: to count 100,000 Jobs for metrics would take time from it."""
    return ": leading\n" in relay.process.output()


async def declare(site: Site, instance: str) -> None:
    """What a controller would declare at the broker."""
    limits = {"nats_max_bytes": NATS_MAX_BYTES, "nats_lifecycle_bytes": NATS_MAX_BYTES}
    given = {"sources": site.source, "instance": instance, "nats_dead_bytes": NATS_MAX_BYTES // 4, **limits}
    given |= {name: value for name, value in site.settings.items() if name in given}
    settings = Settings.from_env({f"{PREFIX}{name.upper()}": str(value) for name, value in given.items()})
    async with broker_of(settings) as broker:
        await broker.declare()


async def all_made(site: Site, relays: list[Relay], count: int) -> None:
    """Return once these handlers have acknowledged so many messages."""
    name = f'jobrelay_messages_processed_total{{broker="{site.broker}"}}'

    async def missing() -> float:
        return abs(count - sum([(await relay.metrics()).get(name, 0.0) for relay in relays]))

    await all_done(missing, seconds=LONG)


async def all_released(relay: Relay) -> bool:
    """Whether this leader no longer follows any Job."""
    return await _followed(relay) == 0


async def none_followed(relay: Relay) -> None:
    """Return once this leader no longer follows any Job."""

    async def left() -> float:
        return await _followed(relay)

    await all_done(left, seconds=LONG)


async def _followed(relay: Relay) -> float:
    """How many Jobs this leader follows; one while it does not answer."""
    metrics = await relay.metrics()
    return sum(metrics[f'jobrelay_jobs{{phase="{phase}"}}'] for phase in _PHASES) if metrics else 1.0
