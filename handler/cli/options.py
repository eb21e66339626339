"""Options that several commands share, and how their values are read."""

import logging
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click

from adapters.servers.local import SERVERS
from events.cloudevent.timestamp import EXAMPLE, parse_time

FORMATS = click.Choice(["table", "json", "yaml"])
Command = TypeVar("Command", bound=Callable[..., Any])
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"\d{1,6}|(\d{1,6}[smhd])+", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)

_CONNECTION = (
    click.option("--broker", metavar="URL", help="Broker.  [JOBRELAY_SOURCES]"),
    click.option("--instance", metavar="NAME", help="Installation.  [JOBRELAY_INSTANCE]"),
    click.option("--kubeconfig", metavar="FILE", help="Kubeconfig.  [JOBRELAY_KUBECONFIG]"),
    click.option("-n", "--namespace", metavar="NAME", help="Namespace of the Jobs.  [JOBRELAY_NAMESPACES]"),
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
    return click.option("--source", help="Source of the request, where several use this id.")(command)


def settings_from(connection: dict[str, Any]) -> Any:
    """The settings in force, with the options that `connects` adds. Raises `Misuse`."""
    from handler.commands.environment import Options, settings_of

    if connection.get("verbose"):
        logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s", force=True)
    return settings_of(Options(**connection, environ=os.environ))


def starts(command: Command) -> Command:
    """Add `--broker` to a command that starts a broker on this machine."""
    return click.option(
        "--broker", type=click.Choice(list(SERVERS)), default="nats", help="Broker to start.", show_default=True
    )(command)


def duration(text: str) -> timedelta:
    """Read `90` (seconds), `90s`, `15m`, `1h30m` or `7d`. Raises `click.BadParameter` for anything else."""
    if not _DURATION.fullmatch(text):
        raise click.BadParameter(f"{text!r} is no duration: seconds, or 90s, 15m, 1h30m, 7d")
    parts = re.findall(r"(\d+)([smhd]?)", text)
    return timedelta(seconds=sum(int(number) * _SECONDS[unit or "s"] for number, unit in parts))


def moment(text: str) -> datetime:
    """Read a time: RFC 3339, a day in UTC, or how long ago it was, as `duration` does. Raises `click.BadParameter`."""
    try:
        if _DURATION.fullmatch(text):
            return datetime.now(UTC) - duration(text)
        return parse_time(f"{text}T00:00:00Z" if _DAY.fullmatch(text) else text)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{text!r} is no time: 90s, 15m, 1h30m or 7d ago, a day such as 2026-01-31, or {EXAMPLE}"
        ) from None
