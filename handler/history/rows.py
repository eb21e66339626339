"""What an event makes of the row of its request, and what it adds to the statistics. Pure.

Entries come in the order of the log, each event once. An event of an older Job than the row's changes no more than
what is still unknown: such events come late, when an operator has older parts of the log recorded again.
"""

from typing import Any

from msgspec.structs import replace

from events.phases import LAST, TERMINAL, Phase
from handler.history.base import Entry, Request, Stat

HOUR = 3600
LONGEST = 315_360_000.0
"""Seconds, ten years: more is not believed of one request."""
MOST_CORES = 1_000_000.0
_FIRST = frozenset({Phase.CREATED, Phase.SCHEDULED})
_COUNTED = TERMINAL | {Phase.CREATED, Phase.REJECTED}
_ASKED = frozenset(
    {
        *("function", "service", "namespace", "job", "job_uid", "image", "cpu", "memory", "gpus", "priority"),
        *("event_time", "replay_of"),
    }
)
"""What was asked for: the same for each Job of a request."""
_PEAKS = frozenset({"peak_cpu", "peak_memory"})
_SEEN = _PEAKS | {"started"}
_EXACT = 1024.0
"""Sums of whole parts of this are exact, whatever their order: what is recorded again comes to the same."""


def advance(before: Request | None, entry: Entry) -> Request:
    """The row after this event; `before`: the row until then, None if there is none.

    A value of None in `entry.changes` clears the field. A request begins anew when its event was accepted again after
    its Job had gone, or after it was rejected: of the row stays `pk` alone, and `updated` does not go back. The further
    attempts of a request are Jobs of their own, but do not begin it anew. Once it has ended, and where an event tells
    of an older Job, phase and fields stay as they are: only what was asked for is filled in, where it is None.
    """
    if before is None:
        return _begun(entry, pk=0, updated=entry.time)
    if _is_anew(before, entry):
        return _begun(entry, pk=before.pk, updated=max(before.updated, entry.time))
    if entry.phase is Phase.REJECTED and before.phase is not Phase.REJECTED:
        return before  # It is another event of the same name: this one has its Job.
    if _is_older(before, entry):
        changes = _filling(before, entry, _ASKED)
    elif before.terminal or _is_late(before, entry):
        changes = _filling(before, entry, _ASKED | _SEEN)
    else:
        changes = _advancing(before, entry)
    return replace(before, **changes, updated=max(before.updated, entry.time))


def stat_of(after: Request, entry: Entry) -> Stat | None:
    """What a new event adds to the statistics; `after`: what `advance` has made of its row. None: nothing.

    Seconds are told by the end of the row's own Job, those of an older one add to `n` only.
    """
    if entry.phase not in _COUNTED:
        return None
    hour, service = int(entry.time // HOUR) * HOUR, after.service or ""
    wait, run = spans_of(after, entry)
    cores = min(max(after.peak_cpu or 0.0, 0.0), MOST_CORES)
    return Stat(
        hour=hour,
        service=service,
        phase=entry.phase,
        n=1,
        wait=wait or 0.0,
        run=run or 0.0,
        cpu=_exact(cores * (run or 0.0)),
    )


def spans_of(after: Request, entry: Entry) -> tuple[float | None, float | None]:
    """Seconds that the request waited and ran, where this event is the end of the row's own Job and tells it."""
    own = entry.changes.get("job_uid") == after.job_uid and after.phase is entry.phase
    if entry.phase not in TERMINAL or not own:
        return None, None
    wait = None if after.started is None else _seconds(after.started - after.created)
    return wait, None if entry.run is None else _seconds(entry.run)


def _is_anew(before: Request, entry: Entry) -> bool:
    uid = entry.changes.get("job_uid")
    if uid is None or uid == before.job_uid:
        return False
    if before.job_uid is None:
        return before.phase is Phase.REJECTED
    if entry.phase in _FIRST:
        return entry.time > before.created
    # Its `created` was lost with a part of the log.
    return before.terminal and entry.time > (before.finished or before.updated)


def _is_older(before: Request, entry: Entry) -> bool:
    """Whether it tells of a former attempt, or of the request before it began anew."""
    uid = entry.changes.get("job_uid")
    if uid is None or before.job_uid is None or uid == before.job_uid:
        return False
    return entry.time < before.created or entry.changes.get("attempt", before.attempt) < before.attempt


def _is_late(before: Request, entry: Entry) -> bool:
    """Whether it tells how this Job began, and others have told more of it before."""
    return entry.phase in _FIRST and before.job_uid is not None and entry.changes.get("job_uid") == before.job_uid


def _begun(entry: Entry, *, pk: int, updated: float) -> Request:
    known: dict[str, Any] = {name: value for name, value in entry.changes.items() if value is not None}
    # A sample tells that it runs.
    phase = Phase.STARTED if entry.phase is Phase.PROGRESS else entry.phase
    ended = phase in LAST
    own: dict[str, Any] = {
        "key": entry.key,
        "pk": pk,
        "phase": phase,
        "terminal": ended,
        "created": entry.time,
        "updated": updated,
    }
    return Request(**own | known)


def _advancing(before: Request, entry: Entry) -> dict[str, Any]:
    changes = dict(entry.changes)
    if before.started is not None:
        changes.pop("started", None)  # The first start tells how long it has waited.
    for peak in _PEAKS & changes.keys():
        changes[peak] = max(changes[peak], getattr(before, peak) or 0)
    if entry.phase in _FIRST:
        changes["created"] = min(before.created, entry.time)
    if entry.phase is not Phase.PROGRESS:
        # Samples and counts come between, whatever it waits for.
        changes |= {"phase": entry.phase, "terminal": entry.phase in LAST}
    return changes


def _filling(before: Request, entry: Entry, wanted: frozenset[str]) -> dict[str, Any]:
    changes = {
        name: value
        for name, value in entry.changes.items()
        if name in wanted and value is not None and getattr(before, name) is None
    }
    if entry.phase in _FIRST and entry.changes.get("job_uid") == before.job_uid:
        changes["created"] = min(before.created, entry.time)
    return changes


def _seconds(value: float) -> float:
    return _exact(min(max(value, 0.0), LONGEST))


def _exact(value: float) -> float:
    return round(value * _EXACT) / _EXACT
