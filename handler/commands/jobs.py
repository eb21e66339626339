"""`jobrelay get`: what the cluster knows of requests, else the history. It needs no broker."""

from collections.abc import Sequence

import click
from rich.text import Text

from events.jobs.observed import Schedule
from events.lifecycle.failures import judged
from events.lifecycle.results import exit_code
from events.names import Label
from events.phases import Phase
from handler.commands.errors import OK
from handler.commands.history.fallback import get_kept
from handler.commands.schedules import Names, names_of, show_schedules
from handler.commands.showing.output import say_left_out, write
from handler.commands.showing.phases import phase_text
from handler.commands.showing.tables import table
from handler.operations.jobs import Found, facts, find, selector_of, with_usage
from handler.operations.schedules import find_schedules, schedule_facts
from handler.operations.sentences import sentence
from handler.operations.wording import amount, duration
from handler.settings.connections import cluster_of, namespaces_of
from handler.settings.settings import Settings


async def get(settings: Settings, *, request_id: str | None, source: str | None, form: str) -> int:
    """Print all Jobs and schedules of the installation, of a request, or of a source.

    Of a request that has none, print what the history has. Raises `Failed` if that is nothing.
    """
    async with cluster_of(settings) as cluster:
        namespaces = namespaces_of(settings, cluster)
        jobs = await find(cluster, settings, request_id=request_id, source=source, skipped=say_left_out)
        schedules = await find_schedules(
            cluster, namespaces, selector=selector_of(settings, request_id), skipped=say_left_out
        )
        schedules = [schedule for schedule in schedules if source in (None, schedule.source)]
        if request_id is not None:
            jobs += await find(
                cluster, settings, request_id=request_id, source=source, label=Label.SCHEDULE, skipped=say_left_out
            )
        found = await with_usage(cluster, settings, jobs)
        now = cluster.server_time()
    if request_id is not None and not found and not schedules:
        gone = no_job_of(request_id, source)
        return await get_kept(settings, request_id=request_id, source=source, form=form, gone=gone)
    if form != "table":
        for document in (*(schedule_facts(schedule, now=now) for schedule in schedules), *map(facts, found)):
            write(form, document)
    else:
        _print_tables(schedules, found, now)
    return OK


def _print_tables(schedules: Sequence[Schedule], found: Sequence[Found], now: float) -> None:
    names = names_of([*schedules, *(item.job for item in found)])
    if schedules:
        show_schedules(schedules, names=names, now=now)
    if schedules and found:
        click.echo()
    if found:
        columns = ("ID", "SERVICE", "JOB", "PHASE", "AGE", "DURATION", "EXIT", "DETAIL")
        table(columns, [_row(item, names, now) for item in found], wide="DETAIL")
    elif not schedules:
        click.echo("no Jobs", err=True)


def no_job_of(request_id: str, source: str | None) -> str:
    """What to say of a request that has no Job."""
    return f"no Job of request {request_id}" + (f" from {source}" if source is not None else "")


def _row(found: Found, names: Names, now: float) -> list[str | Text]:
    job, last = found.job, found.last
    until = last.time if last.terminal else now
    ended = [judged(pod) for pod in found.pods]
    codes = sorted({code for one in ended for code in exit_code(one).values()})
    phase, told = found.phase, {**found.detail, "duration": None, "exitCode": None}
    detail = "" if phase == Phase.CREATED else sentence(phase, told)
    using = found.usage
    if using is not None:
        detail = ", ".join(filter(None, (detail, amount(using.cpu, using.memory))))
    return [
        names[job.source, job.request_id],
        job.service or "",
        f"{job.namespace}/{job.name}",
        phase_text(phase),
        duration(now - job.created),
        duration(until - job.start_time) if job.start_time is not None else "",
        ",".join(map(str, codes)),
        detail,
    ]
