"""What the operator's settings let requests ask for about when they run. Pure: a request and the settings in."""

from collections.abc import Iterator

from events.cloudevent.timestamp import parse_epoch
from events.problems import FieldError
from events.request.request import JobRequest
from handler.settings.admission import AdmissionSettings

_DAY = 86_400.0


def queue_refusals(request: JobRequest, settings: AdmissionSettings, *, now: float) -> list[FieldError]:
    """Every rule that its place in the queue breaks, each with its setting and what is allowed. `now`: epoch seconds.

    A schedule needs no rule of its own: its next time is at most a few years away, and until then no Job waits for it.
    """
    return list(_broken(request, settings, now))


def _broken(request: JobRequest, settings: AdmissionSettings, now: float) -> Iterator[FieldError]:
    days, priority = settings.max_run_at_days, settings.max_priority
    if request.run_at is not None and parse_epoch(request.run_at) > now + days * _DAY:
        yield _beyond("runAt", "is later than JOBRELAY_MAX_RUN_AT_DAYS", f"at most {days} days from now")
    if request.priority is not None and request.priority > priority:
        yield _beyond("priority", "is more than JOBRELAY_MAX_PRIORITY", f"at most {priority}")


def _beyond(field: str, what: str, allowed: str) -> FieldError:
    return FieldError(field, f"{what} allows", allowed)
