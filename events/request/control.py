"""Control events: what they ask of a request, and the answers. Not which Jobs that means, nor how it is done."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from cloudevents.core.v1.event import CloudEvent

from events.cloudevent.attributes import SPECVERSION, is_text
from events.cloudevent.event import build
from events.identity import command_hash, topic_part
from events.names import CONTROL_TYPE
from events.problems import FieldError, InvalidRequest

ACCEPTED = "accepted"
REJECTED = "rejected"
ANSWER_STATUS: Mapping[str, int | None] = {ACCEPTED: None, REJECTED: 99}
"""`status` in the data of answers."""


CHOOSING: Mapping[str, str] = {
    "requestsource": "the source of the request that is meant",
    "jobname": "the name of the Job that is meant",
    "jobnamespace": "the namespace of the Job that is meant",
}
"""Extension attributes that say which request, or which of its Jobs, is meant."""


class ControlVerb(StrEnum):
    """The last word of a control event's type."""

    CANCEL = "cancel"
    SUSPEND = "suspend"
    RESUME = "resume"
    RUN = "run"
    """Make one run of a schedule now."""
    REPLAY = "replay"
    """Put a dead letter back on the topic it came from."""
    DROP = "drop"
    """Remove a dead letter for good."""


ABOUT_LETTERS = frozenset({ControlVerb.REPLAY, ControlVerb.DROP})
_NUMBER = re.compile(r"[0-9]{1,19}", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Letter:
    """The dead letter that is meant: its number, and `digest_of` its body, where the command names it."""

    number: int
    digest: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Do `verb` to the request with id `subject`; where several sources use that id, to that of `request_source`.

    `letter`: of a command in `ABOUT_LETTERS`, which means no request; else None.
    `job_name`, `job_namespace`: those of its Job or CronJob, where one source and id has several.
    """

    verb: ControlVerb
    subject: str
    event_id: str
    source: str
    request_source: str | None
    job_name: str | None = None
    job_namespace: str | None = None
    letter: Letter | None = None
    event: CloudEvent


def parse_control(event: CloudEvent) -> Command:
    """Raises `InvalidRequest` for another type, a missing subject, one of `CHOOSING` that is not text.

    And of a command about a dead letter for a subject that is no number, and a `letterdigest` that is none.
    """
    errors: list[FieldError] = []
    word = event.get_type().removeprefix(f"{CONTROL_TYPE}.")
    verb = next((verb for verb in ControlVerb if verb == word), None)
    if verb is None:
        types = ", ".join(f"{CONTROL_TYPE}.{verb}" for verb in ControlVerb)
        errors.append(FieldError("type", "is no control event's type", allowed=types))
    subject = event.get_subject()
    if subject is None:
        errors.append(FieldError("subject", "is missing: the id of the request, or number of the dead letter, meant"))
    letter = _letter(event, errors) if verb in ABOUT_LETTERS else None
    chosen: dict[str, Any] = {name: event.get_extension(name) for name in CHOOSING}
    for name, value in chosen.items():
        if value is not None and not isinstance(value, str):
            errors.append(FieldError(name, f"must be text: {CHOOSING[name]}"))
    if errors or verb is None or subject is None:
        raise InvalidRequest(errors)
    return Command(
        verb=verb,
        subject=subject,
        event_id=event.get_id(),
        source=event.get_source(),
        request_source=chosen["requestsource"],
        job_name=chosen["jobname"],
        job_namespace=chosen["jobnamespace"],
        letter=letter,
        event=event,
    )


def _letter(event: CloudEvent, errors: list[FieldError]) -> Letter | None:
    """What is wrong with it is appended to `errors`; then the letter is None."""
    subject, digest = event.get_subject(), event.get_extension("letterdigest")
    found = len(errors)
    if subject is not None and not _NUMBER.fullmatch(subject):
        errors.append(FieldError("subject", "is no number of a dead letter", allowed="digits, at most 19"))
    if digest is not None and not (isinstance(digest, str) and _DIGEST.fullmatch(digest)):
        errors.append(FieldError("letterdigest", "is no digest of a dead letter", allowed="32 of 0-9 and a-f"))
    return Letter(int(subject), digest) if subject is not None and len(errors) == found else None


def accepted(
    command: Command, *, instance: str, jobs: Sequence[str], source: str | None, run: str | None = None
) -> CloudEvent:
    """The answer to a command that was carried out on `jobs` (names) of a request of this source.

    `run`: the id of the run that it made, a request of its own. Of a command about a dead letter there are none of
    these.
    """
    detail = {"verb": command.verb, "subject": command.subject, "jobs": list(jobs), **({"run": run} if run else {})}
    return _answer(command.event, ACCEPTED, instance=instance, detail=detail, source=source)


def refused(
    command: Command | CloudEvent, *, instance: str, code: str, message: str, source: str | None = None
) -> CloudEvent:
    """The answer to a command that was not carried out, or to an event that is not a command.

    `source`: that of the request, where one was found; else the answer has the one that was asked for, if any.
    """
    event = command.event if isinstance(command, Command) else command
    detail: dict[str, Any] = {"error": {"errorCode": code, "message": message}}
    if isinstance(command, Command):
        detail |= {"verb": command.verb, "subject": command.subject}
    return _answer(
        event, REJECTED, instance=instance, detail=detail, source=source or event.get_extension("requestsource")
    )


def control_key(event_id: str, outcome: str) -> str:
    """Topic key of the answer: `_control.<id>.accepted` or `.rejected`. No service can be named `_control`."""
    return f"_control.{topic_part(event_id)}.{outcome}"


def answer_id(source: str, event_id: str, outcome: str) -> str:
    """The id of the answer to the control event of this source and id: of a repeat it is the same."""
    return f"control/{command_hash(source, event_id)}/{outcome}"


def _answer(event: CloudEvent, outcome: str, *, instance: str, detail: dict[str, Any], source: object) -> CloudEvent:
    actor = event.get_extension("actor")
    attributes: dict[str, Any] = {
        "specversion": SPECVERSION,
        "id": answer_id(event.get_source(), event.get_id(), outcome),
        "source": f"/jobrelay/{instance}",
        "type": f"{CONTROL_TYPE}.{outcome}",
        "subject": event.get_id(),
        "datacontenttype": "application/json",
        "requestsource": source if is_text(source) else None,
        "causationid": event.get_id(),
        "correlationid": event.get_extension("correlationid"),
        "traceparent": event.get_extension("traceparent"),
        "tracestate": event.get_extension("tracestate"),
        "actor": actor if is_text(actor) else None,
    }
    return build(attributes, {"id": event.get_id(), "status": ANSWER_STATUS[outcome], "detail": detail})
