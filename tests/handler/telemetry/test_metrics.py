"""Metrics follow the conventions of Prometheus, and no label has an undeclared value."""

import ast
import re
from collections.abc import Iterator

from prometheus_client import generate_latest

from adapters.base import Kind, Topic
from adapters.memory import MemoryBroker
from adapters.registry import BY_SCHEME
from events.phases import Phase
from handler.telemetry.metrics import REFUSALS, TOPICS, VERDICTS, Metrics
from k8s.api.cluster import Cluster
from tests.handler.relay import Client, running
from tests.handler.samples import make_command, make_request, until
from tests.paths import ROOT

HANDLER = ROOT / "handler"
COUNTS = {"queue_length", "queue_unsettled", "messages_in_flight", "jobs", "jobs_newer_format", "finalizers_pending"}
COUNTS |= {"work_queue_length", "asyncio_tasks", "usage_jobs", "functions", "jobs_queued", "page_streams"}
COUNTS |= {"events_waiting", "broker_members", "broker_members_online", "broker_members_wanted"}
FLAGS = {
    "intake_paused",
    "intake_full",
    "intake_namespace_paused",
    "watch_failing",
    "leader",
    "broker_connected",
    "broker_storing",
    "ready",
    "functions_reload_failed",
    "history_recording",
}


def unbounded(metrics: Metrics) -> Iterator[str]:
    """Samples that have an undeclared label, or an undeclared value of a label."""
    for family in metrics.registry.collect():
        bounds = metrics.bounds.get(family.name, {})
        for sample in family.samples:
            labels = {name: value for name, value in sample.labels.items() if name != "le"}
            if family.name.startswith("jobrelay_") and (
                set(labels) != set(bounds) or any(value not in bounds[name] for name, value in labels.items())
            ):
                yield f"{sample.name}{labels}"


def test_names_help_and_units_follow_the_conventions_of_prometheus() -> None:
    metrics = Metrics()
    families = list(metrics.registry.collect())
    assert len(families) > 30
    for family in families:
        if not family.name.startswith("jobrelay_"):
            assert family.name.startswith(("process_", "python_"))
            continue
        assert family.documentation.endswith("."), family.name
        if family.type == "counter":
            assert f"\n# TYPE {family.name}_total counter\n" in generate_latest(metrics.registry).decode()
        elif family.type == "gauge":
            name = family.name.removeprefix("jobrelay_")
            assert name in COUNTS | FLAGS or name.endswith(("_seconds", "_info", "_ratio")), family.name
        else:
            assert family.type == "histogram"
            assert family.name.endswith("_seconds")


def test_every_metric_is_declared_with_the_values_of_its_labels() -> None:
    metrics = Metrics()
    declared = {family.name for family in metrics.registry.collect() if family.name.startswith("jobrelay_")}
    assert declared == set(metrics.bounds)
    sizes = [len(values) for labels in metrics.bounds.values() for values in labels.values()]
    assert max(sizes) <= 20
    assert list(unbounded(metrics)) == []
    metrics.messages_failed.labels("nats", "request-4711").inc()
    assert len(list(unbounded(metrics))) == 2, "undeclared values are noticed (in _total and in _created)"


def test_process_metrics_are_there() -> None:
    exposed = generate_latest(Metrics(role="handler").registry).decode()
    for name in ("process_resident_memory_bytes", "process_open_fds", "process_cpu_seconds_total", "python_info"):
        assert f"\n{name}" in exposed
    assert re.search(r'^jobrelay_build_info\{role="handler",version="[^"]+"\} 1\.0$', exposed, re.MULTILINE)


def test_counters_exist_before_they_count() -> None:
    metrics = Metrics()
    metrics.expect("nats")
    value = metrics.registry.get_sample_value
    assert value("jobrelay_messages_processed_total", {"broker": "nats"}) == 0
    for code in REFUSALS:
        assert value("jobrelay_messages_failed_total", {"broker": "nats", "code": code}) == 0
    for code in VERDICTS:
        assert value("jobrelay_verdicts_total", {"code": code}) == 0


def test_all_error_codes_in_the_code_are_declared() -> None:
    """Looks for calls `Rejection("CODE", …)`, `Taken("CODE", …)` and `Verdict(…)`, and for the codes of admission."""
    found: dict[str, set[str]] = {"Rejection": set(), "Taken": set(), "Verdict": set()}
    for name in ("effects/deliveries.py", "intake/requests.py", "effects/launcher.py", "controller/verdicts.py"):
        for node in ast.walk(ast.parse((HANDLER / name).read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in found:
                given = [*node.args, *(keyword.value for keyword in node.keywords)]
                constants = [argument.value for argument in given if isinstance(argument, ast.Constant)]
                found[node.func.id] |= {text for text in constants if isinstance(text, str) and text.isupper()}
    assert len(found["Rejection"]) > 5
    assert found["Rejection"] | found["Taken"] <= set(REFUSALS)
    assert found["Verdict"] | {"CANCELLED"} | codes_of_admission() == set(VERDICTS)
    brokers = Metrics().bounds["jobrelay_broker_connected"]["broker"]
    assert {*(adapter.name for adapter in BY_SCHEME.values()), "memory"} == set(brokers)


def codes_of_admission() -> set[str]:
    """Identifiers in capitals among the texts in admission, which makes verdicts of its own."""
    nodes = [node for file in (HANDLER / "admission").glob("*.py") for node in ast.walk(ast.parse(file.read_text()))]
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return {
        text
        for text in texts
        if text.isupper() and text.isidentifier() and len(text) > 1 and not text.startswith("JOBRELAY_")
    }


async def test_all_kinds_of_outcomes_leave_only_declared_labels(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster, images=("busybox:*",)) as client:
        metrics = client.state.metrics
        broker.put(Topic(Kind.REQUESTS, "high"), {}, b"garbage")
        await client.publish(
            make_request("good", attributes={"time": "2020-01-01T00:00:00Z"}),
            make_request("good"),
            make_request("stop", script="sleep 600"),
            make_request("evil", job={"image": "other"}),
        )
        await client.reached("stop", "started")
        await client.command(make_command("cancel", "stop"))
        await client.command(make_command("dance", "stop", event_id="c2"))
        await client.ended("stop")
        await client.ended("good")
        await client.reached("evil", "rejected")
        await client.reached("c2", "rejected")
        await counted(client, 2)
        await client.state.measure()
        assert list(unbounded(metrics)) == []
        value = metrics.registry.get_sample_value
        assert value("jobrelay_messages_in_flight", {"broker": "memory"}) == 0
        assert value("jobrelay_broker_connected", {"broker": "memory"}) == 1
        assert value("jobrelay_leader_terms_total") == 1
        assert value("jobrelay_event_age_seconds_count") == 1, "only one of the events has a time"
        assert (value("jobrelay_event_age_seconds_sum") or 0) > 10**8
        delays = value("jobrelay_lifecycle_delay_seconds_count")
        phases = [str(phase) for phase in Phase if phase is not Phase.REJECTED]
        assert delays == sum(value("jobrelay_lifecycle_published_total", {"phase": phase}) or 0 for phase in phases)
        assert value("jobrelay_lifecycle_delay_seconds_bucket", {"le": "30.0"}) == delays
        assert {str(topic) for topic in await broker.depth()} == set(TOPICS)
        assert value("jobrelay_ready") == 1


async def counted(client: Client, failed: int) -> None:
    value = client.state.metrics.registry.get_sample_value

    async def look() -> bool:
        found = [value("jobrelay_messages_failed_total", {"broker": "memory", "code": code}) for code in REFUSALS]
        return sum(count or 0 for count in found) == failed

    await until(look)
