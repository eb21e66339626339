"""`jobrelay history show`: a request whole."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import click
from rich.text import Text

from events.phases import Phase
from handler.commands.errors import OK
from handler.commands.history.opening import chosen, opened
from handler.commands.showing.output import write
from handler.commands.showing.phases import phase_text
from handler.commands.showing.tables import Pages, table
from handler.history.base import KeptLog, LogState, PodRun, Reader, Request, Told
from handler.history.logs.bodies import said_of
from handler.operations.records import detail_of, event_document, moment, pod_document, ran, request_document, why
from handler.operations.sentences import sentence
from handler.operations.wording import clean, duration, size
from handler.settings.settings import Settings

_PAGE = 500


async def history_show(
    settings: Settings, *, request_id: str, source: str | None, number: int | None, form: str
) -> int:
    """Print the request with its events, pods and logs. Raises `Failed` if there is none."""
    async with opened(settings) as store:
        request = await chosen(store, request_id, source=source, number=number)
        tags = await store.tags(request.pk)
        pods = [(pod, await store.logs(pod.uid)) for pod in await store.pods(request.pk)]
        where = settings.log_store or "database"
        if form != "table":
            write(form, await _document(store, request, tags, pods, where))
            return OK
        _print_fields(request, tags)
        await _print_events(store, request)
    _print_pods(pods, where)
    return OK


async def events_of(store: Reader, request: Request) -> AsyncIterator[Told]:
    """All stored events of a request in the order of recording, a page in memory at a time."""
    after = 0
    while told := await store.events(request.pk, after=after, limit=_PAGE):
        for event in told:
            yield event
        after = told[-1].position


async def _document(
    store: Reader, request: Request, tags: Sequence[str], pods: Sequence[tuple[PodRun, Sequence[KeptLog]]], where: str
) -> dict[str, Any]:
    return request_document(request, tags) | {
        "pods": [pod_document(pod, logs, where=where) for pod, logs in pods],
        "events": [event_document(told) async for told in events_of(store, request)],
    }


def _print_fields(request: Request, tags: Sequence[str]) -> None:
    for name, value in fields(request, tags):
        if value not in (None, ""):
            click.echo(f"{name + ':':<11}{clean(value)}")


def fields(request: Request, tags: Sequence[str]) -> list[tuple[str, object]]:
    """What to say of a request, by names for people; None and empty where there is nothing to say."""
    job = f"{request.namespace}/{request.job}" if request.job else request.namespace
    result = None if request.result is None else request.result.decode(errors="replace")
    return [
        ("id", request.key.id),
        ("source", request.key.source),
        ("number", request.pk),
        ("asked by", f"event {request.key.cause}"),
        ("replay of", request.replay_of),
        ("function", request.function),
        ("service", request.service),
        ("tags", ", ".join(tags)),
        ("phase", request.phase),
        ("detail", why(request)),
        ("exit code", request.exit_code),
        ("attempt", request.attempt),
        ("job", job),
        ("image", request.image),
        ("each pod", _amounts(request.cpu, request.memory, request.gpus)),
        ("peaks", _amounts(request.peak_cpu, request.peak_memory, None)),
        ("priority", request.priority),
        ("event time", moment(request.event_time)),
        ("created", moment(request.created)),
        ("started", moment(request.started)),
        ("finished", moment(request.finished)),
        ("updated", moment(request.updated)),
        ("took", duration(ran(request))),
        ("result", result),
    ]


def _amounts(cpu: float | None, memory: int | None, gpus: int | None) -> str:
    parts = [
        None if cpu is None else f"cpu {cpu:.2f}",
        None if memory is None else f"memory {size(memory)}",
        f"{gpus} GPUs" if gpus else None,
    ]
    return ", ".join(filter(None, parts))


async def _print_events(store: Reader, request: Request) -> None:
    """A line for each; of several `progress` in a row, only the last."""
    shown = Pages(("TIME", "PHASE", "EVENT"), wide="EVENT")
    lines: list[list[str | Text]] = []
    before: Phase | None = None
    click.echo()
    async for told in events_of(store, request):
        if told.phase == before == Phase.PROGRESS:
            lines.pop()
        elif len(lines) >= _PAGE:
            shown.add(lines)
            lines = []
        said = sentence(told.phase, detail_of(event_document(told)))
        lines.append([moment(told.time) or "", phase_text(told.phase), said])
        before = told.phase
    shown.add(lines)


def _print_pods(pods: Sequence[tuple[PodRun, Sequence[KeptLog]]], where: str) -> None:
    if not pods:
        return
    click.echo()
    columns = ("POD", "NODE", "ATTEMPT", "STARTED", "DURATION", "EXIT", "REASON")
    table(columns, [_pod_row(pod) for pod, _ in pods], wide="REASON")
    click.echo()
    logs = [[pod.name, log.container, log_state(log, where)] for pod, kept in pods for log in kept]
    logs += [[pod.name, "", "none was kept"] for pod, kept in pods if not kept]
    table(("POD", "CONTAINER", "LOG"), logs, wide="LOG")


def _pod_row(pod: PodRun) -> list[str | Text]:
    ended = pod.started is not None and pod.finished is not None
    return [
        pod.name,
        pod.node or "",
        "" if pod.attempt is None else str(pod.attempt),
        moment(pod.started) or "",
        duration((pod.finished or 0.0) - (pod.started or 0.0)) if ended else "",
        "" if pod.exit_code is None else str(pod.exit_code),
        pod.reason or "",
    ]


def log_state(log: KeptLog, where: str) -> str:
    """What there is of a log, and where, or why there is none."""
    said = said_of(log)
    if log.state in (LogState.MISSING, LogState.EXPIRED):
        return said or ""
    left_out = f"{size(log.dropped)} in its middle left out" if log.dropped else None
    return ", ".join(
        filter(None, (f"{size(log.bytes)} in {'the ' if where == 'database' else ''}{where}", left_out, said))
    )
