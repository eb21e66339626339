"""Requests as a list shows them."""

import re

from events.phases import Phase
from handler.console.views.models import Amounts, Error, RequestRow
from handler.history.base import Request
from handler.operations.records import moment, ran, why
from handler.operations.wording import clean

BRIEF = 300
"""Characters of an error's message that a list shows."""
_ENDED = re.compile(r"container main ended with exit code \d+: (.*\S)", re.DOTALL)
"""A message that goes on with the last line of the log."""


def row_of(request: Request, *, now: float, brief: bool = True) -> RequestRow:
    """`now`: epoch seconds, for how long it has run. `brief`: cut what its error says."""
    message = request.message
    if brief and message is not None:
        message = shortened(message)
    says = _says(request)
    return RequestRow(
        number=request.pk,
        id=request.key.id,
        source=request.key.source,
        cause=request.key.cause,
        function=request.function,
        service=request.service,
        phase=request.phase,
        reason=request.reason,
        says=shortened(says) if brief else says,
        terminal=request.terminal,
        attempt=request.attempt,
        namespace=request.namespace,
        job=request.job,
        image=request.image,
        cpu=request.cpu,
        memory=request.memory,
        gpus=request.gpus,
        priority=request.priority,
        event_time=moment(request.event_time),
        created=moment(request.created),
        started=moment(request.started),
        finished=moment(request.finished),
        updated=moment(request.updated),
        duration=ran(request, now=now),
        exit_code=request.exit_code,
        error=_error(request.error_code, message),
        peaks=Amounts(cpu=request.peak_cpu, memory=request.peak_memory),
        replay_of=request.replay_of,
    )


def _says(request: Request) -> str:
    """Why it is as it is, without what stands beside it: the exit code of the only container of most."""
    if request.phase is Phase.SUSPENDED and not request.error_code:
        return f"by {request.reason}" if request.reason else ""
    found = _ENDED.match(request.message or "") if request.error_code == "JOB_EXECUTION_FAILED" else None
    return why(request) if found is None else clean(found[1])


def shortened(text: str) -> str:
    """At most `BRIEF` characters of a text."""
    return text if len(text) <= BRIEF else f"{text[: BRIEF - 1]}…"


def _error(code: str | None, message: str | None) -> Error | None:
    return None if code is None and message is None else Error(error_code=code, message=message)
