"""What Helm makes of the chart, and the values that stand for each component of the manifests."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest
import yaml

from tests.k8s.deploy.manifests import NAMESPACE, Object, Objects, by_name
from tests.paths import DEPLOY

Values = dict[str, Any]

CHART = DEPLOY / "chart"
ROLES = ("handler", "controller", "console")
OVERLAY: Mapping[str, Values] = {"nats": {}, "rabbitmq": {"broker": {"kind": "rabbitmq"}}}
COMPONENT: Mapping[str, Values] = {
    "broker-tls": {"broker": {"tls": {"enabled": True}}},
    "console/ingress": {"console": {"ingress": {"enabled": True}}},
    "console/memory": {"console": {"enabled": True}},
    "console/oauth2-proxy": {"console": {"oauth2Proxy": {"enabled": True}}},
    "console/postgresql": {"console": {"enabled": True, "database": "postgresql"}},
    "console/sqlite": {"console": {"enabled": True, "database": "sqlite"}},
    "keda/nats": {"keda": {"enabled": True}},
    "keda/rabbitmq": {"keda": {"enabled": True}},
    "kueue": {"kueue": {"enabled": True}},
    "monitoring": {"monitoring": {"enabled": True}},
    "namespaces": {"namespaces": {"enabled": True}},
    "nats-creds": {"broker": {"natsCreds": {"enabled": True}}},
    "network-policy": {"networkPolicy": {"enabled": True}},
    "pod-logs": {"podLogs": {"enabled": True}},
}


def helm() -> Any:
    """Helm's own library, which is no wheel everywhere; 85 MB that only these tests load."""
    return pytest.importorskip("helm_python", reason="helm-python-sdk has no wheel for this platform")


@cache
def chart() -> Any:
    """The chart, loaded once."""
    return helm().Chart.load(CHART)


def values_of(overlay: str, *components: str) -> Values:
    """The values that stand for an overlay and its components.

    The Namespace is among the objects, as kustomize has it, and the volume has no annotation that Helm alone reads.
    """
    values: Values = {"createNamespace": True, "console": {"storage": {"keep": False}}}
    for part in (OVERLAY[overlay], *(COMPONENT[name] for name in components)):
        values = joined(values, part)
    return values


def joined(values: Values, more: Values) -> Values:
    """Both, where those of `more` win."""
    both = {**values, **more}
    for name in values.keys() & more.keys():
        if isinstance(values[name], dict) and isinstance(more[name], dict):
            both[name] = joined(values[name], more[name])
    return both


def made(values: Values, *, namespace: str = NAMESPACE) -> Objects:
    """The objects, as a release called jobrelay has them. Raises `HelmError` for values that the chart refuses."""
    found: list[Object] = []
    for path, text in templates(values, namespace=namespace).items():
        if path.endswith(".yaml"):
            found += _objects(text)
    return by_name(found, namespace)


def of_kind(objects: Objects, kind: str) -> list[Object]:
    return [manifest for manifest in objects.values() if manifest["kind"] == kind]


def pod(objects: Objects, role: str) -> Object:
    """The pod of a role's Deployment."""
    spec: Object = objects[f"Deployment/jobrelay-{role}"]["spec"]["template"]["spec"]
    return spec


def data_of_settings(values: Values, *, namespace: str = NAMESPACE) -> dict[str, str]:
    """What the ConfigMap of the settings holds."""
    (config,) = _objects(templates(values, namespace=namespace)["jobrelay/templates/settings.yaml"])
    data: dict[str, str] = config["data"]
    return data


def templates(values: Values, *, namespace: str = NAMESPACE) -> dict[str, str]:
    """The text that each template makes, by its path. Raises `HelmError` for values that the chart refuses."""
    found: dict[str, str] = chart().render(values, name="jobrelay", namespace=namespace)
    return found


def _objects(text: str) -> list[Object]:
    return [document for document in yaml.load_all(text, yaml.CSafeLoader) if document]
