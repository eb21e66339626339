"""Helm makes of the chart what kustomize makes of the manifests, object for object and field for field."""

import pytest

from tests.k8s.deploy.chart.charts import COMPONENT, OVERLAY, joined, made, values_of
from tests.k8s.deploy.manifests import OVERLAYS, Objects, rendered
from tests.k8s.deploy.test_kustomize import in_order
from tests.k8s.deploy.test_manifests import COMPONENTS, OF_THE_PAGE

PAGE = [name.removeprefix("components/") for name in OF_THE_PAGE]
ALL = [*PAGE, "monitoring", "kueue", "namespaces", "pod-logs", "network-policy", "nats-creds", "broker-tls"]
CASES = {
    "nats": [
        [],
        *([*(["console/memory"] if name in PAGE else []), name] for name in COMPONENT if name != "keda/rabbitmq"),
        ["console/postgresql", *PAGE, "nats-creds", "broker-tls"],
        ["console/sqlite", "console/oauth2-proxy", "broker-tls"],
        ["keda/nats", "console/memory", *ALL],
    ],
    # What is the same on each broker is compared once.
    "rabbitmq": [
        [],
        ["console/memory"],
        ["console/postgresql", "console/oauth2-proxy"],
        ["keda/rabbitmq"],
        ["keda/rabbitmq", "console/sqlite", *ALL],
    ],
}


@pytest.mark.parametrize(
    ("overlay", "components"),
    [(overlay, components) for overlay in OVERLAYS for components in CASES[overlay]],
    ids=lambda given: given if isinstance(given, str) else "+".join(given) or "alone",
)
def test_the_chart_makes_what_kustomize_makes(overlay: str, components: list[str]) -> None:
    expected = in_order(rendered(f"overlays/{overlay}", *(f"components/{name}" for name in components)))
    given = in_order(made(values_of(overlay, *components)))
    assert given.keys() == expected.keys()
    assert {name: given[name] for name in given if given[name] != expected[name]} == {}


def test_each_overlay_and_each_component_is_compared() -> None:
    assert set(OVERLAY) == set(OVERLAYS)
    assert [f"components/{name}" for name in COMPONENT] == COMPONENTS
    compared = {name for cases in CASES.values() for case in cases for name in case}
    assert compared == COMPONENT.keys()


@pytest.mark.parametrize("console", [False, True], ids=["without-console", "with-console"])
def test_a_namespace_that_is_bound_gets_what_the_folder_for_namespaces_has(console: bool) -> None:
    components = ["console/memory", "namespaces"] if console else ["namespaces"]
    expected = dict(rendered("namespace"))
    if console:
        expected |= rendered("namespace/console")
    bound = joined(values_of("nats", *components), {"namespaces": {"bind": ["team-a"]}})
    assert in_namespace(made(bound), "team-a") == applied(expected, "team-a")
    assert in_namespace(made(values_of("nats", *components)), "team-a") == {}


def in_namespace(objects: Objects, namespace: str) -> Objects:
    return {name: found for name, found in objects.items() if found["metadata"].get("namespace") == namespace}


def applied(objects: Objects, namespace: str) -> Objects:
    """As `kubectl apply -n` sends them."""
    return {
        f"{name}@{namespace}": {**found, "metadata": {**found["metadata"], "namespace": namespace}}
        for name, found in objects.items()
    }
