"""Who asked for what, and what came of it."""

import time
from typing import Annotated

from pydantic import Field

from handler.console.backend import Backend
from handler.console.views.asked import Asked, Time, require_order, seconds_of
from handler.console.views.models import Audit, Audited
from handler.history.base import Action, WantedActions
from handler.operations.records import moment


class AuditQuery(Asked):
    """Which actions. What is not given is not asked."""

    actor: str | None = Field(default=None, max_length=256, description="Who asked.")
    verb: str | None = Field(default=None, max_length=64, description="For what, such as `cancel`.")
    request: str | None = Field(default=None, max_length=1024, description="Id of the request or schedule.")
    outcome: str | None = Field(default=None, max_length=64, description="`accepted` or `rejected`.")
    since: Time | None = Field(default=None, description="Only at this time or later.")
    until: Time | None = Field(default=None, description="Only before this time.")
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    after: str | None = Field(default=None, max_length=2048, description="`next` of the page before.")


async def audit_view(backend: Backend, query: AuditQuery, *, now: float | None = None) -> Audit:
    """A page of answers to control events, newest first. Raises `StoreUnavailable`, `BadCursor`, and `Problem`."""
    now = time.time() if now is None else now
    newer, older = seconds_of(query.since, now=now), seconds_of(query.until, now=now)
    require_order(newer, older)
    wanted = WantedActions(
        actor=query.actor or None,
        verb=query.verb or None,
        request=query.request or None,
        outcome=query.outcome or None,
        newer=newer,
        older=older,
    )
    page = await backend.reader.actions(wanted, limit=query.limit, after=query.after)
    return Audit(actions=[_audited(action) for action in page.actions], next=page.next)


def _audited(action: Action) -> Audited:
    return Audited(
        id=action.id,
        time=moment(action.time) or "",
        actor=action.actor,
        verb=action.verb,
        request=action.request_id,
        outcome=action.outcome,
        code=action.code,
    )
