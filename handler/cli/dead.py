"""`jobrelay dead`: its commands and their options. What they do is in handler.commands.dead."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from handler.cli.options import connects, duration, prints, settings_from
from handler.commands.errors import Misuse, run as run_work

Command = TypeVar("Command", bound=Callable[..., Any])

_FILTERS = (
    click.option("--code", "codes", multiple=True, metavar="CODE", help="Refused for this reason: INVALID_*, EXPIRED."),
    click.option("--type", "types", multiple=True, metavar="TYPE", help="Events of this type: com.example.*."),
    click.option("--older", type=duration, metavar="TIME", help="Dead for longer than 90s, 15m, 1h30m, 7d."),
    click.option("--newer", type=duration, metavar="TIME", help="Dead for less than that."),
)
_NAMES = ("numbers", "codes", "types", "older", "newer")


def filters(command: Command) -> Command:
    """Add the numbers and options that choose dead letters; `_choice` takes them out of the keywords."""
    for option in reversed(_FILTERS):
        command = option(command)
    return click.argument("numbers", nargs=-1, type=click.IntRange(0), metavar="[NUMBER]...")(command)


def _choice(keywords: dict[str, Any]) -> Any:
    """The dead letters that are chosen. Removes what `filters` added from `keywords`."""
    from handler.operations.letters import Choice

    chosen = {name: keywords.pop(name) for name in _NAMES}
    return Choice(**chosen | {"numbers": frozenset(chosen["numbers"])})


@click.group()
def dead() -> None:
    """Work with dead letters: messages that jobrelay refused.

    They are chosen by number, --code, --type (shell patterns; several: one of them), --older and --newer; what is given
    must all be so.
    """


@dead.command("list")
@filters
@prints
@connects
def dead_list(form: str, **keywords: Any) -> int:
    """List them, oldest first."""
    choice = _choice(keywords)
    settings = settings_from(keywords)
    from handler.commands.dead import dead_list as work

    return run_work(work(settings, choice, form=form))


@dead.command("show")
@click.argument("number", type=click.IntRange(0))
@prints
@connects
def dead_show(number: int, form: str, **connection: Any) -> int:
    """Show one whole: reason, headers, original bytes."""
    settings = settings_from(connection)
    from handler.commands.dead import dead_show as work

    return run_work(work(settings, number=number, form=form))


def _add_command(verb: str, text: str) -> None:
    @dead.command(verb, help=text)
    @filters
    @click.option("--all", "everything", is_flag=True, help="Needed when nothing else chooses.")
    @click.option("--dry-run", is_flag=True, help="Only say which.")
    @prints
    @connects
    def act(everything: bool, dry_run: bool, form: str, **keywords: Any) -> int:
        choice = _choice(keywords)
        if not (everything or choice.chooses):
            raise Misuse(f"which? Give numbers, --code, --type, --older or --newer, or --all to {verb} all of them")
        settings = settings_from(keywords)
        from handler.commands.dead import dead_act as work

        return run_work(work(settings, choice, verb=verb, dry_run=dry_run, form=form))


_add_command(
    "replay",
    "Put them back where they came from.\n\nThe original bytes and headers, as a new message, tried anew. One that is"
    " refused again becomes a dead letter again.",
)
_add_command("drop", "Remove them for good.")
