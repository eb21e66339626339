"""Which request a Job is of. Anybody can change its annotations and labels: what is immutable in it has the last word.

The name holds a hash of source and id. The pod template holds the id, the source and the name of the Job it was made
for: in its annotations, or, as earlier versions made it, id and source in the variables of its containers.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from events.cloudevent.timestamp import format_epoch, parse_epoch
from events.identity import command_in_name, identity_in_name
from events.jobs.observed import Stray
from events.names import FINALIZER, MANAGED_BY, NEW_RUN, Annotation, Label
from k8s.reading.metadata import Metadata, epoch, integer
from k8s.reading.template import Template, variables


@dataclass(slots=True)
class Claim:
    """What a Job is of."""

    request_id: str
    source: str
    attempt: int = 1
    run: str | None = None
    stray: Stray | None = None


def claim_of(meta: Metadata, template: Template | None) -> Claim:
    """The request of this Job. Without a pod template, which every real Job has, its annotations are believed."""
    notes = meta.annotations or {}
    stated = Claim(
        request_id=notes.get(Annotation.ID, ""),
        source=notes.get(Annotation.SOURCE, ""),
        attempt=max(1, integer(notes.get(Annotation.ATTEMPT)) or 1),
        run=notes.get(Annotation.RUN),
    )
    if template is None:
        return stated
    marks = template.annotations
    if _agrees(meta, stated, template):
        stated.attempt = integer(marks.attempt) or 1
        return stated
    if template.labels.schedule is not None:
        return _run(meta, stated, template)
    claim = _by_name(meta.name, stated, template)
    if claim is None:
        claim, stated.stray = stated, Stray.UNIDENTIFIED if marks.job or not stated.request_id else Stray.COPY
    if marks.job is None:
        # Nothing but its annotation tells an attempt from a copy that has the name of one.
        copied = claim.attempt > 1 and claim.attempt != stated.attempt
    else:
        copied = marks.job != f"{meta.namespace}/{meta.name}"
    if copied:
        claim.stray = Stray.COPY
    return claim


def lost_labels(labels: Mapping[str, str], template: Template | None) -> tuple[tuple[str, str], ...]:
    """Names and values of the labels that our Jobs are found by, as far as this Job has lost them."""
    if template is None or template.labels.instance is None:
        return ()
    kept = template.labels
    wanted = {
        Label.MANAGED_BY: MANAGED_BY,
        Label.INSTANCE: kept.instance,
        Label.REQUEST: kept.request,
        Label.SCHEDULE: kept.schedule,
    }
    return tuple((name, value) for name, value in wanted.items() if value is not None and labels.get(name) != value)


def _agrees(meta: Metadata, stated: Claim, template: Template) -> bool:
    """Whether all is as we made it, as nearly always: then there is no need to reckon anything."""
    marks = template.annotations
    same = (marks.id, marks.source, marks.run) == (stated.request_id, stated.source, stated.run)
    return same and marks.job == f"{meta.namespace}/{meta.name}"


def _by_name(name: str, stated: Claim, template: Template) -> Claim | None:
    """The request whose name it has: by its annotations, or else by the variables of its containers."""
    for source, request_id in _candidates(name, stated, template):
        found = identity_in_name(name, source, request_id)
        if found is not None:
            return Claim(request_id, source, attempt=found[1])
    return None


def _candidates(name: str, stated: Claim, template: Template) -> Iterator[tuple[str, str]]:
    marks = template.annotations
    yield stated.source, stated.request_id
    if marks.id is not None:
        yield marks.source or "", marks.id
    given = variables(template)
    sources = dict.fromkeys((given.get("CE_SOURCE", stated.source), stated.source))
    event_id = given.get("CE_ID", "")
    # A function's manifest may set these variables itself.
    functions = [name.rsplit("-", 1)[0], name.rsplit("-", 2)[0]]
    ids = [given.get("JOBRELAY_JOB_ID", ""), stated.request_id, event_id, *(f"{one}/{event_id}" for one in functions)]
    for source in sources:
        for request_id in filter(None, dict.fromkeys(ids)):
            yield source, request_id


def _run(meta: Metadata, stated: Claim, template: Template) -> Claim:
    """A run of a schedule. Its name holds no hash, so its id is believed, or taken from the pod template."""
    marks = template.annotations
    if marks.run is None and stated.run == NEW_RUN and FINALIZER not in (meta.finalizers or ()):
        return stated  # It is not a request's yet.
    run = marks.run or stated.run
    request_id = stated.request_id if marks.run is None or marks.id is None else marks.id
    source = marks.source or variables(template).get("CE_SOURCE", stated.source)
    claim = Claim(request_id, source, attempt=_attempt_of_run(meta.name, stated, template), run=run)
    if marks.job is not None and marks.run is not None:
        claim.stray = None if marks.job == f"{meta.namespace}/{meta.name}" else Stray.COPY
    elif not _is_run(meta, run or "", template):
        claim.stray = Stray.COPY
    if claim.stray is None and not (request_id and source):
        claim.stray = Stray.UNIDENTIFIED
    return claim


def _attempt_of_run(name: str, stated: Claim, template: Template) -> int:
    kept = integer(template.annotations.attempt)
    if kept is not None:
        return kept
    return stated.attempt if name.endswith(f"-{stated.attempt}") else 1


def _is_run(meta: Metadata, run: str, template: Template) -> bool:
    """Whether it is the run of this time whose template could not be marked: Kubernetes or a user let it start before.

    Kubernetes names runs by their times, and we those that a control event asked for by that event. One that somebody
    made by hand from a CronJob is of the time of its creation.
    """
    try:
        minutes = int(parse_epoch(run)) // 60
    except ValueError:
        return False
    made_for = template.annotations.job
    if made_for is not None and not made_for.startswith(f"{meta.namespace}/"):
        return False
    notes = meta.annotations or {}
    created = epoch(meta.creation_timestamp)
    by_time = run in (notes.get(Annotation.ACCEPTED), None if created is None else format_epoch(created))
    endings = [f"-{minutes}"]
    if command := notes.get(Annotation.COMMAND):
        endings.append(f"-{command_in_name(command)}")
    return by_time or any(name.endswith(tuple(endings)) for name in (meta.name, meta.name.rpartition("-")[0]))
