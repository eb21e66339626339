"""What admission decides about, and what it decides: plain data. The rules are in decision.py."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from events.names import Reason

Key = tuple[str, str]
"""Namespace and name of a Job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many Jobs, or GPUs, may be active at a time; None: no limit, 0: none is ever admitted.

    `per_key` is a concurrency key's limit beside those of the Jobs themselves. `ageing`: seconds of waiting that count
    as much as one step of priority, more than 0.
    """

    total: int | None = None
    per_service: int | None = None
    per_namespace: int | None = None
    per_key: int | None = None
    gpus: int | None = None
    ageing: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """A request that must have ended first. `outcome`: a terminal `Phase`, None while it is not known.

    `seen`: there is or was a Job of it.
    """

    id: str
    outcome: str | None = None
    seen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One Job, waiting or active. Times are epoch seconds.

    `service`: "" for none; such Jobs have no service limit, but are one service in sharing and for `exclusive`.
    `priority`: 0-1000. `since`: when it began to wait. `gpus`: of all its pods together.
    `concurrency`: a key, of whatever service and namespace; `limit`: how many may be active on it while this one is,
    1 for a Job that is exclusive on its key. `exclusive`: alone in its service. That holds only where every Job of the
    service goes through admission.
    `not_before`: held until then, for `not_before_reason`. `dependencies_until`: when patience with them ends.
    `run_on_failure`: they only have to end, however.
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
    dependencies: tuple[Dependency, ...] = ()
    run_on_failure: bool = False
    dependencies_until: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Every Job that takes room, and every one that waits for its release; each once, in any order."""

    active: Sequence[Entry]
    waiting: Sequence[Entry]


class Release(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """It may run."""

    key: Key


class Waiting(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """It waits on. `position`: from 1 among those that wait for room, in the order of admission; else 0."""

    key: Key
    reason: Reason
    position: int = 0


class Fail(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """It can never run.

    `code`, for its verdict: DEPENDENCY_FAILED, DEPENDENCY_UNKNOWN, DEPENDENCY_TIMEOUT, DEPENDENCY_CYCLE or
    NEVER_ADMISSIBLE. `message` says why, for people.
    """

    key: Key
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """One for each waiting Job.

    `released` is in the order of admission; `waiting` are those that wait for room by position, then the others by key;
    `failed` is by key.

    `look_again`: the earliest time (epoch seconds) at which a `not_before` or a `dependencies_until` passes; None when
    there is none ahead. What waits for room gets it only by a change of the snapshot, or by ageing past another.
    """

    released: list[Release]
    waiting: list[Waiting]
    failed: list[Fail]
    look_again: float | None
