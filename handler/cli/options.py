"""Options that several commands share, and how their values are read."""

import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click

from handler.cli.completing import files, offered
from handler.operations.times import read_duration, read_moment

SERVERS = ("nats", "rabbitmq")
"""The keys of `adapters.servers.local.SERVERS`, which `--help` does without."""
DOCUMENTS = click.Choice(["json", "yaml"])
FORMATS = click.Choice(["table", *DOCUMENTS.choices])
Command = TypeVar("Command", bound=Callable[..., Any])

_CONNECTION = (
    click.option("--broker", metavar="URL", help="Broker.  [JOBRELAY_SOURCES]"),
    click.option("--instance", metavar="NAME", help="Installation.  [JOBRELAY_INSTANCE]"),
    click.option("--kubeconfig", metavar="FILE", help="Kubeconfig.  [JOBRELAY_KUBECONFIG]", shell_complete=files),
    click.option(
        "--context",
        metavar="NAME",
        help="Context of the kubeconfig.  [JOBRELAY_KUBE_CONTEXT]",
        shell_complete=offered("contexts"),
    ),
    click.option(
        "-n",
        "--namespace",
        metavar="NAME",
        help="Namespace of the Jobs.  [JOBRELAY_NAMESPACES]",
        shell_complete=offered("namespaces"),
    ),
    click.option("-v", "--verbose", is_flag=True, help="Say which broker and cluster are meant, and log."),
)


def connects(command: Command) -> Command:
    """Add the options that name an installation; `settings_from` reads them from the command's keywords."""
    for option in reversed(_CONNECTION):
        command = option(command)
    return command


def prints(command: Command) -> Command:
    """Add `-o`, the format of the output; it arrives as `form`."""
    return click.option("-o", "--output", "form", type=FORMATS, default="table", help="Format of what is printed.")(
        command
    )


def from_source(command: Command) -> Command:
    """Add `--source`, which tells requests with the same id apart."""
    text = "Source of the request, where several use this id."
    return click.option("--source", help=text, shell_complete=offered("sources"))(command)


def in_container(command: Command) -> Command:
    """Add `-c`, which chooses a container of the request's pods."""
    return click.option(
        "-c",
        "--container",
        metavar="NAME",
        help="Only this container's.  [all of them]",
        shell_complete=offered("containers"),
    )(command)


def settings_from(connection: dict[str, Any]) -> Any:
    """The settings in force, with the options that `connects` adds. Raises `Misuse`."""
    from handler.commands.environment import Options, settings_of

    if connection.get("verbose"):
        logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s", force=True)
    return settings_of(Options(**connection, environ=os.environ))


def starts(command: Command) -> Command:
    """Add `--broker` to a command that starts a broker on this machine."""
    return click.option(
        "--broker", type=click.Choice(SERVERS), default="nats", help="Broker to start.", show_default=True
    )(command)


def duration(text: str) -> timedelta:
    """Read `90` (seconds), `90s`, `15m`, `1h30m` or `7d`. Raises `click.BadParameter` for anything else."""
    try:
        return read_duration(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is {error}") from None


def moment(text: str) -> datetime:
    """Read a time: RFC 3339, a day in UTC, or how long ago it was, as `duration` does. Raises `click.BadParameter`."""
    try:
        return read_moment(text, now=datetime.now(UTC))
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is {error}") from None
