"""The chart as a package: linted, complete without the project around it, and of the project's version."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.pages import Page
from tests.k8s.deploy.chart.charts import CHART, COMPONENT, OVERLAY, Values, helm, joined, made, values_of
from tests.k8s.deploy.environs import settings_of
from tests.k8s.deploy.manifests import NAMESPACE, containers
from tests.paths import DEPLOY, ROOT

WARNING = 2
"""Severities from here on are worse than advice, such as that of an icon."""
ALL = [name for name in COMPONENT if not name.startswith("keda/")]


def test_the_chart_is_released_with_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["name"], chart["version"], chart["appVersion"]) == (project["name"], *[project["version"]] * 2)
    assert (chart["home"], chart["sources"]) == (project["urls"]["Homepage"], [project["urls"]["Source"]])
    assert (chart["description"], chart["keywords"]) == (project["description"], project["keywords"])


@pytest.mark.parametrize("values", [{}, *(values_of(broker, *ALL, f"keda/{broker}") for broker in OVERLAY)])
def test_helm_has_nothing_to_warn_of(values: Values) -> None:
    report = helm().lint(CHART, values, strict=True, namespace=NAMESPACE)
    assert report["errors"] == []
    assert [found for found in report["messages"] if found["severity"] >= WARNING] == []


def test_a_package_makes_the_same_without_the_files_it_is_linked_to(tmp_path: Path) -> None:
    archive = helm().package(CHART, destination=tmp_path)
    values = values_of("nats", *ALL, "keda/nats")
    assert rendered_by(archive, values) == rendered_by(CHART, values)
    with helm().Chart.load(archive) as chart:
        packed = {found["name"]: found["data"] for found in chart.files}
    for name, source in LINKS.items():
        assert packed[f"files/{name}"], name
        assert (CHART / "files" / name).resolve() == source, "one source, no copy"


LINKS = {
    "alerts.yaml": DEPLOY / "components" / "monitoring" / "alerts.yaml",
    "jobrelay-dashboard.json": DEPLOY / "components" / "monitoring" / "jobrelay-dashboard.json",
    "functions.yaml": DEPLOY / "base" / "functions.yaml",
}


def rendered_by(chart: Any, values: Values) -> dict[str, str]:
    with helm().Chart.load(chart) as loaded:
        found: dict[str, str] = loaded.render(values, name="jobrelay", namespace=NAMESPACE)
    return found


def test_notes_say_which_secrets_are_yours() -> None:
    page = joined(values_of("rabbitmq", "console/memory"), {"broker": {"secret": "mine"}})
    notes = rendered_by(CHART, page)["jobrelay/templates/NOTES.txt"]
    assert "create secret generic mine --from-literal=JOBRELAY_SOURCES=amqp://" in notes
    assert "create secret generic jobrelay-page" in notes
    assert "svc/jobrelay-console" in notes
    plain = rendered_by(CHART, {})["jobrelay/templates/NOTES.txt"]
    assert "create secret" not in plain
    assert "jobrelay check --connect" in plain


def test_the_values_that_k8s_readme_shows_are_the_overlay_that_it_shows() -> None:
    (text,) = [block for block in Page(ROOT / "k8s" / "README.md").code("yaml") if block.startswith("# values.yaml\n")]
    objects = made(helm().values_from_yaml(text))
    assert containers(objects["Deployment/jobrelay-handler"])[0]["image"] == "registry.example/jobrelay:0.1.0"
    settings = settings_of(objects, "handler")
    assert (settings.images, settings.nats_replicas) == (("registry.example/*",), 3)
    assert {"ScaledObject/jobrelay-handler", "NetworkPolicy/jobrelay"} <= objects.keys()
