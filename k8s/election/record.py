"""Decides who may lead, from what a Lease says and when that was seen. Pure: no clock, no requests."""

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from events.cloudevent.timestamp import parse_epoch
from events.names import DOMAIN
from k8s.base import Manifest

PUBLISHED_TO = f"{DOMAIN}/published-to"
"""Annotation: the API server's time up to which every transition has been published. RFC 3339 with microseconds."""
COUNTS = f"{DOMAIN}/counts"
"""Annotation: how many Jobs wait and run at the last renewal, as JSON; handler/admission/shares.py has its fields."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTiming:
    """Seconds.

    `lease`: how long a renewal lasts. `renew_deadline`: how long a leader tries to renew before it stops. `retry`:
    between renewals. `call`: the most that any request of a leader may take.
    """

    lease: float = 10.0
    renew_deadline: float = 7.0
    retry: float = 2.0
    call: float = 3.0

    @property
    def look(self) -> float:
        """How often a candidate reads the Lease: it should notice soon when it is released."""
        return min(0.5, self.retry / 2)

    @property
    def doubt(self) -> float:
        """How long to wait after creating the Lease. If somebody deleted it, its former holder has stopped by then.

        It notices with its next renewal, but until its last one is over nothing else makes it stop.
        """
        return self.lease


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRecord:
    """A Lease as it was read. `holder` is empty once it is released; `version` is its resourceVersion.

    `renewed`: when its holder last renewed or released it, by the API server's clock (epoch seconds).
    """

    uid: str
    version: str
    holder: str
    duration: float
    transitions: int
    acquired: str | None
    published_to: float | None
    counts: str | None
    renewed: float | None
    manifest: Manifest


class Step(StrEnum):
    """What a candidate does next."""

    CREATE = "create"
    TAKE = "take"
    WAIT = "wait"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What a candidate last saw: the Lease, or None if there is none.

    `held_until`: when the last holder will have stopped, by the candidate's clock, even if the Lease has been deleted
    since; -inf if it saw no holder.
    """

    record: LeaseRecord | None = None
    held_until: float = -math.inf

    def saw(self, record: LeaseRecord | None, *, now: float, timing: LeaseTiming) -> "Sight":
        """What is known after reading the Lease at `now`. Only a change shows a live holder: no clocks are compared."""
        if record is None:
            return replace(self, record=None)
        if self.record is not None and (record.uid, record.version) == (self.record.uid, self.record.version):
            return self
        if not record.holder:
            # The holder itself has said that it stopped.
            return Sight(record=record)
        duration = record.duration if record.duration > 0 else timing.lease
        return Sight(record=record, held_until=max(self.held_until, now + duration + timing.call))


def decide(sight: Sight, *, identity: str, now: float) -> Step:
    """What the candidate `identity` does next."""
    record = sight.record
    if record is not None and record.holder in {"", identity}:
        return Step.TAKE
    if now < sight.held_until:
        return Step.WAIT
    return Step.CREATE if record is None else Step.TAKE


def read(manifest: Manifest) -> LeaseRecord:
    """Read a Lease's JSON. Fields that are not readable count as absent."""
    metadata, spec = manifest["metadata"], manifest.get("spec") or {}
    duration, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    return LeaseRecord(
        uid=metadata.get("uid", ""),
        version=metadata.get("resourceVersion", ""),
        holder=spec.get("holderIdentity") or "",
        duration=float(duration) if isinstance(duration, int) else 0.0,
        transitions=transitions if isinstance(transitions, int) else 0,
        acquired=spec.get("acquireTime"),
        renewed=_epoch(spec.get("renewTime")),
        published_to=_epoch((metadata.get("annotations") or {}).get(PUBLISHED_TO)),
        counts=(metadata.get("annotations") or {}).get(COUNTS),
        manifest=manifest,
    )


def claimed(
    record: LeaseRecord,
    *,
    identity: str,
    at: float,
    timing: LeaseTiming,
    published_to: float | None,
    counts: str | None = None,
) -> Manifest:
    """The Lease as `identity` writes it to take or renew it; `at` is the API server's time.

    `published_to` and `counts`: None leaves what is written there.
    """
    now = _micro_time(at)
    renewal = record.holder == identity
    spec = {
        "holderIdentity": identity,
        "leaseDurationSeconds": math.ceil(timing.lease),
        "acquireTime": record.acquired if renewal and record.acquired else now,
        "renewTime": now,
        "leaseTransitions": record.transitions if renewal else record.transitions + 1,
    }
    return _written(record, spec, published_to, counts)


def released(record: LeaseRecord, *, at: float, published_to: float | None) -> Manifest:
    """The Lease as its holder writes it to release it: anybody may take it at once."""
    spec = {
        **(record.manifest.get("spec") or {}),
        "holderIdentity": "",
        "leaseDurationSeconds": 1,
        "renewTime": _micro_time(at),
    }
    return _written(record, spec, published_to)


def no_lease(*, namespace: str, name: str) -> LeaseRecord:
    """Stands for a Lease that does not exist."""
    manifest: Manifest = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"namespace": namespace, "name": name},
    }
    return replace(read(manifest), transitions=-1)


def _written(
    record: LeaseRecord, spec: dict[str, Any], published_to: float | None, counts: str | None = None
) -> Manifest:
    """Keeps the resourceVersion that was read: a write in between makes this write a conflict."""
    metadata = dict(record.manifest["metadata"])
    published = None if published_to is None else _micro_time(published_to)
    marks = {name: mark for name, mark in ((PUBLISHED_TO, published), (COUNTS, counts)) if mark is not None}
    if marks:
        metadata["annotations"] = {**(metadata.get("annotations") or {}), **marks}
    return {**record.manifest, "metadata": metadata, "spec": spec}


def _micro_time(seconds: float) -> str:
    """RFC 3339 with exactly six digits after the point: a Lease accepts nothing else."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _epoch(text: object) -> float | None:
    try:
        return parse_epoch(text) if isinstance(text, str) else None
    except ValueError:
        return None
