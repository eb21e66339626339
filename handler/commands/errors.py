"""How commands fail: a readable message on standard error and an exit code, no traceback."""

import signal
from collections.abc import Coroutine
from typing import Any

import click

from handler.visible import lines

OK = 0
FAILED = 1
MISUSED = 2
INTERRUPTED = 130


class Failed(click.ClickException):
    """The Job failed, the answer was no, or something was not found: exit code 1."""

    exit_code = FAILED

    def show(self, file: Any = None) -> None:
        """Write the message to standard error."""
        click.echo(lines(f"jobrelay: {self.message}"), file=file, err=True)


class Misuse(Failed):
    """Wrong usage or settings: exit code 2."""

    exit_code = MISUSED


def run(work: Coroutine[Any, Any, int]) -> int:
    """Run a command's coroutine and return its exit code; SIGTERM and SIGHUP cancel it.

    Errors of the broker, of the cluster and of the history become `Failed`, a mistake in their configuration `Misuse`.
    """
    import asyncio  # `--help` runs nothing

    async def cancellable() -> int:
        task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, lambda: task.cancel() if task else None)
        return await work

    try:
        return asyncio.run(cancellable())
    except asyncio.CancelledError:
        return 128 + signal.SIGTERM
    except Exception as error:
        known = _known(error)
        if known is None or known is error:
            raise
        raise known from error


def _known(error: Exception) -> click.ClickException | None:
    """The error to show to the user; None for a bug, which needs its traceback."""
    from adapters.base import BrokerError, BrokerUnavailable
    from handler.history.base import BadCursor, HistoryError, StoreRefused
    from k8s.base import ConfigError, KubernetesError

    kinds = (BrokerError, HistoryError, KubernetesError, click.ClickException)
    leaf = _first(error, kinds) if isinstance(error, ExceptionGroup) else error
    match leaf:
        case click.ClickException():
            return leaf
        case ConfigError() | StoreRefused():
            return Misuse(str(leaf))
        case BadCursor():
            return Misuse(f"BAD_CURSOR: {leaf}")
        case BrokerUnavailable():
            return Failed(f"{leaf}; `jobrelay check --connect` tells what is missing")
        case BrokerError() | HistoryError() | KubernetesError():
            return Failed(str(leaf))
        case _:
            return None


def _first(group: BaseExceptionGroup[BaseException], kinds: tuple[type[Exception], ...]) -> BaseException | None:
    """The first leaf of the group if all of its leaves are of these kinds, else None."""
    found, rest = group.split(kinds)
    if found is None or rest is not None:
        return None
    leaf: BaseException = found
    while isinstance(leaf, BaseExceptionGroup):
        leaf = leaf.exceptions[0]
    return leaf
