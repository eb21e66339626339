"""Alerts and dashboard query only metrics that a process exposes, and have what an operator needs."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from handler.settings.settings import Settings
from handler.telemetry.metrics import Metrics
from tests.k8s.deploy.promql import named
from tests.paths import DEPLOY

COMPONENT = DEPLOY / "components" / "monitoring"
KUBECTL = shutil.which("kubectl")
TARGET = {"namespace", "pod", "container", "job", "endpoint", "instance"}
"""Labels that the Prometheus Operator adds to what it scrapes for a PodMonitor."""
SEVERITIES = {"critical", "warning"}


def exposed() -> dict[str, Mapping[str, Any]]:
    """Names of all samples, and the values that their labels may have."""
    metrics = Metrics()
    metrics.expect("nats")
    metrics.expect_history("nats")
    metrics.expect_namespaces(["jobs"])
    samples: dict[str, Mapping[str, Any]] = {}
    for family in metrics.registry.collect():
        bounds = metrics.bounds.get(family.name, {})
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
        for suffix in suffixes:
            samples[family.name + suffix] = {**bounds, **({"le": None} if suffix == "_bucket" else {})}
    # A process knows only its own role.
    roles = get_args(Settings.model_fields["role"].annotation)
    samples["jobrelay_build_info"] = {**samples["jobrelay_build_info"], "role": roles}
    return samples


SAMPLES = exposed()


def mistakes(expression: str) -> Iterator[str]:
    """Metrics, labels and values that no process exposes."""
    found = named(expression)
    if not found.selectors:
        yield f"no metric in {expression}"
    known: set[str] = set(TARGET)
    for selector in found.selectors:
        labels = SAMPLES.get(selector.metric)
        if labels is None:
            yield f"no metric {selector.metric}"
            continue
        known |= set(labels)
        for label, how, value in selector.matchers:
            if label not in labels:
                if label not in TARGET:
                    yield f"no label {label} on {selector.metric}"
            elif not any(
                (re.fullmatch(value, known_value) is not None) == (how in {"=", "=~"}) for known_value in labels[label]
            ):
                yield f'{selector.metric}{{{label}{how}"{value}"}} selects nothing'
    yield from (f"no label {label} in {expression}" for label in found.grouping - known)


def load(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((COMPONENT / name).read_text())
    return found


def rules() -> list[dict[str, Any]]:
    return [rule for group in load("alerts.yaml")["spec"]["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((COMPONENT / "jobrelay-dashboard.json").read_text())
    return found


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def test_mistakes_in_expressions_are_found() -> None:
    assert list(mistakes('sum by (code) (rate(jobrelay_messages_failed_total{code="FORBIDDEN"}[5m])) > 0')) == []
    for wrong in (
        "jobrelay_no_such_metric > 0",
        "rate(jobrelay_messages_failed[5m])",
        'jobrelay_messages_failed_total{reason="x"}',
        'jobrelay_messages_failed_total{code="NO_SUCH_CODE"}',
        'jobrelay_queue_length{topic=~"deaf.*"}',
        "sum by (phase) (jobrelay_leader)",
        "1 > 0",
    ):
        assert list(mistakes(wrong)), wrong
    for broken in ("sum(jobrelay_leader", "jobrelay_leader)", "jobrelay_leader ? 1"):
        with pytest.raises(ValueError, match=r"bracket|no PromQL"):
            named(broken)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_is_complete_and_queries_exposed_metrics(rule: dict[str, Any]) -> None:
    assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch("Jobrelay[A-Z][A-Za-z]+", rule["alert"])
    assert re.fullmatch(r"\d+[smh]", rule["for"])
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in SEVERITIES
    assert rule["annotations"].keys() == {"summary", "description"}
    assert len(rule["annotations"]["description"]) > 40
    assert list(mistakes(rule["expr"])) == []
    grouped = named(rule["expr"]).grouping or TARGET
    for label in re.findall(r"\$labels\.(\w+)", str(rule["annotations"])):
        assert label in grouped, "a label that the expression keeps"


def test_what_has_to_be_watched_has_an_alert() -> None:
    watched = {selector.metric for rule in rules() for selector in named(rule["expr"]).selectors}
    assert watched >= {
        "jobrelay_leader",
        "jobrelay_watch_age_seconds",
        "jobrelay_watch_failing",
        "jobrelay_queue_length",
        "jobrelay_publish_failures_total",
        "jobrelay_finalizers_pending_seconds",
        "jobrelay_intake_paused",
        "jobrelay_intake_namespace_paused",
        "jobrelay_broker_connected",
        "jobrelay_broker_storing",
        "jobrelay_broker_members_online",
        "jobrelay_loop_lag_seconds_bucket",
        "jobrelay_history_recording",
        "jobrelay_history_lag_seconds",
        "jobrelay_history_gap_total",
        "jobrelay_history_log_failures_total",
    }
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))


def test_every_panel_queries_exposed_metrics_and_has_a_unit() -> None:
    assert len(panels()) > 20
    for panel in panels():
        assert panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]
        for target in panel["targets"]:
            assert list(mistakes(target["expr"])) == [], panel["title"]
            assert target["legendFormat"], panel["title"]
            shown = set(re.findall(r"\{\{\s*(\w+)\s*\}\}", target["legendFormat"]))
            assert shown <= named(target["expr"]).grouping, f"{panel['title']}: legend"
    for annotation in dashboard()["annotations"]["list"]:
        assert list(mistakes(annotation["expr"])) == []


def test_every_metric_is_in_the_dashboard() -> None:
    expressions = [target["expr"] for panel in panels() for target in panel["targets"]]
    shown = {selector.metric for expression in expressions for selector in named(expression).selectors}
    families = {re.sub("_(bucket|sum|count)$", "", name) for name in shown}
    declared = {re.sub("_(bucket|sum|count)$", "", name) for name in SAMPLES if name.startswith("jobrelay_")}
    assert declared - families == set()


def test_the_dashboard_chooses_data_source_namespace_and_instance() -> None:
    made = dashboard()
    variables = {variable["name"]: variable for variable in made["templating"]["list"]}
    assert list(variables) == ["datasource", "namespace", "instance"]
    for name in ("namespace", "instance"):
        query = re.fullmatch(r"label_values\((.*), (\w+)\)", variables[name]["definition"])
        assert query is not None
        assert list(mistakes(query[1])) == []
        assert query[2] in TARGET
    used = set(re.findall(r"\$\{?(\w+)\}?", json.dumps(made))) - {"__rate_interval", "__all"}
    assert used == set(variables)
    for panel in panels():
        assert panel["datasource"]["uid"] == "${datasource}"


def test_panels_neither_overlap_nor_share_an_id() -> None:
    numbers = [panel["id"] for panel in dashboard()["panels"]]
    assert len(numbers) == len(set(numbers))
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_pods_of_every_role_are_scraped_where_they_serve() -> None:
    monitor = load("podmonitor.yaml")
    assert (monitor["apiVersion"], monitor["kind"]) == ("monitoring.coreos.com/v1", "PodMonitor")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert (endpoint["path"], endpoint["port"]) == ("/metrics", "http")
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    files = [*(f"base/{role}.yaml" for role in ("handler", "controller")), "components/console/memory/console.yaml"]
    for file in files:
        template = next(yaml.safe_load_all((DEPLOY / file).read_text()))["spec"]["template"]
        assert wanted <= template["metadata"]["labels"].items()
        ports = [port["name"] for container in template["spec"]["containers"] for port in container["ports"]]
        assert endpoint["port"] in ports


@pytest.mark.kubectl
@pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed: kustomize is not tried on the component")
def test_kustomize_renders_the_component(tmp_path: Path) -> None:
    assert KUBECTL is not None
    component = os.path.relpath(COMPONENT, tmp_path.resolve())
    (tmp_path / "kustomization.yaml").write_text(
        f"apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\ncomponents: ['{component}']\n"
    )
    done = subprocess.run(
        [KUBECTL, "kustomize", str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    made = {manifest["kind"]: manifest for manifest in yaml.safe_load_all(done.stdout)}
    assert set(made) == {"ConfigMap", "PodMonitor", "PrometheusRule"}
    assert {manifest["metadata"]["namespace"] for manifest in made.values()} == {"jobrelay"}
    config = made["ConfigMap"]
    assert config["metadata"]["name"] == "jobrelay-dashboard"
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(config["data"]["jobrelay-dashboard.json"]) == dashboard()
