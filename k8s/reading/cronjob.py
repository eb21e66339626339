"""Decodes what we use of a CronJob's JSON and skips the rest. What it means is decided elsewhere."""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Raw

from events.jobs.observed import Schedule
from events.names import FINALIZER, Annotation, Label
from events.problems import brief
from k8s.base import Malformed
from k8s.reading.metadata import Metadata, Wire, epoch, integer, shared


class CronJobSpec(Wire):
    schedule: str
    time_zone: str | None = None
    concurrency_policy: str = "Allow"
    suspend: bool = False


class CronJobStatus(Wire):
    last_schedule_time: datetime | None = None


class WireCronJob(Wire):
    metadata: Metadata
    spec: CronJobSpec
    status: CronJobStatus = msgspec.field(default_factory=CronJobStatus)


_CRON_JOB = msgspec.json.Decoder(WireCronJob)


def parse_cron_job(raw: bytes | Raw) -> Schedule:
    """Read a CronJob's JSON (batch/v1). Raises `Malformed`; malformed annotations count as absent."""
    try:
        return _schedule(_CRON_JOB.decode(raw))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(brief(f"no CronJob: {error}")) from error


def schedule_of(manifest: dict[str, Any]) -> Schedule:
    """Read a CronJob from a dict instead of JSON. Raises `Malformed`."""
    return parse_cron_job(msgspec.json.encode(manifest))


def _schedule(wire: WireCronJob) -> Schedule:
    meta, spec = wire.metadata, wire.spec
    notes = meta.annotations or {}
    return Schedule(
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        version=meta.resource_version,
        created=epoch(meta.creation_timestamp) or 0.0,
        deleted=epoch(meta.deletion_timestamp),
        has_finalizer=FINALIZER in (meta.finalizers or ()),
        format=integer(notes.get(Annotation.VERSION)) or 0,
        request_id=notes.get(Annotation.ID, ""),
        source=notes.get(Annotation.SOURCE, ""),
        service=shared((meta.labels or {}).get(Label.NAME)),
        context=notes.get(Annotation.CONTEXT, ""),
        tags=notes.get(Annotation.TAGS),
        metadata=notes.get(Annotation.METADATA),
        reply_to=shared(notes.get(Annotation.REPLY_TO)),
        broker=shared(notes.get(Annotation.BROKER)),
        cron=spec.schedule,
        time_zone=shared(spec.time_zone),
        concurrency_policy=spec.concurrency_policy,
        suspend=spec.suspend,
        max_runs=integer(notes.get(Annotation.MAX_RUNS)),
        runs=notes.get(Annotation.RUNS),
        last_schedule_time=epoch(wire.status.last_schedule_time),
    )
