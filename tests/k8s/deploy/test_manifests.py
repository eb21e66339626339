"""The manifests: valid for a strict API server, restricted by Pod Security's standard, consistent with each other."""

import json
import tomllib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from kubernetes_asyncio import client as models

from handler.settings.settings import Settings
from handler.telemetry.metrics import Metrics
from handler.telemetry.state import State
from handler.telemetry.web import serve
from k8s.devcluster.resources import Resource
from k8s.devcluster.rules.fields import decode
from tests.k8s.deploy.environs import settings_of
from tests.k8s.deploy.manifests import NAMESPACE, OVERLAYS, Object, Objects, containers, rendered
from tests.paths import DEPLOY

COMPONENTS = sorted(
    str(path.parent.relative_to(DEPLOY)) for path in (DEPLOY / "components").rglob("kustomization.yaml")
)
PLAIN = [(f"overlays/{overlay}",) for overlay in OVERLAYS]
CONSOLE = "components/console/memory"
OF_THE_PAGE = ("components/console/ingress", "components/console/oauth2-proxy")
"""They change a console, which stands before them."""
ADDED = [(*((CONSOLE,) if component in OF_THE_PAGE else ()), component) for component in COMPONENTS]
EVERYTHING = [*PLAIN, *(("overlays/nats", *components) for components in ADDED), ("namespace",)]
GIVEN_BY_THE_OPERATOR = {
    f"Secret/jobrelay-{name}"
    for name in ("broker", "nats-creds", "broker-tls", "history", "page", "page-tls", "oauth2-proxy")
}
FOREIGN = ("keda.sh/", "kueue.x-k8s.io/", "monitoring.coreos.com/")
"""API groups that are no part of Kubernetes."""
MODELS = {
    "Namespace": "V1Namespace",
    "ServiceAccount": "V1ServiceAccount",
    "Role": "V1Role",
    "RoleBinding": "V1RoleBinding",
    "ClusterRole": "V1ClusterRole",
    "Deployment": "V1Deployment",
    "PodDisruptionBudget": "V1PodDisruptionBudget",
    "Service": "V1Service",
    "ConfigMap": "V1ConfigMap",
    "NetworkPolicy": "V1NetworkPolicy",
    "PersistentVolumeClaim": "V1PersistentVolumeClaim",
    "StatefulSet": "V1StatefulSet",
    "Ingress": "V1Ingress",
}

# Made without its constructor, which opens connections.
_READER = object.__new__(models.ApiClient)
_READER.configuration = models.Configuration()

each_overlay = pytest.mark.parametrize("given", PLAIN, ids=lambda given: given[0])
each = pytest.mark.parametrize("given", EVERYTHING, ids="+".join)


def workloads(objects: Objects) -> list[Object]:
    return [manifest for manifest in objects.values() if manifest["kind"] == "Deployment"]


def pod_labels(workload: Object) -> dict[str, str]:
    labels: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return labels


def selected(objects: Objects, labels: dict[str, str]) -> set[str]:
    chosen = [workload for workload in workloads(objects) if labels.items() <= pod_labels(workload).items()]
    return {workload["metadata"]["name"] for workload in chosen}


@each
def test_every_field_is_known_to_kubernetes_and_no_required_field_is_missing(given: tuple[str, ...]) -> None:
    for name, manifest in rendered(*given).items():
        if manifest["apiVersion"].startswith(FOREIGN):
            continue
        kind = Resource(plural="", singular="", kind=manifest["kind"], group="", model=MODELS[manifest["kind"]])
        # Raises Undecodable for a wrong type.
        decoded, unknown = decode(kind, manifest)
        assert (name, unknown) == (name, [])
        # Raises ValueError for a required field that is missing.
        answer: Any = SimpleNamespace(data=json.dumps(decoded))
        _READER.deserialize(answer, MODELS[manifest["kind"]])


@each_overlay
def test_all_objects_are_in_the_namespace_that_is_created_with_them(given: tuple[str, ...]) -> None:
    objects = rendered(*given)
    assert f"Namespace/{NAMESPACE}" in objects
    others = [manifest for manifest in objects.values() if manifest["kind"] != "Namespace"]
    assert {manifest["metadata"].get("namespace") for manifest in others} == {NAMESPACE}


@each
def test_pods_are_restricted(given: tuple[str, ...]) -> None:
    """More than Pod Security's restricted level asks: also a read-only root, a numeric user and a memory limit."""
    for workload in workloads(rendered(*given)):
        pod = workload["spec"]["template"]["spec"]
        assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC", "initContainers"}
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] == context["runAsGroup"] == 65532
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        kinds = {kind for volume in pod.get("volumes", ()) for kind in volume if kind != "name"}
        assert kinds <= {"secret", "configMap", "persistentVolumeClaim"}
        for container in containers(workload):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]


@each_overlay
def test_images_are_of_this_version(given: tuple[str, ...]) -> None:
    version = tomllib.loads((DEPLOY.parents[1] / "pyproject.toml").read_text())["project"]["version"]
    images = {container["image"] for workload in workloads(rendered(*given)) for container in containers(workload)}
    assert images == {f"jobrelay:{version}"}


@each_overlay
def test_selectors_select_the_pods_they_mean(given: tuple[str, ...]) -> None:
    objects = rendered(*given)
    for workload in workloads(objects):
        name = workload["metadata"]["name"]
        labels = workload["spec"]["selector"]["matchLabels"]
        assert selected(objects, labels) == {name}
        assert objects[f"PodDisruptionBudget/{name}"]["spec"]["selector"]["matchLabels"] == labels
        (spread,) = workload["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert spread["labelSelector"]["matchLabels"] == labels
    assert selected(objects, objects["Service/jobrelay"]["spec"]["selector"]) == {
        "jobrelay-handler",
        "jobrelay-controller",
    }


@each
def test_whatever_is_referred_to_exists(given: tuple[str, ...]) -> None:
    objects = rendered(*given)
    known = objects.keys() | GIVEN_BY_THE_OPERATOR
    for workload in workloads(objects):
        assert set(references(workload["spec"]["template"]["spec"])) <= known
    for binding in (manifest for manifest in objects.values() if manifest["kind"] == "RoleBinding"):
        role = binding["roleRef"]
        assert f"{role['kind']}/{role['name']}" in (known | {f"ClusterRole/{role['name']}"})
        bound = {(subject["kind"], subject["namespace"]) for subject in binding["subjects"]}
        assert bound == {("ServiceAccount", NAMESPACE)}
        names = {f"ServiceAccount/{subject['name']}" for subject in binding["subjects"]}
        assert names <= rendered("overlays/nats", CONSOLE).keys()


def references(pod: Object) -> Iterator[str]:
    yield f"ServiceAccount/{pod['serviceAccountName']}"
    for volume in pod.get("volumes", ()):
        if "persistentVolumeClaim" in volume:
            yield f"PersistentVolumeClaim/{volume['persistentVolumeClaim']['claimName']}"
        else:
            secret = volume.get("secret")
            yield f"Secret/{secret['secretName']}" if secret else f"ConfigMap/{volume['configMap']['name']}"
    for container in pod["containers"]:
        for source in container["envFrom"]:
            for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                if field in source:
                    yield f"{kind}/{source[field]['name']}"


@each_overlay
async def test_probes_ask_for_paths_that_are_served(given: tuple[str, ...]) -> None:
    async with serve(State(Metrics()), address="127.0.0.1:0") as url, aiohttp.ClientSession() as http:
        for workload in workloads(rendered(*given)):
            (container,) = containers(workload)
            probes = {name: container[name]["httpGet"] for name in container if name.endswith("Probe")}
            assert {name: probe["path"] for name, probe in probes.items()} == {
                "startupProbe": "/livez",
                "livenessProbe": "/livez",
                "readinessProbe": "/readyz",
            }
            assert {probe["port"] for probe in probes.values()} == {port["name"] for port in container["ports"]}
            for probe in probes.values():
                async with http.get(url + probe["path"]) as answer:
                    assert answer.status != 404


@each_overlay
def test_the_port_is_the_same_everywhere(given: tuple[str, ...]) -> None:
    objects = rendered(*given, "components/network-policy")
    (settings,) = (objects[name]["data"] for name in objects if name.startswith("ConfigMap/jobrelay-settings"))
    address = Settings.from_env({**settings, "JOBRELAY_SOURCES": ""}).http_address
    declared = [port for workload in workloads(objects) for port in containers(workload)[0]["ports"]]
    ports = {port["name"]: port["containerPort"] for port in declared}
    assert {str(port) for port in ports.values()} == {address.rpartition(":")[2]}
    (port,) = objects["Service/jobrelay"]["spec"]["ports"]
    assert (port["targetPort"], port["port"]) in ports.items()
    (rule,) = objects["NetworkPolicy/jobrelay"]["spec"]["ingress"]
    assert rule["ports"] == [{"port": "http", "protocol": "TCP"}]
    # Of pods only Prometheus: anybody else's could keep the process busy.
    monitoring = {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}
    assert rule["from"] == [{"namespaceSelector": monitoring}]


def test_only_the_console_reaches_a_database() -> None:
    objects = rendered("overlays/nats", "components/console/postgresql", "components/network-policy")
    policy = objects["NetworkPolicy/jobrelay-console"]["spec"]
    assert selected(objects, policy["podSelector"]["matchLabels"]) == {"jobrelay-console"}
    assert [rule["ports"] for rule in policy["egress"]] == [[{"port": 5432, "protocol": "TCP"}]]
    everyone = objects["NetworkPolicy/jobrelay"]["spec"]["podSelector"]["matchLabels"]
    assert selected(objects, everyone) == {f"jobrelay-{role}" for role in ("handler", "controller", "console")}


@pytest.mark.parametrize("proxy", [(), ("components/console/oauth2-proxy",)], ids=["token", "oauth2-proxy"])
def test_the_page_is_reached_by_its_ingress_alone_and_never_without_authentication(proxy: tuple[str, ...]) -> None:
    objects = rendered("overlays/nats", CONSOLE, *proxy, "components/console/ingress", "components/network-policy")
    deployment = objects["Deployment/jobrelay-console"]
    ports = [
        (container["name"], port)
        for container in containers(deployment)
        for port in container["ports"]
        if port["name"] == "page"
    ]
    ((owner, port),) = ports
    settings = settings_of(objects, "console")
    own = f"0.0.0.0:{port['containerPort']}"
    assert (owner, settings.ui_auth, settings.ui_address) == (
        ("oauth2-proxy", "proxy", "127.0.0.1:8081") if proxy else ("jobrelay", "token", own)
    )
    assert not proxy or f"--upstream=http://{settings.ui_address}" in containers(deployment)[1]["args"]
    service = objects["Service/jobrelay-console"]["spec"]
    assert service["ports"] == [{"name": "page", "port": 80, "targetPort": "page"}]
    assert selected(objects, service["selector"]) == {"jobrelay-console"}
    ingress = objects["Ingress/jobrelay-console"]["spec"]
    (path,) = ingress["rules"][0]["http"]["paths"]
    assert path["backend"]["service"] == {"name": "jobrelay-console", "port": {"name": "page"}}
    assert ingress["tls"][0]["hosts"] == [ingress["rules"][0]["host"]]
    (rule,) = objects["NetworkPolicy/jobrelay-console"]["spec"]["ingress"]
    assert rule["ports"] == [{"port": "page", "protocol": "TCP"}]
    assert rule["from"][0]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "ingress-nginx"}


def test_each_replica_of_the_page_takes_the_sessions_of_the_others() -> None:
    (container,) = containers(rendered("overlays/nats", "components/console/postgresql")["Deployment/jobrelay-console"])
    given = {variable["name"]: variable["value"] for variable in container["env"]}
    (mount,) = container["volumeMounts"]
    assert given["JOBRELAY_UI_SECRET_FILE"] == f"{mount['mountPath']}/key"


def test_of_the_consoles_on_postgresql_one_stays_while_a_node_is_drained() -> None:
    objects = rendered("overlays/nats", "components/console/postgresql")
    deployment = objects["Deployment/jobrelay-console"]["spec"]
    budget = objects["PodDisruptionBudget/jobrelay-console"]["spec"]
    assert budget["minAvailable"] == 1 < deployment["replicas"]
    assert budget["selector"]["matchLabels"] == deployment["selector"]["matchLabels"]
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert all("secret" in volume for volume in deployment["template"]["spec"]["volumes"]), (
        "none that only one could have"
    )


def test_the_network_policy_allows_the_egress_we_need_and_selects_only_our_pods() -> None:
    objects = rendered("overlays/nats", "components/network-policy")
    policy = objects["NetworkPolicy/jobrelay"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert selected(objects, policy["podSelector"]["matchLabels"]) == {"jobrelay-handler", "jobrelay-controller"}
    # Pods of Jobs have a name label too, and a service may be called jobrelay.
    assert not policy["podSelector"]["matchLabels"].items() <= {"app.kubernetes.io/name": "jobrelay"}.items()
    out = {(port["port"], port["protocol"]) for rule in policy["egress"] for port in rule["ports"]}
    assert out == {(53, "UDP"), *((port, "TCP") for port in (53, 443, 6443, 4222, 5671, 5672))}


@each_overlay
def test_a_node_can_always_be_drained_and_one_controller_stays(given: tuple[str, ...]) -> None:
    objects = rendered(*given)
    assert objects["PodDisruptionBudget/jobrelay-handler"]["spec"]["maxUnavailable"] == 1
    controller = objects["PodDisruptionBudget/jobrelay-controller"]["spec"]
    assert controller["minAvailable"] == 1 < objects["Deployment/jobrelay-controller"]["spec"]["replicas"]
    assert all(
        manifest["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
        for manifest in objects.values()
        if manifest["kind"] == "PodDisruptionBudget"
    )


@each_overlay
def test_the_controller_can_be_applied_before_the_handlers(given: tuple[str, ...]) -> None:
    """With `-l app.kubernetes.io/component!=handler`, as k8s/README.md says for upgrades."""
    objects = rendered(*given)
    first = {
        name: manifest
        for name, manifest in objects.items()
        if manifest["metadata"].get("labels", {}).get("app.kubernetes.io/component") != "handler"
    }
    assert not [name for name in first if "handler" in name]
    assert set(references(first["Deployment/jobrelay-controller"]["spec"]["template"]["spec"])) <= (
        first.keys() | GIVEN_BY_THE_OPERATOR
    )
