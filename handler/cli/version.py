"""`jobrelay --version`, by itself or with `-o`."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from handler.cli.options import DOCUMENTS
from handler.cli.program import NAME
from handler.commands.errors import Misuse

Command = TypeVar("Command", bound=Callable[..., Any])


def versioned(command: Command) -> Command:
    """Add `--version` and its `-o`, in whichever order. A command that gets to run has `form` to refuse."""
    output = click.option(
        "-o", "--output", "form", type=DOCUMENTS, is_eager=True, help="With --version: all that belongs to it."
    )
    shown = click.option(
        "--version",
        is_flag=True,
        # After `-o`, which is eager, wherever that stands; and before a command is looked for.
        callback=_show,
        expose_value=False,
        help="Show the version and exit.",
    )
    return shown(output(command))


def refuse(form: str | None) -> None:
    """Raises `Misuse` where `-o` stands before a command."""
    if form is not None:
        raise Misuse("-o goes with --version; the -o of a command stands after the command")


def _show(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    _print(context.params.get("form"))
    context.exit()


def _print(form: str | None) -> None:
    if form is None:
        from handler import version

        click.echo(f"{NAME} {version()}")
        return
    from handler.commands.version import facts

    if form == "json":
        import json

        # Without what else prints documents: it imports YAML, which takes as long as all of this.
        click.echo(json.dumps(facts(), separators=(",", ":")))
    else:
        from handler.commands.showing.output import write

        write(form, facts())
