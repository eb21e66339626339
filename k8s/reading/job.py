"""Decodes what we use of a Job's JSON and skips the rest. What it means is decided elsewhere."""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Raw

from events.cloudevent.timestamp import parse_epoch
from events.jobs import observed
from events.jobs.context import kept_context
from events.names import FINALIZER, FORMAT_VERSION, Annotation, Label
from events.problems import brief
from k8s.base import Malformed
from k8s.kueue import in_kueue
from k8s.reading.asked import asked_of
from k8s.reading.claims import Claim, claim_of, lost_labels
from k8s.reading.metadata import (
    MAX_CONDITIONS,
    MAX_NOTE,
    Metadata,
    Wire,
    WireCondition,
    condition,
    epoch,
    integer,
    notes_of,
    number,
    shared,
)
from k8s.reading.template import NO_TEMPLATE, Template

LONGEST_TTL = 2**31 - 1
"""Seconds; Kubernetes refuses more."""
SCHEDULED_TIMESTAMP = "batch.kubernetes.io/cronjob-scheduled-timestamp"
"""Annotation of Jobs that Kubernetes made for a CronJob, or we. One that somebody made from it by hand has none."""


class Owner(Wire):
    kind: str
    name: str
    uid: str


class JobMetadata(Metadata):
    owner_references: list[Owner] | None = None


class JobSpec(Wire):
    template: Template | None = None
    suspend: bool = False
    parallelism: int = 1
    completions: int | None = None
    backoff_limit: int = 6
    backoff_limit_per_index: int | None = None
    completion_mode: str = "NonIndexed"


class JobStatus(Wire):
    active: int = 0
    ready: int | None = None
    succeeded: int = 0
    failed: int = 0
    terminating: int | None = None
    failed_indexes: str | None = None
    start_time: datetime | None = None
    completion_time: datetime | None = None
    conditions: list[WireCondition] | None = None


class WireJob(Wire):
    metadata: JobMetadata
    spec: JobSpec
    status: JobStatus = msgspec.field(default_factory=JobStatus)


_JOB = msgspec.json.Decoder(WireJob)


def parse_job(raw: bytes | Raw) -> observed.Job:
    """Read a Job's JSON (batch/v1). Raises `Malformed`; malformed annotations count as absent."""
    try:
        return _job(_JOB.decode(raw))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(brief(f"no Job: {error}")) from error


def job_of(manifest: dict[str, Any]) -> observed.Job:
    """Read a Job from a dict instead of JSON. Raises `Malformed`."""
    return parse_job(msgspec.json.encode(manifest))


def is_newer(manifest: dict[str, Any]) -> bool:
    """Whether a newer version of jobrelay wrote this Job, even if it is malformed: see `observed.Job.newer`."""
    notes = manifest["metadata"].get("annotations") or {}
    return (integer(notes.get(Annotation.VERSION)) or 0) > FORMAT_VERSION


def _job(wire: WireJob) -> observed.Job:
    meta, spec, status = wire.metadata, wire.spec, wire.status
    notes, labels = notes_of(meta), meta.labels or {}
    format_, template = integer(notes.get(Annotation.VERSION)) or 0, spec.template or NO_TEMPLATE
    # What a newer version has made it of, only that version can tell.
    claim = claim_of(meta, None if observed.is_newer(format_) else spec.template)
    made_by = template.labels.instance
    if made_by is not None and labels.get(Label.INSTANCE, made_by) != made_by:
        claim.stray = observed.Stray.FOREIGN
    if max(len(claim.request_id), len(claim.source)) > MAX_NOTE:
        # No request is called so.
        claim.request_id, claim.source, claim.stray = "", "", claim.stray or observed.Stray.UNIDENTIFIED
    owner = next((owner for owner in meta.owner_references or () if owner.kind == "CronJob"), None)
    return observed.Job(
        namespace=shared(meta.namespace) or "",
        name=meta.name,
        uid=meta.uid,
        version=number(meta.resource_version),
        created=epoch(meta.creation_timestamp) or 0.0,
        deleted=epoch(meta.deletion_timestamp),
        has_finalizer=FINALIZER in (meta.finalizers or ()),
        format=format_,
        request_id=claim.request_id,
        source=shared(claim.source) or "",
        service=shared(template.labels.service or _service(labels.get(Label.NAME), template.labels.name, claim)),
        context=kept_context((meta.annotations or {}).get(Annotation.CONTEXT, "")),
        tags=notes.get(Annotation.TAGS),
        metadata=notes.get(Annotation.METADATA),
        reply_to=shared(notes.get(Annotation.REPLY_TO)),
        broker=shared(notes.get(Annotation.BROKER)),
        ttl=_within(integer(notes.get(Annotation.TTL)), LONGEST_TTL),
        start_timeout=integer(notes.get(Annotation.START_TIMEOUT)),
        timeout=integer(notes.get(Annotation.TIMEOUT)),
        payload=None if template.annotations.event else shared(notes.get(Annotation.PAYLOAD)),
        released=notes.get(Annotation.RELEASED),
        suspended_by=notes.get(Annotation.SUSPENDED_BY),
        started=notes.get(Annotation.STARTED),
        verdict=notes.get(Annotation.VERDICT),
        queueing=shared(notes.get(Annotation.QUEUEING)),
        queued=shared(notes.get(Annotation.QUEUED)),
        dependencies=notes.get(Annotation.DEPENDENCIES),
        retry=shared(notes.get(Annotation.RETRY)),
        attempt=claim.attempt,
        accepted=_moment(notes.get(Annotation.ACCEPTED)),
        asked=asked_of(template),
        failover=Annotation.FAILOVER in (meta.annotations or {}),
        kueue=in_kueue(labels),
        run=claim.run,
        scheduled_at=_moment(notes.get(SCHEDULED_TIMESTAMP)),
        schedule=shared(owner.name) if owner else None,
        schedule_uid=shared(owner.uid) if owner else None,
        commanded=Annotation.COMMAND in (meta.annotations or {}),
        suspend=spec.suspend,
        parallelism=spec.parallelism,
        completions=spec.completions,
        backoff_limit=spec.backoff_limit,
        backoff_limit_per_index=spec.backoff_limit_per_index,
        indexed=spec.completion_mode == "Indexed",
        active=status.active,
        ready=status.ready or 0,
        succeeded=status.succeeded,
        failed=status.failed,
        terminating=status.terminating or 0,
        failed_indexes=status.failed_indexes or None,
        start_time=epoch(status.start_time),
        completion_time=epoch(status.completion_time),
        conditions=tuple(condition(one) for one in (status.conditions or ())[-MAX_CONDITIONS:]),
        instance=shared(made_by or labels.get(Label.INSTANCE)),
        stray=claim.stray,
        lost_labels=lost_labels(labels, spec.template),
    )


def _service(label: str | None, in_template: str | None, claim: Claim) -> str | None:
    """Pods of a request have the label of its Job; those of a function have it unless its manifest says otherwise."""
    if label is None or in_template is None or "/" in claim.request_id:
        return label or in_template
    return in_template


def _within(number: int | None, most: int) -> int | None:
    return None if number is None or number > most else number


def _moment(text: str | None) -> float | None:
    try:
        return None if text is None else parse_epoch(text)
    except ValueError:
        return None
