"""Entries and snapshots for the tests of admission: made by hand, and arbitrary."""

import math
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from events.names import Reason
from handler.admission.data import Decisions, Dependency, Entry, Limits, Snapshot
from handler.admission.decision import admit

NOW = 1_000_000.0
AGEING = 60.0


def make_entry(name: str = "a", **fields: Any) -> Entry:
    """The request's id is `name`. `waited`: for how many seconds up to NOW, instead of `since`."""
    since = NOW - fields.pop("waited", 0.0)
    defaults: dict[str, Any] = {"key": ("jobs", name), "request_id": name, "source": "/s", "since": since}
    return Entry(**defaults | fields)


def wait_for(*ids: str, **fields: Any) -> tuple[Dependency, ...]:
    return tuple(Dependency(id=request_id, **fields) for request_id in ids)


def decide(*waiting: Entry, active: Sequence[Entry] = (), **limits: Any) -> Decisions:
    return admit(Snapshot(active=active, waiting=waiting), Limits(ageing=AGEING, **limits), NOW)


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
_dependencies = st.builds(
    Dependency,
    id=st.sampled_from(["r0", "r1", "r2", "r3"]),
    outcome=st.sampled_from([None, None, "succeeded", "succeeded", "failed", "cancelled"]),
    seen=st.booleans(),
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
    "dependencies": st.one_of(st.just(()), st.lists(_dependencies, max_size=3).map(tuple)),
    "run_on_failure": st.booleans(),
    "dependencies_until": st.sampled_from([math.inf, NOW - 1, NOW, NOW + 2, NOW + 9]),
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
        waiting=waiting.map(lambda entries: _named("w", entries)),
    )
