"""Sends spans to an OpenTelemetry collector, beside the work and without delaying it. tracing.py makes the spans."""

import asyncio
import importlib.util
import logging
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from opentelemetry import trace

from handler import version
from handler.settings.settings import Settings
from handler.telemetry.tracing import Tracing
from k8s.background import beside

if TYPE_CHECKING:  # an optional extra
    from opentelemetry.sdk.trace import TracerProvider

logger = logging.getLogger(__name__)

FLUSH_FLOOR = 1.0
"""Seconds that sending the last spans may take even when draining has used up its time."""
_NEEDED = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter")


def require(settings: Settings) -> None:
    """Raises `RuntimeError` when spans are wanted and the libraries that send them are not installed."""
    if settings.tracing == "otlp" and not all(map(_installed, _NEEDED)):
        raise RuntimeError("JOBRELAY_TRACING=otlp needs the OpenTelemetry SDK: pip install 'jobrelay[otlp]'")


@asynccontextmanager
async def tracing_of(settings: Settings, stop: asyncio.Event) -> AsyncIterator[Tracing]:
    """Tracing as the settings want it. The standard variables `OTEL_*` say where spans are sent to, and how.

    With `off`, spans go to the SDK that was set up from outside (`opentelemetry-instrument`), if any. Otherwise the
    last spans are sent at the end, within what is left of the drain time since `stop`; what cannot be sent is dropped.
    """
    if settings.tracing == "off":
        known = trace.get_tracer_provider()
        silent = isinstance(known, trace.ProxyTracerProvider | trace.NoOpTracerProvider)
        yield Tracing(None if silent else known, instance=settings.instance)
        return
    stopped: float | None = None

    async def note_stop() -> None:
        nonlocal stopped
        await stop.wait()
        stopped = time.monotonic()

    provider = _provider(settings)
    try:
        async with beside(note_stop()):
            yield Tracing(provider, instance=settings.instance)
    finally:
        used = 0.0 if stopped is None else time.monotonic() - stopped
        await _finish(provider, within=max(FLUSH_FLOOR, settings.drain_seconds - used))


def _provider(settings: Settings) -> "TracerProvider":
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    ours = Resource(
        {
            "service.name": "jobrelay" if settings.role == "both" else f"jobrelay-{settings.role}",
            "service.namespace": settings.instance,
            "service.version": version(),
        }
    )
    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES take precedence.
    resource = Resource.create(dict(ours.merge(OTELResourceDetector().detect()).attributes))
    # No flush when the interpreter exits: that would wait for a collector that does not answer.
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


async def _finish(provider: "TracerProvider", *, within: float) -> None:
    """Send what is left. In a thread: the SDK blocks while it waits, and for longer than we may."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def finish() -> None:
        provider.shutdown()
        with suppress(RuntimeError):  # Too late: the loop is closed.
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=finish, name="last spans", daemon=True).start()
    try:
        async with asyncio.timeout(within):
            await done.wait()
    except TimeoutError:
        logger.warning("the last spans could not be sent within %.1f s", within)


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # Not even its parent package is there.
        return False
