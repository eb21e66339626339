"""What the JSON API answers, without what it streams and what it does."""

from typing import Any

from pydantic import Field

from handler.console.api.handlers import AnswerQuery, of_all, of_one, of_one_some, of_some, show_answer, show_me
from handler.console.backend import Backend
from handler.console.http.operation import Handler, Operation
from handler.console.views.asked import Asked
from handler.console.views.audit import AuditQuery, audit_view
from handler.console.views.dead import LettersQuery, letter_view, letters_view
from handler.console.views.logs import LogQuery, log_view
from handler.console.views.models import (
    Answer,
    Audit,
    EventPage,
    LetterDetail,
    LetterPage,
    LogText,
    Me,
    Model,
    PodList,
    Queue,
    RequestDetail,
    RequestPage,
    ScheduleList,
    Stats,
)
from handler.console.views.pods import pods_view
from handler.console.views.queue import queue_view
from handler.console.views.request import EventsQuery, events_view, request_view
from handler.console.views.requests import RequestsQuery, requests_view
from handler.console.views.schedules import schedules_view
from handler.console.views.stats import StatsQuery, stats_view


class LetterQuery(Asked):
    """Of which broker."""

    broker: str | None = Field(default=None, description="Its name; by default the first.")


async def _letter(backend: Backend, number: int, query: LetterQuery) -> LetterDetail:
    return await letter_view(backend, number, query.broker)


def _get(path: str, name: str, summary: str, handler: Handler, answer: type[Model], **more: Any) -> Operation:
    return Operation(
        method="GET",
        path=path,
        name=name,
        summary=summary,
        handler=handler,
        answer=answer,
        **{"query": Asked, **more},
    )


OPERATIONS: tuple[Operation, ...] = (
    _get(
        "/requests",
        "listRequests",
        "Requests, those that changed last first",
        of_some(requests_view, RequestsQuery),
        RequestPage,
        query=RequestsQuery,
    ),
    _get("/requests/{number}", "showRequest", "A request whole", of_one(request_view), RequestDetail),
    _get(
        "/requests/{number}/events",
        "listEvents",
        "Lifecycle events of a request, in the order of recording",
        of_one_some(events_view, EventsQuery),
        EventPage,
        query=EventsQuery,
    ),
    _get(
        "/requests/{number}/pods",
        "listPods",
        "Pods of a request: those that were recorded, and those that the cluster has now",
        of_one(pods_view),
        PodList,
    ),
    _get(
        "/requests/{number}/logs",
        "showLog",
        "The end of a container's log: from the cluster while that has it, else from the history",
        of_one_some(log_view, LogQuery),
        LogText,
        query=LogQuery,
    ),
    _get(
        "/schedules",
        "listSchedules",
        "Schedules as the cluster has them, oldest first",
        of_all(schedules_view),
        ScheduleList,
        group="schedules",
    ),
    _get(
        "/dead",
        "listLetters",
        "Dead letters, oldest first",
        of_some(letters_view, LettersQuery),
        LetterPage,
        query=LettersQuery,
        problems=(404,),
        group="dead letters",
    ),
    _get(
        "/dead/{number}",
        "showLetter",
        "A dead letter whole",
        of_one_some(_letter, LetterQuery),
        LetterDetail,
        query=LetterQuery,
        group="dead letters",
    ),
    _get(
        "/audit",
        "listActions",
        "Who asked for what, and what came of it, newest first",
        of_some(audit_view, AuditQuery),
        Audit,
        query=AuditQuery,
        group="actions",
    ),
    _get(
        "/actions/{eventId}",
        "showAnswer",
        "What became of an action",
        show_answer,
        Answer,
        query=AnswerQuery,
        group="actions",
    ),
    _get(
        "/queue", "showQueue", "What waits, at the brokers and on the cluster", of_all(queue_view), Queue, group="queue"
    ),
    _get(
        "/stats",
        "showStats",
        "What the requests of each service came to, newest first",
        of_some(stats_view, StatsQuery),
        Stats,
        query=StatsQuery,
        group="stats",
    ),
    _get("/me", "showMe", "Who asks, and what they may do", show_me, Me, group="page"),
)
