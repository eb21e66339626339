"""What admission decides about, and what it decides, as plain data. The rules are in decision.py."""

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from events.names import Reason

Key = tuple[str, str]
"""Namespace and name of a Job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many Jobs, or GPUs, may be active at a time. None: no limit; 0: none at all.

    `per_key` limits every concurrency key, beside the limits that Jobs bring along. `ageing`: seconds of waiting that
    raise the priority by 1, more than 0.
    """

    total: int | None = None
    per_service: int | None = None
    per_namespace: int | None = None
    per_key: int | None = None
    gpus: int | None = None
    ageing: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """The requests that must end first: what is known of them, so short that a decision about many costs little.

    `open`: the ids of those whose outcome is not known. `failed`: id and outcome (a terminal `Phase`) of the first that
    did not succeed. `run_on_failure`: they only have to end, no matter how. `until`: when to stop waiting for them
    (epoch seconds). `searched`: it was looked up which of them have Jobs; before that, none is said to have none.
    """

    open: tuple[str, ...] = ()
    failed: tuple[str, str] | None = None
    run_on_failure: bool = False
    until: float = math.inf
    searched: bool = True


class Entry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A Job, waiting or active. Times are epoch seconds.

    `service`: "" for none; Jobs without a service have no service limit, but count as one service for fair shares and
    `exclusive`. `priority`: 0-1000. `since`: when it began to wait. `gpus`: of all its pods together.
    `concurrency`: its key, the same for all Jobs that share it; `limit`: how many Jobs may be active on that key while
    this Job is active, 1 for a Job that is exclusive on its key. `exclusive`: alone in its service. That holds only if
    every Job of the service goes through admission.
    `not_before`: it waits until then, for `not_before_reason`. `needs`: None if it depends on no request.
    """

    key: Key
    request_id: str
    source: str
    service: str = ""
    priority: int = 0
    since: float
    gpus: int = 0
    concurrency: str | None = None
    limit: int | None = None
    exclusive: bool = False
    not_before: float | None = None
    not_before_reason: Reason = Reason.RUN_AT
    needs: Needs | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Every Job that takes room, and every Job that waits for its release; each once, in any order.

    `loops`: the Jobs that are known to wait for themselves, each with a dependency that leads back to it: see
    `loops.find_loops`. `seen`: ids of requests that have a Job, or had one, at least of those that Jobs wait for.
    """

    active: Sequence[Entry]
    waiting: Sequence[Entry]
    loops: Mapping[Key, str] = field(default_factory=dict)
    seen: Container[str] = frozenset()


class Release(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The Job may run."""

    key: Key


class Waiting(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The Job keeps waiting. `position`: from 1, in admission order, among the Jobs that wait for room; else 0."""

    key: Key
    reason: Reason
    position: int = 0


class Fail(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The Job can never run.

    `code`, for its verdict: DEPENDENCY_FAILED, DEPENDENCY_UNKNOWN, DEPENDENCY_TIMEOUT, DEPENDENCY_CYCLE or
    NEVER_ADMISSIBLE. `message` says why, for people.
    """

    key: Key
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """A decision about each waiting Job.

    `released` is in admission order; `waiting` has first the Jobs that wait for room, by position, then the others by
    key; `failed` is by key.

    `look_again`: the earliest time (epoch seconds) at which a `not_before` or a `Needs.until` passes; None if none lies
    ahead. A Job that waits for room gets it only when the snapshot changes, or by ageing past another Job.
    """

    released: list[Release]
    waiting: list[Waiting]
    failed: list[Fail]
    look_again: float | None
