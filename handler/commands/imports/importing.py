"""`jobrelay import`: reads a file of definitions, shows the plan, carries it out, and reports what was done."""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import click
from rich.text import Text

from handler.commands.connection import broker_of
from handler.commands.errors import FAILED, OK, Failed, Misuse
from handler.commands.imports.applying import Change, Look, carry_out
from handler.commands.imports.definitions import DefinitionSet, InvalidDefinitions, default_source, read_definitions
from handler.commands.imports.planning import CHANGES, Action, Existing, Step, existing_by_id, plan
from handler.commands.showing.output import say, write
from handler.commands.showing.show import tell_failure
from handler.commands.showing.tables import table
from handler.operations.wording import clean
from handler.settings.connections import cluster_of, namespaces_of, selector_of
from handler.settings.settings import Settings
from k8s.api.cluster import Cluster

_PLANNED = {
    Action.CREATE: "to create",
    Action.UPDATE: "to update",
    Action.REMOVE: "to remove",
    Action.UNCHANGED: "as in the file",
    Action.KEEP: "left alone",
}
_DONE = _PLANNED | {Action.CREATE: "created", Action.UPDATE: "updated", Action.REMOVE: "removed"}
_WHY = {Action.REMOVE: "not in the file", Action.KEEP: "not in the file, left alone"}
_STYLES = {Action.CREATE: "green", Action.UPDATE: "yellow", Action.REMOVE: "red"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """What is wanted, and how to get there. `seconds`: how long all changes together may take."""

    wanted: DefinitionSet
    prune: bool
    dry_run: bool
    lane: str
    seconds: float
    form: str


def load(file: str, *, source: str | None, prune: bool, judge: bool) -> DefinitionSet:
    """The set in a file; `-` is standard input. Raises `Misuse` with every mistake in it."""
    # Other files may have the same name: --prune would remove their definitions.
    fallback = None if prune or file == "-" else default_source(file)
    try:
        if file == "-":
            text = sys.stdin.read()
        else:
            with click.open_file(file, encoding="utf-8") as stream:
                text = stream.read()
        return read_definitions(text, source=source, fallback=fallback, judge=judge)
    except OSError as error:
        raise Misuse(f"{file}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise Misuse(f"{file}: it is not UTF-8") from error
    except InvalidDefinitions as error:
        lines = "\n".join(f"  {clean(mistake)}" for mistake in error.mistakes)
        raise Misuse(f"{file}: nothing was changed:\n{lines}") from error


async def import_definitions(settings: Settings, asked: Import) -> int:
    """Show the plan, then carry it out. Returns the exit code. Raises `Failed` for what was not done in time."""
    async with cluster_of(settings) as cluster:
        look = partial(_find_existing, cluster, settings, asked.wanted)
        steps = plan(asked.wanted, await look(), prune=asked.prune)
        _print_plan(steps, asked.wanted.source, asked.form)
        todo = [step for step in steps if step.action in CHANGES]
        if not todo or asked.dry_run:
            summary = f"dry run: {_counted(steps, _PLANNED)}" if todo else f"nothing to change: {_unchanged(steps)}"
            say(summary)
            return OK
        if asked.form == "table":
            click.echo()
        return await _apply(settings, asked, steps, look)


async def _find_existing(cluster: Cluster, settings: Settings, wanted: DefinitionSet) -> dict[str, list[Existing]]:
    named = [definition.namespace for definition in wanted.definitions if definition.namespace]
    found = []
    for namespace in dict.fromkeys([*namespaces_of(settings, cluster), *named]):
        found += await cluster.list_cron_jobs(namespace, selector_of(settings))
    return existing_by_id(found, wanted.source)


async def _apply(settings: Settings, asked: Import, steps: Sequence[Step], look: Look) -> int:
    changes = [Change.of(step) for step in steps if step.action in CHANGES]
    async with broker_of(settings) as broker:
        await carry_out(
            broker,
            changes,
            look=look,
            source=asked.wanted.source,
            lane=asked.lane,
            seconds=asked.seconds,
            report=lambda change: _report(change, asked.form),
        )
    return _sum_up(steps, changes, seconds=asked.seconds)


def _sum_up(steps: Sequence[Step], changes: Sequence[Change], *, seconds: float) -> int:
    done = [change.step for change in changes if change.over and not change.refusals]
    refused = sum(bool(change.refusals) for change in changes)
    late = [change for change in changes if not change.over]
    summary = _counted([*(step for step in steps if step.action not in CHANGES), *done], _DONE)
    summary = ", ".join(filter(None, (summary, f"{refused} refused" if refused else "")))
    if summary:
        say(summary)
    for change in late:
        _report_refusals(change)
    if late:
        lines = "\n".join(f"  {clean(f'{change.id}: {change.awaited}')}" for change in late)
        raise Failed(f"not done within {seconds:g} s; the same import goes on from here:\n{lines}")
    return FAILED if refused else OK


def _print_plan(steps: Sequence[Step], source: str, form: str) -> None:
    if form == "table":
        table(("ACTION", "ID", "SCHEDULE", "CHANGES"), [_row(step) for step in steps], wide="CHANGES")
        return
    for step in steps:
        recurs = step.recurs
        write(
            form,
            {
                "action": step.action,
                "id": step.id,
                "source": source,
                "schedule": recurs.get("schedule"),
                "timeZone": recurs.get("timeZone"),
                "changed": list(step.changed),
                "cronJobs": [cron_job.name for cron_job in step.existing],
            },
        )


def _row(step: Step) -> list[str | Text]:
    when = [step.recurs.get(name) for name in ("schedule", "timeZone")]
    why = _WHY.get(step.action) or ", ".join(step.changed)
    return [
        Text(step.action, style=_STYLES.get(step.action, "dim")),
        step.id,
        " ".join(str(part) for part in when if part is not None),
        why,
    ]


def _report(change: Change, form: str) -> None:
    """Print how a change that is over has ended."""
    done = _DONE[change.step.action] if not change.refusals else "refused"
    if form != "table":
        errors = [refusal.detail.get("error") for refusal in change.refusals]
        write(form, {"done": done, "id": change.id, "errors": errors, "restored": change.restoring})
    elif not change.refusals:
        click.echo(f"{done} {clean(change.id)}")
    _report_refusals(change)
    if change.left is not None:
        say(f"  {change.left}")


def _report_refusals(change: Change) -> None:
    for refusal in change.refusals:
        tell_failure(refusal, say=lambda line: click.echo(line, err=True))


def _counted(steps: Iterable[Step], words: Mapping[Action, str]) -> str:
    counts = Counter(step.action for step in steps)
    return ", ".join(f"{counts[action]} {word}" for action, word in words.items() if counts[action])


def _unchanged(steps: Sequence[Step]) -> str:
    kept = sum(step.action is Action.KEEP for step in steps)
    same = len(steps) - kept
    text = f"{same} {'definition is' if same == 1 else 'definitions are'} as in the file"
    return f"{text}, {kept} not in it left alone (--prune removes them)" if kept else text
