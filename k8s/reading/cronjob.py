"""Decodes what we use of a CronJob's JSON and skips the rest. What it means is decided elsewhere."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Raw

from events.identity import identity_in_name
from events.jobs.context import kept_context
from events.jobs.observed import Schedule, Stray, is_newer
from events.names import FINALIZER, Annotation, Label
from events.problems import brief
from k8s.base import Malformed
from k8s.reading.claims import lost_labels
from k8s.reading.metadata import MAX_NOTE, Metadata, Wire, epoch, integer, notes_of, number, shared
from k8s.reading.template import Template


class TemplateOfJobs(Wire):
    """`spec.jobTemplate.metadata`: each Job gets a copy of it."""

    annotations: dict[str, str] | None = None


class RunSpec(Wire):
    template: Template | None = None


class JobTemplate(Wire):
    metadata: TemplateOfJobs | None = None
    spec: RunSpec | None = None


class CronJobSpec(Wire):
    schedule: str
    time_zone: str | None = None
    concurrency_policy: str = "Allow"
    suspend: bool = False
    job_template: JobTemplate | None = None


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
    notes, labels = notes_of(meta), meta.labels or {}
    template = (spec.job_template and spec.job_template.spec and spec.job_template.spec.template) or None
    format_, made_by = integer(notes.get(Annotation.VERSION)) or 0, template.labels.instance if template else None
    source, request_id, stray = _claim(wire, None if is_newer(format_) else template)
    if made_by is not None and labels.get(Label.INSTANCE, made_by) != made_by:
        stray = Stray.FOREIGN
    if max(len(request_id), len(source)) > MAX_NOTE:
        # No request is called so.
        request_id, source, stray = "", "", stray or Stray.UNIDENTIFIED
    return Schedule(
        namespace=shared(meta.namespace) or "",
        name=meta.name,
        uid=meta.uid,
        version=number(meta.resource_version),
        created=epoch(meta.creation_timestamp) or 0.0,
        deleted=epoch(meta.deletion_timestamp),
        has_finalizer=FINALIZER in (meta.finalizers or ()),
        format=format_,
        request_id=request_id,
        source=source,
        service=shared(_service(labels.get(Label.NAME), template)),
        context=kept_context((meta.annotations or {}).get(Annotation.CONTEXT, "")),
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
        instance=shared(made_by or labels.get(Label.INSTANCE)),
        stray=stray,
        lost_labels=_lost(labels, template),
    )


def _service(label: str | None, template: Template | None) -> str | None:
    if template is None:
        return label
    return template.labels.service or label or template.labels.name


def _claim(wire: WireCronJob, template: Template | None) -> tuple[str, str, Stray | None]:
    """Source, id, and whether it is not the CronJob of that request. Its Jobs get a copy of its annotations."""
    meta = wire.metadata
    own = meta.annotations or {}
    found = own.get(Annotation.SOURCE, ""), own.get(Annotation.ID, "")
    if template is None:
        return *found, None
    of_runs = wire.spec.job_template and wire.spec.job_template.metadata
    copied = (of_runs and of_runs.annotations) or {}
    sources = dict.fromkeys((found[0], copied.get(Annotation.SOURCE, "")))
    ids = dict.fromkeys((found[1], copied.get(Annotation.ID, "")))
    claims = ((source, request_id) for source in sources for request_id in ids)
    named = next((claim for claim in claims if _is_named(meta.name, *claim)), None)
    made_for = template.annotations.job
    if made_for not in (None, f"{meta.namespace}/{meta.name}") or (made_for is None and named is None and all(found)):
        return *found, Stray.COPY
    return *(named or found), None if named else Stray.UNIDENTIFIED


def _is_named(name: str, source: str, request_id: str) -> bool:
    found = identity_in_name(name, source, request_id)
    return found is not None and found[1] == 1


def _lost(labels: Mapping[str, str], template: Template | None) -> tuple[tuple[str, str], ...]:
    """What `lost_labels` says, of a CronJob: its label `request` has the value that `schedule` has on its Jobs."""
    wanted = template.labels.schedule if template else None
    lost = [(name, value) for name, value in lost_labels(labels, template) if name != Label.SCHEDULE]
    if wanted is not None and labels.get(Label.REQUEST) != wanted:
        lost.append((Label.REQUEST, wanted))
    return tuple(lost)
