"""`jobrelay history`: its commands and their options. What they do is in handler.commands.history."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import click

from events.phases import Phase
from handler.cli.completing import offered
from handler.cli.options import connects, duration, from_source, in_container, moment, prints, settings_from
from handler.commands.errors import Misuse, run as run_work

Command = TypeVar("Command", bound=Callable[..., Any])
_FIRST = "first"


def _phase(text: str) -> Phase:
    """Read a phase. Raises `click.BadParameter` that names the nearest."""
    if text in set(Phase):
        return Phase(text)
    from difflib import get_close_matches

    near = get_close_matches(text.lower()[:40], list(Phase), n=1)
    meant = f"; did you mean {near[0]}?" if near else ""
    raise click.BadParameter(f"{text!r} is no phase: {', '.join(Phase)}{meant}")


_FILTERS = (
    click.option(
        "--phase",
        "phases",
        type=_phase,
        multiple=True,
        metavar="PHASE",
        help="In one of these phases.",
        shell_complete=lambda _, __, incomplete: [str(phase) for phase in Phase if phase.startswith(incomplete)],
    ),
    click.option("--service", metavar="NAME", help="Of this service.", shell_complete=offered("services")),
    click.option("--tag", metavar="TAG", help="With this tag."),
    click.option("--source", help="From this source.", shell_complete=offered("sources")),
)
_TIMES = (
    click.option("--newer", type=moment, metavar="TIME", help="Since 15m, 1h30m, 7d ago, a day, an RFC 3339 time."),
    click.option("--older", type=moment, metavar="TIME", help="Before that time."),
)
_RECORD = (
    click.option("--history", metavar="URL", help="Database of the history.  [JOBRELAY_HISTORY]"),
    click.option("-v", "--verbose", is_flag=True, help="Say which database is meant, and log."),
)
_number = click.option(
    "--number", type=click.IntRange(1), metavar="NUMBER", help="Which one, where several have this id."
)


def reads(command: Command) -> Command:
    """Add the options that name the database; `settings_from` reads them from the command's keywords."""
    return _added(command, _RECORD)


def between(command: Command) -> Command:
    """Add `--newer` and `--older`; `_range` takes them out of the keywords."""
    return _added(command, _TIMES)


def _added(command: Command, options: tuple[Callable[[Command], Command], ...]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


def _range(keywords: dict[str, Any]) -> dict[str, Any]:
    """The times in epoch seconds. Removes what `between` added from `keywords`. Raises `Misuse`."""
    times: dict[str, datetime | None] = {name: keywords.pop(name) for name in ("newer", "older")}
    newer, older = times["newer"], times["older"]
    if newer is not None and older is not None and newer > older:
        raise Misuse("EMPTY_RANGE: --newer is after --older: nothing is in between")
    return {name: None if time is None else time.timestamp() for name, time in times.items()}


@click.group()
def history() -> None:
    """Look at what happened: which requests there were, how they ended, what they printed.

    Read from the database that `jobrelay run --role console` fills (JOBRELAY_HISTORY); it need not run for that.
    """


@history.command("list")
@click.argument("text", metavar="[BEGINNING]", required=False, shell_complete=offered("requests"))
@lambda command: _added(command, _FILTERS)
@between
@click.option("--limit", type=click.IntRange(1, 200), metavar="NUMBER", help="At most so many, up to 200.  [50]")
@click.option("--after", metavar="TOKEN", help="Go on where an earlier list ended.")
@click.option("--all", "everything", is_flag=True, help="To the end.")
@prints
@reads
def history_list(limit: int | None, after: str | None, everything: bool, form: str, **keywords: Any) -> int:
    """List requests, those that changed last first.

    With BEGINNING those whose id begins with it.
    """
    if everything and limit is not None:
        raise Misuse("--all and --limit contradict each other")
    from handler.commands.history.listing import history_list as work
    from handler.history.base import Wanted

    chosen = {name: keywords.pop(name) for name in ("text", "phases", "service", "tag", "source")}
    wanted = Wanted(**chosen, **_range(keywords))
    settings = settings_from(keywords)
    return run_work(work(settings, wanted, limit=limit, after=after, everything=everything, form=form))


@history.command("show")
@click.argument("request_id", metavar="ID", shell_complete=offered("requests"))
@from_source
@_number
@prints
@reads
def history_show(request_id: str, source: str | None, number: int | None, form: str, **keywords: Any) -> int:
    """Show a request whole.

    What was asked, its events, its pods and which of their logs are kept, its result. Where several requests have this
    id, the last one.
    """
    settings = settings_from(keywords)
    from handler.commands.history.request import history_show as work

    return run_work(work(settings, request_id=request_id, source=source, number=number, form=form))


@history.command("logs")
@click.argument("request_id", metavar="ID", shell_complete=offered("requests"))
@from_source
@_number
@in_container
@click.option("--tail", type=click.IntRange(0), metavar="LINES", help="Only the last lines of each container.")
@reads
def history_logs(request_id: str, **keywords: Any) -> int:
    """Print the logs of a request's pods that were kept.

    Of a schedule, those of its last run. Where the middle of a log was left out, a line in brackets says so. What
    containers wrote is printed as it is, each line named as by `jobrelay logs`.
    """
    chosen = {name: keywords.pop(name) for name in ("source", "number", "container", "tail")}
    settings = settings_from(keywords)
    from handler.commands.history.logs import history_logs as work

    return run_work(work(settings, request_id=request_id, **chosen))


@history.command("stats")
@click.option("--service", metavar="NAME", help="Only of this service.", shell_complete=offered("services"))
@between
@click.option("--hourly", is_flag=True, help="By the hour, not by the day.")
@prints
@reads
def history_stats(service: str | None, hourly: bool, form: str, **keywords: Any) -> int:
    """Show what requests came to, by day and service.

    How many there were, how they ended, how long they waited and ran on average, and their hours of CPU at
    their peaks. Days are those of UTC; the last 7, unless --newer says otherwise.
    """
    times = _range(keywords)
    settings = settings_from(keywords)
    from handler.commands.history.stats import history_stats as work

    return run_work(work(settings, service=service, hourly=hourly, form=form, **times))


@history.command("export")
@click.option("--service", metavar="NAME", help="Only of requests of this service.", shell_complete=offered("services"))
@between
@click.option("--after", type=click.IntRange(0), default=0, metavar="POSITION", help="Go on after this position.")
@reads
def history_export(service: str | None, after: int, **keywords: Any) -> int:
    """Print all events as lines of JSON.

    Each line is a structured CloudEvent, in the order of recording. At the end, standard error names the position to go
    on after.
    """
    times = _range(keywords)
    settings = settings_from(keywords)
    from handler.commands.history.exporting import history_export as work

    return run_work(work(settings, service=service, after=after, **times))


def _beginning(text: str) -> datetime | str:
    return text if text == _FIRST else moment(text)


@history.command("replay")
@click.option(
    "--from",
    "since",
    type=_beginning,
    required=True,
    metavar="first|TIME",
    help="From the first event that the broker has, or from those of 15m, 7d ago, a day, an RFC 3339 time.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--history", metavar="URL", help="Database of the history.  [JOBRELAY_HISTORY]")
@connects
def history_replay(since: datetime | str, yes: bool, **keywords: Any) -> int:
    """Have the broker's events recorded again.

    Events that are recorded already change nothing.
    """
    settings = settings_from(keywords)
    from handler.commands.history.replaying import history_replay as work

    return run_work(work(settings, since=None if isinstance(since, str) else since, confirmed=yes))


@history.command("prune")
@click.option(
    "--requests-older", type=duration, metavar="TIME", help="Requests that ended before.  [JOBRELAY_HISTORY_DAYS]"
)
@click.option("--logs-older", type=duration, metavar="TIME", help="Logs kept for longer.  [JOBRELAY_LOG_DAYS]")
@click.option("--yes", is_flag=True, help="Do not ask.")
@reads
def history_prune(yes: bool, **keywords: Any) -> int:
    """Delete what is too old now.

    `jobrelay run --role console` does so by itself, by the settings.
    """
    chosen = {name: keywords.pop(name) for name in ("requests_older", "logs_older")}
    settings = settings_from(keywords)
    from handler.commands.history.pruning import history_prune as work

    return run_work(work(settings, confirmed=yes, **chosen))
