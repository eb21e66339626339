"""`jobrelay run`: the service itself, until SIGTERM or SIGINT."""

import asyncio
import gc
import signal
from collections.abc import Awaitable
from typing import Protocol

from events.functions.file import InvalidFunctions
from handler.commands.errors import OK, Failed, Misuse
from handler.console.security.files import FileRefused
from handler.history import extra
from handler.history.base import StoreRefused
from handler.settings.connections import broker_of
from handler.settings.settings import Settings
from handler.telemetry import logs, otlp
from handler.telemetry.connections import AddressRefused


class Run(Protocol):
    """Runs a process until `stop` is set, then drains it."""

    def __call__(self, settings: Settings, *, stop: asyncio.Event) -> Awaitable[None]: ...


async def serve(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT, then drain. A second signal ends the process at once. Raises `Misuse`, `Failed`."""
    try:
        for url in settings.sources:
            broker_of(settings, url)
        otlp.require(settings)
        run = _role(settings)
    except RuntimeError as error:  # a library is not installed
        raise Misuse(str(error)) from error
    logs.configure(form=settings.log_format, level=settings.log_level)
    _collect_garbage_rarely()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)

    def stop_once() -> None:
        stop.set()
        for number in numbers:
            loop.remove_signal_handler(number)
            # For SIGINT too: Python's own handler would wait for the event loop.
            signal.signal(number, signal.SIG_DFL)

    for number in numbers:
        loop.add_signal_handler(number, stop_once)
    try:
        await run(settings, stop=stop)
    except (InvalidFunctions, StoreRefused, FileRefused) as error:
        raise Misuse(str(error)) from error
    except AddressRefused as error:
        raise Failed(str(error)) from error
    return OK


def _role(settings: Settings) -> Run:
    """What runs the process; only that is imported. Raises `RuntimeError` when a library that it needs is missing."""
    if settings.records:
        extra.require()
        from handler.console import console

        return console.run
    from handler import app

    return app.run


def _collect_garbage_rarely() -> None:
    """Collect garbage rarely: what start-up made stays for good, and requests leave hardly any reference cycles behind.

    With Python's default thresholds, collections that find nothing take a quarter of the time of each request.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
