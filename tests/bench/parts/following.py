"""Following Jobs: how soon their ends are told, and what changes as there are more of them."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace

from tests.bench.bench import BEFORE, OURS, Bench
from tests.bench.following.reporting import Reporting, reporting
from tests.bench.following.takeover import Takeover, leasing, taking_over
from tests.bench.following.tracking import Tracking, cached_bytes, tracking
from tests.bench.parts.texts import latency, percentiles
from tests.bench.rates.deciding import Deciding, deciding
from tests.bench.report.rows import Curve, Row

Found = AsyncIterator[Row | Curve]

COUNTS = (1_000, 10_000, 100_000)
REAL_COUNT = 10_000
"""As many at most on a real API server, where each is created and deleted more slowly."""
LEAST = 0.01
"""Milliseconds: the least that a logarithmic curve shows."""
LOAD_AIM = "p99 ≤ 20 ms at 300 Jobs/s"
DECISION_AIM, MEMORY_AIM, RESTART_AIM = {10_000: "≤ 20 ms"}, {100_000: "≤ 220 MB, ≤ 1.5 kB a Job"}, {10_000: "≤ 5 s"}


async def ends(bench: Bench) -> Found:
    """With load only on our own API server: it lets Jobs run and end without pods that cost the machine more."""
    samples = bench.size.samples
    rates = {0.0: "p50 ≤ 0.4 ms, p99 ≤ 1.5 ms", **({bench.size.rate: LOAD_AIM} if bench.site.own_cluster else {})}
    for rate, aim in rates.items():
        took = {who: await reporting(site, samples=samples, rate=rate) for who, site in bench.relays.items()}
        under = f" under load of {rate:.0f} Jobs/s" if rate else ""
        yield Row(
            what=f"a Job's end → its event at a subscriber{under}",
            result=_told(took[OURS], rate),
            before=_told(took[BEFORE], rate) if BEFORE in took else "",
            aim=aim,
        )


def _told(found: Reporting, rate: float) -> str:
    return latency(found.took) + (f" ({found.rate:.0f} Jobs/s)" if rate else "")


async def takeover(bench: Bench) -> Found:
    took = {who: await taking_over(site, lease=bench.size.lease) for who, site in bench.relays.items()}
    ways: Mapping[str, tuple[str, Callable[[Takeover], float]]] = {
        "kill -9 of": ("≤ 15 s", lambda one: one.crash),
        "SIGTERM to": ("≤ 2 s", lambda one: one.exit),
    }
    for way, (aim, seconds) in ways.items():
        result, before = (f"{seconds(took[who]):.1f} s" if who in took else "" for who in (OURS, BEFORE))
        yield Row(what=f"takeover after {way} the leader", result=result, before=before, aim=aim)


async def tracked(bench: Bench) -> Found:
    """Each number on an API server of its own, where that is ours: it is gone with its Jobs.

    The curves after each number: the next takes longer than all before.
    """
    measured: dict[str, list[Tracking]] = {who: [] for who in bench.relays}
    decisions = []
    most = bench.size.tracked if bench.site.own_cluster else min(bench.size.tracked, REAL_COUNT)
    counts = [count for count in COUNTS if count <= most] or [most]
    for count in counts:
        took = {}
        for who in bench.relays:
            async with bench.anew(f"tracked-{count}-{who}") as there:
                site = there.relays[who]
                leased = replace(site, settings={**site.settings, **leasing(bench.size.lease)})
                took[who] = await tracking(there, leased, count=count)
        decided = deciding(bench.site, count=count)
        for row in _tracked(count, took, cached_bytes(bench.site, count=count), decided):
            yield row
        for who, one in took.items():
            measured[who].append(one)
        decisions.append(decided)
        for curve in _curves(measured, decisions):
            yield curve


def _tracked(count: int, took: Mapping[str, Tracking], cached: float, decided: Deciding) -> list[Row]:
    def both(what: str, text: Callable[[Tracking], str], aim: str = "", more: str = "") -> Row:
        before = text(took[BEFORE]) if BEFORE in took else ""
        return Row(what=f"{count:,} tracked Jobs: {what}", result=text(took[OURS]) + more, before=before, aim=aim)

    memory = MEMORY_AIM.get(count, "≤ 1.5 kB a Job")
    alone, whole = decided.alone * 1000, decided.whole * 1000
    return [
        both(
            "memory",
            lambda one: f"{one.resident / 1e6:.0f} MB, {one.each:.0f} B a Job",
            memory,
            f", {cached:.0f} B in the cache",
        ),
        both("created beside them", lambda one: f"{one.rate:.0f} Jobs/s"),
        both("a Job's end → its event", lambda one: latency(one.took)),
        both("restart, from leading to caught up", lambda one: f"{one.restart:.2f} s", RESTART_AIM.get(count, "")),
        both("takeover after kill -9 of the leader", lambda one: f"{one.crash:.1f} s", "≤ 15 s"),
        Row(
            what=f"{count:,} waiting Jobs: one decision, CPU",
            result=f"{whole:.1f} ms with all that the leader does for it, {alone:.1f} ms alone",
            aim=DECISION_AIM.get(count, ""),
        ),
    ]


def _curves(measured: Mapping[str, list[Tracking]], decisions: list[Deciding]) -> list[Curve]:
    """What takes how long only of this version: too many lines would cross."""
    ours = measured[OURS]
    points = [f"{one.jobs:,}" for one in ours]
    times: dict[str, list[float]] = {
        f"an event ({name})": [max(LEAST, round(percentiles(one.took)[place], 2)) for one in ours]
        for place, name in enumerate(("p50", "p99"))
    }
    times |= {
        "a decision": [round(one.whole * 1000, 1) for one in decisions],
        "a restart": [round(one.restart * 1000) for one in ours],
        "a takeover": [round(one.crash * 1000) for one in ours],
    }
    memory = {who: [round(one.resident / 1e6) for one in taken] for who, taken in measured.items()}
    rate = {who: [round(one.rate) for one in taken] for who, taken in measured.items()}
    across = "tracked Jobs"
    return [
        Curve(name="tracked-memory", title="Memory of a controller, MB", across=across, points=points, lines=memory),
        Curve(
            name="tracked-created", title="Jobs created a second beside them", across=across, points=points, lines=rate
        ),
        Curve(
            name="tracked-times",
            title="Milliseconds until …",
            across=across,
            points=points,
            lines=times,
            logarithmic=True,
        ),
    ]
