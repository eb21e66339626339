"""Which waiting Jobs may run now, which must wait and for what, and which can never run. Pure: no clock, no I/O.

A decision takes the Jobs in order of priority, which grows while they wait. A Job without room reserves what it waits
for against all Jobs after it, so that none starves.
"""

import math
from operator import attrgetter

from handler.admission.barring import barred
from handler.admission.data import Decisions, Entry, Fail, Limits, Release, Snapshot, Waiting
from handler.admission.order import OVERDUE, by_level, shared
from handler.admission.room import Room, never_fits


def admit(snapshot: Snapshot, limits: Limits, now: float) -> Decisions:
    """Decide about every waiting Job at `now` (epoch seconds). The order of the snapshot makes no difference."""
    ready: list[Entry] = []
    early: list[Waiting] = []
    failed: list[Fail] = []
    times: list[float] = []
    for entry in snapshot.waiting:
        verdict = _barred(entry, limits, snapshot, now)
        if verdict is None:
            ready.append(entry)
        elif isinstance(verdict, Fail):
            failed.append(verdict)
        else:
            early.append(verdict)
            times.append(_until(entry, now))
    released, waiting = _let_in(ready, limits, Room(limits, snapshot.active), now)
    return Decisions(
        released=released,
        waiting=waiting + sorted(early, key=attrgetter("key")),
        failed=sorted(failed, key=attrgetter("key")),
        look_again=min((time for time in times if time < math.inf), default=None),
    )


def _barred(entry: Entry, limits: Limits, snapshot: Snapshot, now: float) -> Waiting | Fail | None:
    """Why a Job may not even ask for room: it can never fit, its time has not come, or its dependencies bar it."""
    message = never_fits(entry, limits)
    if message is not None:
        return Fail(key=entry.key, code="NEVER_ADMISSIBLE", message=message)
    if entry.not_before is not None and entry.not_before > now:
        return Waiting(key=entry.key, reason=entry.not_before_reason)
    return None if entry.needs is None else barred(entry, entry.needs, snapshot, now)


def _until(entry: Entry, now: float) -> float:
    """When to decide again about a Job that waits for its time or its dependencies, even if nothing changes."""
    if entry.not_before is not None and entry.not_before > now:
        return entry.not_before
    # Before the look-up, no time ends it: that it is over is news.
    return entry.needs.until if entry.needs is not None and entry.needs.searched else math.inf


def _let_in(ready: list[Entry], limits: Limits, room: Room, now: float) -> tuple[list[Release], list[Waiting]]:
    released: list[Release] = []
    waiting: list[Waiting] = []
    for level, entries in by_level(ready, ageing=limits.ageing, now=now):
        overdue = level >= OVERDUE
        for entry in shared(entries, room.services):
            reason = room.ask(entry, overdue)
            if reason is None:
                released.append(Release(key=entry.key))
            else:
                waiting.append(Waiting(key=entry.key, reason=reason, position=len(waiting) + 1))
    return released, waiting
