"""`jobrelay run`: the service itself, until SIGTERM or SIGINT."""

import asyncio
import gc
import signal

from events.functions.functions import InvalidFunctions
from handler import app
from handler.commands.errors import OK, Failed, Misuse
from handler.settings.connections import broker_of
from handler.settings.settings import Settings
from handler.telemetry import logs, otlp


async def serve(settings: Settings) -> int:
    """Run and drain. The first signal asks it to stop, the second ends the process by that signal."""
    try:
        for url in settings.sources:
            broker_of(settings, url)
        otlp.require(settings)
    except RuntimeError as error:  # a library is not installed
        raise Misuse(str(error)) from error
    logs.configure(form=settings.log_format, level=settings.log_level)
    _calm_collector()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)

    def ask() -> None:
        stop.set()
        for number in numbers:
            loop.remove_signal_handler(number)
            # Also SIGINT: Python's own handler would still wait for the loop.
            signal.signal(number, signal.SIG_DFL)

    for number in numbers:
        loop.add_signal_handler(number, ask)
    try:
        await app.run(settings, stop=stop)
    except InvalidFunctions as error:
        raise Misuse(str(error)) from error
    except OSError as error:
        raise Failed(f"cannot serve {settings.http_address}: {error.strerror or error}") from error
    return OK


def _calm_collector() -> None:
    """Collect garbage seldom: what start-up made stays, and of what an event makes hardly anything is in a cycle.

    With Python's own thresholds a quarter of the time per request goes into collections that find nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
