"""How fast: the rows of handlers and controllers under full load, and of adapters alone."""

from collections.abc import AsyncIterator

from tests.bench.bench import Bench
from tests.bench.load.events import IN_FLIGHT
from tests.bench.load.processes import CONTROLLER, HANDLER
from tests.bench.parts.texts import against_plain, both, cpu_in, every_process, lines_of
from tests.bench.rates.adapters import alone
from tests.bench.rates.admitting import admitting
from tests.bench.rates.creating import creating
from tests.bench.rates.living import living
from tests.bench.report.rows import Curve, Row
from tests.e2e.site import NATS

Found = AsyncIterator[Row | Curve]

LEVELS = (1, 16, IN_FLIGHT, 256)
HANDLERS = (1, 2, 3, 4)
SIZES = (1_000, 10_000, 100_000, 1_000_000)
MOST_BYTES = 30_000_000
"""Of all events of a round: the queue has 64 MiB."""
REAL_LIVES = 4
"""On a real API server pods run: only a quarter of the events."""
CREATED_AIMS = {1: "a real one ≥ 90 %", 16: "≥ 90 %", IN_FLIGHT: "≥ 95 %, a real one ≥ 90 %"}
CPU_AIM = {"NATS": "own ≤ 0.18 ms", "RabbitMQ": "own ≤ 0.33 ms"}


async def created(bench: Bench) -> Found:
    """On RabbitMQ only with 64 in flight: it is the client that differs, and not how much it does at a time."""
    levels, measured = LEVELS if bench.site.broker == NATS else (IN_FLIGHT,), []
    for level in levels:
        count = max(1, bench.size.events // 4) if level == 1 else bench.size.events
        rates = await creating(bench, count=count, in_flight=level, rounds=bench.size.rounds)
        what = f"{bench.broker}: created, {level} in flight"
        usual = level == IN_FLIGHT
        yield against_plain(what, rates, aim=CREATED_AIMS.get(level, "") if bench.site.broker == NATS else "≥ 90 %")
        yield cpu_in(HANDLER, what, rates, aim=CPU_AIM[bench.broker] if usual else "")
        yield every_process(what, rates)
        measured.append(rates)
        if len(measured) > 1:
            yield Curve(
                name="created",
                title="Jobs created a second",
                across="in flight",
                points=[str(level) for level in levels[: len(measured)]],
                lines=dict(lines_of(measured)),
            )


async def life(bench: Bench) -> Found:
    events = bench.size.events
    rates = await living(bench, count=events if bench.site.own_cluster else max(1, events // REAL_LIVES))
    what = f"{bench.broker}: whole life (create, 3 events, final PATCH)"
    yield against_plain(what, rates, aim="≥ 80 %")
    yield cpu_in(HANDLER, what, rates)
    yield cpu_in(CONTROLLER, what, rates, aim="≤ 0.75 ms" if bench.site.broker == NATS else "")
    yield every_process(what, rates)


async def sizes(bench: Bench) -> Found:
    measured, named = [], []
    for size in SIZES[:: bench.size.step]:
        count = min(bench.size.events, MOST_BYTES // size)
        rates = await creating(bench, count=count, in_flight=IN_FLIGHT, size=size, rounds=bench.size.curve_rounds)
        named.append(f"{size // 1000:,} kB")
        what = f"{bench.broker}: created, events of {named[-1]}"
        yield against_plain(what, rates)
        yield cpu_in(HANDLER, what, rates)
        measured.append(rates)
    yield Curve(
        name="sizes",
        title="Jobs created a second, 64 in flight",
        across="size of an event",
        points=named,
        lines=dict(lines_of(measured)),
        logarithmic=True,
    )


async def handlers(bench: Bench) -> Found:
    measured, numbers = [], HANDLERS[:: bench.size.step]
    for count in numbers:
        rates = await creating(
            bench,
            count=bench.size.events,
            in_flight=IN_FLIGHT,
            handlers=count,
            bare=False,
            rounds=bench.size.curve_rounds,
        )
        what = f"{bench.broker}: created by {count} handler{'s' if count > 1 else ''}"
        yield both(what, lambda who, rates=rates: f"{rates.rate(who):.0f} Jobs/s", rates)  # type: ignore[misc]
        measured.append(rates)
    yield Curve(
        name="handlers",
        title="Jobs created a second",
        across="handlers",
        points=[str(count) for count in numbers],
        lines=dict(lines_of(measured)),
    )


async def released(bench: Bench) -> Found:
    jobs = bench.size.queued
    rates = await admitting(bench, count=jobs)
    what = f"{jobs:,} waiting Jobs let go by the leader"
    yield against_plain(what, rates, aim="≥ 90 %")
    yield cpu_in(CONTROLLER, what, rates)
    yield every_process(what, rates)


async def adapters(bench: Bench) -> Found:
    took = await alone(bench.site, count=bench.size.events, rounds=bench.size.rounds)
    for verb, pace in (("publish and confirm", took.publish), ("consume and acknowledge", took.consume)):
        result = f"{pace.rate:.0f} events/s, {pace.cpu * 1000:.3f} ms CPU per event"
        yield Row(what=f"{bench.broker}: adapter alone, {verb}", result=result)
