"""Admission over simulated time: when each Job is admitted, and that no Job starves."""

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from handler.admission.data import Entry, Limits, Snapshot
from handler.admission.decision import admit
from tests.handler.admission.entries import make_entry
from tests.handler.admission.rules import in_conflict
from tests.long import examples

pytestmark = [pytest.mark.no_cover, pytest.mark.stricter]
several = settings(max_examples=examples(200), suppress_health_check=[HealthCheck.too_slow])


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A Job that arrives at `entry.since` and runs for `runtime` seconds once it is admitted."""

    entry: Entry
    runtime: float


def simulate(works: list[Work], limits: Limits) -> dict[str, float]:
    """When each Job was admitted, by name. Decides at every arrival and end; at the same moment, ends come first."""
    by_key = {work.entry.key: work for work in works}
    arrivals = sorted(works, key=lambda work: work.entry.since, reverse=True)
    ends: list[tuple[float, tuple[str, str]]] = []
    waiting: dict[tuple[str, str], Entry] = {}
    active: dict[tuple[str, str], Entry] = {}
    admitted: dict[str, float] = {}
    while arrivals or ends:
        now = min([*(work.entry.since for work in arrivals[-1:]), *(end for end, _ in ends[:1])])
        while ends and ends[0][0] <= now:
            del active[heapq.heappop(ends)[1]]
        while arrivals and arrivals[-1].entry.since <= now:
            entry = arrivals.pop().entry
            waiting[entry.key] = entry
        snapshot = Snapshot(active=list(active.values()), waiting=list(waiting.values()))
        for release in admit(snapshot, limits, now).released:
            active[release.key] = waiting.pop(release.key)
            admitted[release.key[1]] = now
            heapq.heappush(ends, (now + by_key[release.key].runtime, release.key))
    return admitted


def stream(*, every: float, until: float, runtime: float, **fields: Any) -> list[Work]:
    """Jobs of priority 1000 that arrive every `every` seconds."""
    moments = [number * every for number in range(int(until / every) + 1)]
    prefix = fields.pop("prefix", "stream")
    return [
        Work(entry=make_entry(f"{prefix}-{number}", priority=1000, **fields | {"since": at}), runtime=runtime)
        for number, at in enumerate(moments)
    ]


@several
@given(
    capacity=st.integers(1, 4),
    runtime=st.integers(2, 8),
    load=st.sampled_from([0.7, 1.0]),
    ageing=st.sampled_from([1 / 64, 1 / 16]),
    others=st.lists(
        st.fixed_dictionaries(
            {
                "priority": st.sampled_from([0, 500, 990, 1000]),
                "since": st.floats(0, 30).map(lambda at: round(at, 2)),
                "service": st.sampled_from(["", "x"]),
            }
        ),
        min_size=1,
        max_size=2,
    ),
)
def test_waiting_beats_a_stream_of_the_highest_priority_that_takes_all_room(
    capacity: int, runtime: int, load: float, ageing: float, others: list[dict[str, Any]]
) -> None:
    works = stream(every=runtime / capacity / load, until=40 + 1000 * ageing + 4 * runtime, runtime=runtime)
    few = [make_entry(f"other-{number}", **fields) for number, fields in enumerate(others[: max(1, capacity // 2)])]
    works += [Work(entry=entry, runtime=runtime) for entry in few]
    admitted = simulate(works, Limits(total=capacity, ageing=ageing))
    for entry in few:
        assert admitted[entry.key[1]] - entry.since <= (1000 - entry.priority) * ageing + 2 * runtime


@pytest.mark.parametrize("priority", [0, 900, 1000])
@pytest.mark.parametrize(
    ("mine", "theirs", "limits"),
    [
        ({"gpus": 2}, {"gpus": 1}, Limits(gpus=2, ageing=1 / 16)),
        ({"gpus": 1, "service": "x"}, {"service": "x"}, Limits(per_service=2, gpus=1, ageing=1 / 16)),
        ({"service": "x", "exclusive": True}, {"service": "x"}, Limits(ageing=1 / 16)),
    ],
)
def test_a_job_gets_resources_in_the_end_that_are_never_free_together(
    priority: int, mine: dict[str, Any], theirs: dict[str, Any], limits: Limits
) -> None:
    """There is always a Job that has the key, and two that have the rest; these never end when that does."""
    on_key = stream(every=4, until=120, runtime=4, concurrency="k", limit=1, service="y")
    beside = [
        replace(work, entry=msgspec.structs.replace(work.entry, since=work.entry.since + 1, **theirs))
        for work in _pairs()
    ]
    entry = make_entry("both", concurrency="k", limit=1, priority=priority, since=2.0, **mine)
    admitted = simulate([*on_key, *beside, Work(entry=entry, runtime=4)], limits)
    assert admitted["both"] - entry.since <= (1001 - priority) * limits.ageing + 2 * 4


def _pairs() -> list[Work]:
    """Always two Jobs at a time, begun 2 s apart."""
    return stream(every=2, until=120, runtime=4, prefix="beside")


SHAPES: list[Mapping[str, Any]] = [
    {},
    {"gpus": 1},
    {"gpus": 2, "service": "x"},
    {"concurrency": "k", "limit": 1},
    {"concurrency": "k", "limit": 2, "gpus": 1},
    {"service": "x"},
    {"service": "x", "exclusive": True},
    {"service": "x", "concurrency": "k", "limit": 3},
]


@st.composite
def mixtures(draw: st.DrawFn) -> list[Work]:
    """Jobs of all shapes, mostly of the highest priority, that often arrive faster than they can run."""
    drawn = draw(
        st.lists(
            st.tuples(
                st.integers(0, 6),
                st.sampled_from(SHAPES),
                st.sampled_from([0, 500, 1000, 1000, 1000, 1000]),
                st.integers(1, 16),
                st.sampled_from(["m", "n"]),
            ),
            min_size=10,
            max_size=40,
        )
    )
    works, at = [], 0.0
    for number, (quarters, shape, priority, runtime, namespace) in enumerate(drawn):
        at += quarters / 4
        entry = make_entry(key=(namespace, f"w{number}"), since=at, priority=priority, **shape)
        works.append(Work(entry=entry, runtime=runtime / 4))
    return works


mixed_limits = st.builds(
    Limits,
    total=st.sampled_from([None, 2, 4]),
    per_service=st.sampled_from([None, 2]),
    per_namespace=st.sampled_from([None, 2, 3]),
    gpus=st.sampled_from([2, 3]),
    ageing=st.just(1 / 256),
)


@several
@given(works=mixtures(), limits=mixed_limits)
def test_no_job_starves_among_keys_services_and_gpus(works: list[Work], limits: Limits) -> None:
    admitted = simulate(works, limits)
    assert len(admitted) == len(works)
    longest = max(work.runtime for work in works)
    for older in (work.entry for work in works):
        first_at = older.since + (1001 - older.priority) * limits.ageing
        mine = admitted[older.key[1]]
        for newer in (work.entry for work in works if work.entry.since > first_at):
            # Another service may take GPUs while the older Job waits for its own service.
            passable = {"gpus"} if newer.service != older.service else set()
            assert not in_conflict(older, newer, limits) - passable or admitted[newer.key[1]] >= mine
        before = [
            work
            for work in works
            if work.entry.since <= first_at + limits.ageing and admitted[work.entry.key[1]] > first_at
        ]
        assert mine <= first_at + limits.ageing + 2 * longest * (len(before) + 1)
