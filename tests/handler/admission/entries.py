"""Entries and snapshots for the tests of admission: made by hand, and arbitrary."""

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from events.names import Reason
from handler.admission.data import Decisions, Entry, Key, Limits, Needs, Snapshot
from handler.admission.decision import admit
from handler.admission.loops import Loop, find_loops

NOW = 1_000_000.0
AGEING = 60.0


def make_entry(name: str = "a", **fields: Any) -> Entry:
    """The request's id is `name`. `waited`: for how many seconds up to NOW, instead of `since`."""
    since = NOW - fields.pop("waited", 0.0)
    defaults: dict[str, Any] = {"key": ("jobs", name), "request_id": name, "source": "/s", "since": since}
    return Entry(**defaults | fields)


def wait_for(*ids: str, **fields: Any) -> Needs:
    return Needs(open=ids, **fields)


def loops_among(waiting: Sequence[Entry], active: Sequence[Entry] = ()) -> list[Loop]:
    search = find_loops(waiting, active)
    while True:
        try:
            next(search)
        except StopIteration as end:
            found: list[Loop] = end.value
            return found


def looping(snapshot: Snapshot) -> dict[Key, str]:
    return {key: looping for loop in loops_among(snapshot.waiting, snapshot.active) for key, looping in loop.items()}


def decide(*waiting: Entry, active: Sequence[Entry] = (), seen: Collection[str] = (), **limits: Any) -> Decisions:
    snapshot = Snapshot(active=active, waiting=waiting, seen=seen)
    return admit(replace(snapshot, loops=looping(snapshot)), Limits(ageing=AGEING, **limits), NOW)


def released(decisions: Decisions) -> list[str]:
    return [release.key[1] for release in decisions.released]


def reasons(decisions: Decisions) -> dict[str, Reason]:
    """Why each Job keeps waiting, by name."""
    return {waiting.key[1]: waiting.reason for waiting in decisions.waiting}


def failed(decisions: Decisions) -> dict[str, str]:
    return {fail.key[1]: fail.code for fail in decisions.failed}


_limit = st.one_of(st.none(), st.integers(1, 4))
any_limits = st.builds(Limits, total=_limit, per_service=_limit, per_namespace=_limit, per_key=_limit, gpus=_limit)
_moments = st.one_of(
    st.integers(0, 40).map(lambda quarters: NOW - quarters * AGEING / 4),
    st.integers(0, 2100).map(lambda steps: NOW - steps * AGEING),
)
_needs = st.builds(
    Needs,
    open=st.lists(st.sampled_from(["r0", "r1", "r2", "r3"]), max_size=3, unique=True).map(tuple),
    failed=st.sampled_from([None, None, ("r4", "failed"), ("r4", "cancelled")]),
    run_on_failure=st.booleans(),
    until=st.sampled_from([math.inf, NOW - 1, NOW, NOW + 2, NOW + 9]),
    searched=st.booleans(),
)
_in_room: dict[str, st.SearchStrategy[Any]] = {
    "namespace": st.sampled_from(["m", "n"]),
    "service": st.sampled_from(["", "x", "y"]),
    "priority": st.sampled_from([0, 0, 1, 2, 500, 999, 1000]),
    "since": _moments,
    "gpus": st.sampled_from([0, 0, 1, 2, 3]),
    "concurrency": st.sampled_from([None, None, "k", "l"]),
    "limit": st.sampled_from([None, 1, 1, 2, 3]),
    "exclusive": st.sampled_from([False, False, False, True]),
    "request_id": st.sampled_from(["r0", "r1", "r2", "r3", "r4", "r5"]),
    "source": st.sampled_from(["/a", "/b"]),
}
_with_bars = _in_room | {
    "not_before": st.sampled_from([None, None, None, NOW - 1, NOW, NOW + 1, NOW + 5]),
    "not_before_reason": st.sampled_from([Reason.RUN_AT, Reason.RETRY_DELAY]),
    "needs": st.one_of(st.none(), _needs),
}


def _named(prefix: str, entries: list[dict[str, Any]]) -> list[Entry]:
    return [
        Entry(key=(fields.pop("namespace"), f"{prefix}{number}"), **fields) for number, fields in enumerate(entries)
    ]


def snapshots(*, ready: bool = False) -> st.SearchStrategy[Snapshot]:
    """Arbitrary snapshots. `ready`: no Job waits for a time or for other requests."""
    waiting = st.lists(st.fixed_dictionaries(_in_room if ready else _with_bars), max_size=10)
    return st.builds(
        Snapshot,
        active=st.lists(st.fixed_dictionaries(_in_room), max_size=4).map(lambda entries: _named("a", entries)),
        seen=st.sets(st.sampled_from(["r0", "r1", "r2", "r3"])),
        waiting=waiting.map(lambda entries: _named("w", entries)),
    )
