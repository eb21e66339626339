"""The audit as a view: newest first, by page, chosen by what is asked."""

from typing import Any

import pytest

from handler.console.http.problems import Problem
from handler.console.views.audit import AuditQuery, audit_view
from handler.history.base import Action, BadCursor
from handler.history.sql.writing import SqlWriter
from k8s.api.cluster import Cluster
from tests.handler.console.views.seen import seeing
from tests.handler.history.sql.entries import BROKER, batch

NOW = 1_768_464_000.0
ACTIONS = [
    Action(
        id=f"control/{number:02}",
        time=NOW - number // 3 * 60,
        actor="ada" if number % 2 else None,
        verb="cancel",
        request_id=f"task {number}",
        outcome="rejected" if number == 4 else "accepted",
        code="NOT_FOUND" if number == 4 else None,
    )
    for number in range(9)
]


async def test_pages_go_on_where_the_one_before_ended_whatever_the_time_is(cluster: Cluster) -> None:
    async with seeing(cluster) as (backend, writer):
        assert isinstance(writer, SqlWriter)
        await writer.add(batch(2, actions=ACTIONS), broker=BROKER, after=await backend.reader.position(BROKER))
        found: list[str | None] = []
        after: str | None = None
        for page in range(20):
            view = await audit_view(backend, AuditQuery(since="1h", limit=2, after=after), now=NOW + page)
            found += [one.request for one in view.actions]
            if (after := view.next) is None:
                break
        assert sorted(map(str, found)) == [f"task {number}" for number in range(9)]
        (refused,) = (await audit_view(backend, AuditQuery(outcome="rejected", actor=""), now=NOW)).actions
        assert (refused.request, refused.code, refused.actor) == ("task 4", "NOT_FOUND", None)
        assert refused.time == "2026-01-15T07:59:00Z"
        for wrong, error in (({"after": "x"}, BadCursor), ({"since": "1m", "until": "1h"}, Problem)):
            asked: dict[str, Any] = wrong
            with pytest.raises(error):
                await audit_view(backend, AuditQuery(**asked), now=NOW)
