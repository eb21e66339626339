"""Each log line about a request names its event, request, Job and trace."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from adapters.base import Kind, Topic
from adapters.memory import MemoryBroker
from handler.telemetry import logcontext
from handler.telemetry.logs import JsonFormatter, TextFormatter, configure
from k8s.api.cluster import Cluster, Created
from k8s.base import Manifest, QuotaExceeded
from tests.handler.cost import seconds_of
from tests.handler.jobs import run_through, without_finalizer
from tests.handler.relay import running
from tests.handler.samples import make_command, make_request, until
from tests.long import examples
from tests.processes import installation

WORKERS = {
    "handler.intake.intake",
    "handler.controller.controller",
    "handler.controller.published",
    "handler.controller.control",
}
"""Loggers that write only about requests."""
LIMIT_SECONDS = 5e-6


def traceparent(number: int) -> str:
    return f"00-{number:032x}-{number:016x}-01"


@contextmanager
def logged(formatter: logging.Formatter) -> Iterator[io.StringIO]:
    """Yields everything that is logged at INFO or above in the block."""
    output = io.StringIO()
    handler = logging.StreamHandler(output)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield output
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def lines_of(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def about(lines: list[dict[str, Any]], job_id: str) -> list[dict[str, Any]]:
    return [line for line in lines if line.get("job_id") == job_id]


async def test_lines_of_concurrent_requests_each_have_their_own_ids(broker: MemoryBroker, cluster: Cluster) -> None:
    names = [f"r{number}" for number in range(1, 9)]
    with logged(JsonFormatter()) as output:
        async with running(broker, cluster) as client:
            requests = [
                make_request(name, attributes={"traceparent": traceparent(number)})
                for number, name in enumerate(names, start=1)
            ]
            await client.publish(*requests)
            await asyncio.gather(*(client.ended(name) for name in names))
            # The line of an event is written once the broker has confirmed it.
            await asyncio.gather(*(without_finalizer(cluster, name) for name in names))
    lines = lines_of(output.getvalue())
    assert [line for line in lines if line["logger"] in WORKERS and "job_id" not in line] == []
    for number, name in enumerate(names, start=1):
        mine = about(lines, name)
        assert {line["event_id"] for line in mine} == {f"event-{name}"}
        assert {line["trace_id"] for line in mine} == {f"{number:032x}"}
        assert len({line["job"] for line in mine}) == 1
        assert {line["namespace"] for line in mine} == {"default"}
        assert {line["message"] for line in mine} >= {"created", "started", "succeeded"}


async def test_lines_of_refusals_and_commands_have_the_ids_that_are_known(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    with logged(JsonFormatter()) as output:
        async with running(broker, cluster, images=("busybox:*",)) as client:
            broker.put(Topic(Kind.REQUESTS), {}, b"garbage")
            await client.publish(make_request("evil", job={"image": "other"}, attributes={"traceparent": "nonsense"}))
            await client.command(make_command("resume", "evil", event_id="c-1", traceparent=traceparent(7)))
            await client.reached("evil", "rejected")

            async def is_logged() -> bool:
                return "INVALID_EVENT" in output.getvalue()

            await until(is_logged)
            await client.publish(make_request("held", script="sleep 600"))
            await client.reached("held", "started")
            await client.command(make_command("cancel", "held", event_id="c-2", traceparent=traceparent(8)))
            await client.ended("held")
    lines = lines_of(output.getvalue())
    (garbage,) = [line for line in lines if line.get("code") == "INVALID_EVENT"]
    assert garbage["message_id"].startswith("requests/")
    assert "job_id" not in garbage
    (rejected,) = [line for line in lines if line.get("code") == "FORBIDDEN"]
    assert (rejected["event_id"], rejected["job_id"]) == ("event-evil", "evil")
    assert "trace_id" not in rejected, "an invalid traceparent names no trace"
    (command,) = [line for line in lines if line["message"] == "cancel accepted"]
    assert (command["event_id"], command["job_id"], command["trace_id"]) == ("c-2", "held", f"{8:032x}")


class Talkative:
    """A cluster whose first creation of a Job logs a line, as lower layers do, and is refused by a quota."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._first = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cluster, name)

    async def create_job(self, manifest: Manifest) -> Created:
        if self._first:
            self._first = False
            logging.getLogger("k8s.api.cluster").warning("below")
            raise QuotaExceeded("quota: pods=1")
        return await self._cluster.create_job(manifest)


async def test_lines_of_lower_layers_have_the_ids_too(broker: MemoryBroker, cluster: Cluster) -> None:
    talkative: Any = Talkative(cluster)
    with logged(JsonFormatter()) as output:
        async with running(broker, talkative, quota_delay=1) as client:
            await client.publish(make_request("low", attributes={"traceparent": traceparent(3)}))
            await client.ended("low")
    (below,) = [line for line in lines_of(output.getvalue()) if line["message"] == "below"]
    assert (below["event_id"], below["job_id"], below["trace_id"]) == ("event-low", "low", f"{3:032x}")


async def test_the_text_format_names_only_request_and_job(broker: MemoryBroker, cluster: Cluster) -> None:
    with logged(TextFormatter()) as output:
        async with running(broker, cluster) as client:
            await client.publish(make_request("text", attributes={"traceparent": traceparent(1)}))
            await client.ended("text")
            await without_finalizer(cluster, "text")
    (line,) = [line for line in output.getvalue().splitlines() if "succeeded" in line]
    assert " job_id=text job=tests-" in line
    assert "trace_id" not in line


async def test_a_process_writes_a_json_object_per_line_with_the_ids(tmp_path: Path) -> None:
    async with installation(tmp_path) as site:
        relay = await site.start_relay({"JOBRELAY_LOG_FORMAT": "json"})
        await run_through(site, make_request("p", attributes={"traceparent": traceparent(5)}))
        await relay.stop()
        lines = lines_of((tmp_path / "jobrelay.log").read_text())
    mine = about(lines, "p")
    assert {line["message"] for line in mine} >= {"created", "started", "succeeded"}
    assert {(line["event_id"], line["trace_id"]) for line in mine} == {("event-p", f"{5:032x}")}
    assert [line for line in lines if line["logger"] in WORKERS and line not in mine] == []


@pytest.mark.parametrize("text", [None, 7, "", "00-xyz", traceparent(1).upper() + "-", "0" * 55])
def test_an_invalid_traceparent_names_no_trace(text: object) -> None:
    assert logcontext.trace_id(text) is None


def test_keeping_the_ids_of_an_event_costs_almost_nothing() -> None:
    event = make_request(attributes={"traceparent": traceparent(1)})

    def keep_ids() -> None:
        logcontext.about(message_id="m")
        logcontext.also_event(event)
        logcontext.also(job_id="a", namespace="b", job="c")

    assert seconds_of(keep_ids) < LIMIT_SECONDS


def test_fields_of_a_line_follow_those_of_its_task_and_replace_them() -> None:
    logcontext.about(message_id="m", job_id="a", namespace=None)
    logcontext.also(job="j", job_id="b")
    made = logging.makeLogRecord({"msg": "said", "job": "k", "code": None})
    found = json.loads(JsonFormatter().format(made))
    expected = ["time", "level", "logger", "message", "message_id", "job_id", "job", "code"]
    assert [*found] == expected, "a field that is not known is left out, and one that says None is not"
    assert (found["job_id"], found["job"], found["code"]) == ("b", "k", "None")


# Also the last half of a microsecond of a second: it rounds to the next.
@given(st.integers(1, 2**32), st.sampled_from((0.0, 0.0009995, 0.0009994, 0.9999994, 0.9999996)) | st.floats(0, 1))
@settings(max_examples=examples(400), deadline=None)
def test_the_time_of_a_line_is_that_of_its_record(second: int, fraction: float) -> None:
    created = second + fraction
    made = logging.makeLogRecord({"msg": "said", "created": created})
    found = json.loads(JsonFormatter().format(made))["time"]
    assert found == datetime.fromtimestamp(created, UTC).isoformat(timespec="milliseconds")
    here = datetime.fromtimestamp(created).time().isoformat("milliseconds")
    assert TextFormatter().format(made).startswith(f"{here} ")


def test_debug_lines_are_those_of_jobrelay_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    output, root = io.StringIO(), logging.getLogger()
    monkeypatch.setattr("sys.stderr", output)
    monkeypatch.setattr(root, "handlers", [])
    levels = {name: logging.getLogger(name).level for name in ("", "events", "adapters", "k8s", "handler")}
    for name in ("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks", "_srcfile"):
        if hasattr(logging, name):
            monkeypatch.setattr(logging, name, getattr(logging, name))
    logcontext.about()
    try:
        configure(form="text", level="DEBUG")
        for name in ("some.client", "handler.intake.pressure"):
            logging.getLogger(name).debug("debug of %s", name)
            logging.getLogger(name).info("info of %s", name)
        configure(form="text", level="ERROR")
        logging.getLogger("handler.intake.pressure").warning("a warning")
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
    said = [line.partition(": ")[2] for line in output.getvalue().splitlines()]
    assert said == ["info of some.client", "debug of handler.intake.pressure", "info of handler.intake.pressure"]
