"""Spans reach a collector, and an unreachable collector holds up nothing."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from adapters.memory import MemoryBroker
from handler.settings.settings import Settings
from handler.telemetry.otlp import tracing_of
from k8s.api.cluster import Cluster
from tests.handler.commandline import call_beside, make_environ
from tests.handler.jobs import run_through, without_finalizer
from tests.handler.relay import running
from tests.handler.samples import make_request
from tests.patience import within
from tests.processes import installation

TRACE = "0af7651916cd43dd8448eb211c80319c"
GIVEN = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}


class Collector:
    """An OTLP collector, over HTTP like a real collector."""

    def __init__(self) -> None:
        self.url = ""
        self.received: list[ResourceSpans] = []

    async def take(self, request: web.Request) -> web.Response:
        assert request.content_type == "application/x-protobuf"
        assert request.headers["x-tenant"] == "tests"
        message = ExportTraceServiceRequest.FromString(await request.read())
        self.received += message.resource_spans
        return web.Response(body=b"", content_type="application/x-protobuf")

    def resource(self) -> dict[str, str]:
        return {attribute.key: attribute.value.string_value for attribute in self.received[0].resource.attributes}

    def names(self, *, trace_id: str = TRACE) -> list[str]:
        spans = [span for group in self.received for scope in group.scope_spans for span in scope.spans]
        return sorted(span.name for span in spans if span.trace_id.hex() == trace_id)

    def environ(self) -> dict[str, str]:
        """The standard environment variables that point to this collector."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.url, "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=tests"}


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    collector = Collector()
    application = web.Application()
    application.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        collector.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield collector
    finally:
        await runner.cleanup()


EXPECTED = sorted(
    ["process jobrelay.requests", "create Job", "job wait", "job run", *["publish jobrelay.lifecycle"] * 3]
)


async def test_a_process_sends_all_its_spans_before_it_ends(tmp_path: Path) -> None:
    async with collecting() as collector, installation(tmp_path) as site:
        relay = await site.start_relay({"JOBRELAY_TRACING": "otlp", **collector.environ()})
        await run_through(site, make_request("p", attributes=GIVEN))
        await relay.stop()
        assert relay.exit_code == 0
    assert collector.names() == EXPECTED
    resource = collector.resource()
    assert (resource["service.name"], resource["service.namespace"]) == ("jobrelay", "jobrelay")
    assert resource["service.version"]


async def test_names_in_the_environment_take_precedence(
    broker: MemoryBroker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with collecting() as collector:
        environ = {**collector.environ(), "OTEL_SERVICE_NAME": "theirs", "OTEL_RESOURCE_ATTRIBUTES": "team=blue"}
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        stop = asyncio.Event()
        async with (
            tracing_of(Settings.from_env({"JOBRELAY_TRACING": "otlp"}), stop) as tracing,
            running(broker, cluster, tracing=tracing) as client,
        ):
            await client.publish(make_request("t", attributes=GIVEN))
            await client.ended("t")
            # The spans of a Job are made once the broker has confirmed its last event.
            await without_finalizer(cluster, "t")
    assert collector.names() == EXPECTED
    resource = collector.resource()
    assert (resource["service.name"], resource["team"]) == ("theirs", "blue")


@pytest.mark.stricter
async def test_a_collector_that_never_answers_holds_up_neither_work_nor_shutdown(
    broker: MemoryBroker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        stop = asyncio.Event()
        settings = Settings.from_env({"JOBRELAY_TRACING": "otlp", "JOBRELAY_DRAIN_SECONDS": "1"})
        async with tracing_of(settings, stop) as tracing:
            async with running(broker, cluster, tracing=tracing) as client:
                names = [f"r{number}" for number in range(3)]
                await client.publish(*map(make_request, names))
                for name in names:
                    await client.ended(name)
            stop.set()
            before = time.monotonic()
        assert time.monotonic() - before < within(2.9), "less than the exporter would take"
        assert "the last spans could not be sent within 1.0 s" in caplog.text
        for thread in threading.enumerate():
            if thread.name == "last spans":
                await asyncio.to_thread(thread.join)


async def test_a_missing_extra_is_a_mistake_in_the_configuration(tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import sys\n"
        "class Hide:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.startswith('opentelemetry.sdk'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Hide())\n"
    )
    python_path = os.pathsep.join([str(hidden), os.environ.get("PYTHONPATH", "")])
    environ = make_environ(tmp_path, JOBRELAY_TRACING="otlp", PYTHONPATH=python_path)
    for command in ("run", "check"):
        done = await call_beside(command, environ=environ)
        assert done.returncode == 2, done.stderr
        assert done.stderr.splitlines()[-1].endswith("pip install 'jobrelay[otlp]'")
        assert "Traceback" not in done.stderr


def test_without_tracing_the_sdk_is_not_even_imported() -> None:
    program = "import sys, handler.app; sys.exit(any(name.startswith('opentelemetry.sdk') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0


async def test_off_uses_a_tracer_provider_that_was_set_up_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    async with tracing_of(Settings.from_env({}), asyncio.Event()) as tracing:
        assert not tracing.active

    class Theirs(trace.TracerProvider):
        def get_tracer(self, *names: object, **options: object) -> trace.Tracer:
            return trace.NoOpTracer()

    monkeypatch.setattr(trace, "get_tracer_provider", Theirs)
    async with tracing_of(Settings.from_env({}), asyncio.Event()) as tracing:
        assert tracing.active
