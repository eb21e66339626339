"""The rules of admission once more, written naively: each step counts and compares everything anew."""

import math
from collections.abc import Iterable, Sequence

from events.names import Reason
from handler.admission.data import Entry, Limits, Snapshot


def lacks(entry: Entry, active: Sequence[Entry], limits: Limits) -> set[str]:
    """What `entry` would have to wait for if these were active: total, namespace, service, gpus, key, alone."""
    in_service = [other for other in active if other.service == entry.service]
    in_namespace = [other for other in active if other.key[0] == entry.key[0]]
    gpus = entry.gpus + sum(other.gpus for other in active) if entry.gpus else 0
    found = {
        "total": _full(limits.total, active),
        "namespace": _full(limits.per_namespace, in_namespace),
        "service": entry.service != "" and _full(limits.per_service, in_service),
        "gpus": limits.gpus is not None and gpus > limits.gpus,
        "key": _full(key_limit(entry, active, limits), on_key(entry, active)),
        "alone": any(other.exclusive or entry.exclusive for other in in_service),
    }
    return {what for what, is_lacking in found.items() if is_lacking}


def on_key(entry: Entry, active: Iterable[Entry]) -> list[Entry]:
    return [other for other in active if entry.concurrency is not None and other.concurrency == entry.concurrency]


def key_limit(entry: Entry, active: Iterable[Entry], limits: Limits) -> int | None:
    if entry.concurrency is None:
        return None
    found = [entry.limit, limits.per_key, *(other.limit for other in on_key(entry, active))]
    return min((limit for limit in found if limit is not None), default=None)


def _full(limit: int | None, active: Sequence[Entry]) -> bool:
    return limit is not None and len(active) >= limit


def level(entry: Entry, limits: Limits, now: float) -> int:
    return math.floor(entry.priority + max(0.0, now - entry.since) / limits.ageing)


def in_conflict(first: Entry, then: Entry, limits: Limits) -> set[str]:
    """The limits that both count against, or would if they were active."""
    shared = first.service == then.service
    found = {
        "key": first.concurrency is not None and first.concurrency == then.concurrency,
        "gpus": limits.gpus is not None and first.gpus > 0 and then.gpus > 0,
        "service": shared and first.service != "" and limits.per_service is not None,
        "alone": shared and (first.exclusive or then.exclusive),
    }
    return {what for what, is_shared in found.items() if is_shared}


def stays_behind(
    first: Entry, lacking: set[str], then: Entry, limits: Limits, now: float, *, is_own_doing: bool
) -> bool:
    """Whether `then` has to wait because `first`, which lacks these, reserves something that it needs.

    `is_own_doing`: its own service is in its way. Then other services need not leave it GPUs.
    """
    conflict = in_conflict(first, then, limits)
    if is_own_doing and first.service != then.service:
        conflict -= {"gpus"}
    if level(first, limits, now) >= 1001:
        return bool(conflict)
    same_service = first.service == then.service and bool(lacking & {"service", "alone"})
    return same_service or bool(lacking & {"key", "gpus"} & conflict)


def own_doing(entry: Entry, active: Sequence[Entry], limits: Limits) -> bool:
    """Whether the active Jobs of its own service alone keep it from running, wherever it runs."""
    own = [other for other in active if other.service == entry.service]
    on_own_key = len(on_key(entry, own))
    limit = key_limit(entry, active, limits)
    return bool(lacks(entry, own, limits) & {"service", "gpus", "alone"}) or (
        limit is not None and 0 < on_own_key >= limit
    )


def in_turn(snapshot: Snapshot, limits: Limits, now: float) -> tuple[list[Entry], list[tuple[Entry, Reason]]]:
    """Which waiting Jobs are released, and which keep waiting and why, both in admission order.

    Every Job in `snapshot.waiting` must be waiting for room.
    """
    active, released, waiting = list(snapshot.active), [], list(snapshot.waiting)
    kept_waiting: list[tuple[Entry, Reason]] = []
    reserving: list[tuple[Entry, set[str], bool]] = []

    def turn(entry: Entry) -> tuple[int, int, float, tuple[str, str]]:
        beside = sum(other.service == entry.service for other in active)
        return -level(entry, limits, now), beside, entry.since, entry.key

    while waiting:
        entry = min(waiting, key=turn)
        waiting.remove(entry)
        lacking = lacks(entry, active, limits)
        is_behind = any(
            stays_behind(first, what, entry, limits, now, is_own_doing=own) for first, what, own in reserving
        )
        if not lacking and not is_behind:
            active.append(entry)
            released.append(entry)
            continue
        kept_waiting.append((entry, _reason(lacking, key_limit(entry, active, limits))))
        reserving.append((entry, lacking, own_doing(entry, active, limits)))
    return released, kept_waiting


def _reason(lacking: set[str], limit: int | None) -> Reason:
    if not lacking:
        return Reason.PRIORITY
    exclusive = lacking <= {"key", "alone"} and ("key" not in lacking or limit == 1)
    return Reason.EXCLUSIVE if exclusive else Reason.LIMIT
