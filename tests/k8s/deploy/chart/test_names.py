"""Names and namespaces that follow from values: of the Lease, of what KEDA asks for, of roles and Secrets."""

import pytest
import yaml

from adapters.base import Kind
from adapters.jetstream.topology import StreamNames
from adapters.rabbitmq.topology import QueueNames
from adapters.topics import lanes_of
from tests.k8s.deploy.chart.charts import ROLES, Values, data_of_settings, joined, made, of_kind, pod, values_of
from tests.k8s.deploy.environs import settings_of
from tests.k8s.deploy.test_keda import mistakes, schemas

EVERYTHING = ("console/postgresql", "console/ingress", "keda/nats", "kueue", "monitoring", "network-policy")


def test_an_instance_is_the_name_of_the_lease_in_the_roles() -> None:
    objects = made({"settings": {"JOBRELAY_INSTANCE": "blue-1"}})
    rules = [rule for role in of_kind(objects, "Role") for rule in role["rules"] if "resourceNames" in rule]
    assert [rule["resourceNames"] for rule in rules] == [["blue-1"]] * 2
    assert settings_of(objects, "controller").instance == "blue-1"


def test_names_of_digits_stay_names() -> None:
    parts = ("console/postgresql", "console/ingress", "keda/nats", "network-policy")
    own = {
        "settings": {"JOBRELAY_INSTANCE": "7"},
        "broker": {"secret": "1"},
        "networkPolicy": {"monitoringNamespace": "2"},
    }
    objects = made(joined(values_of("nats", *parts), own), namespace="2024")
    named = {manifest["metadata"].get("namespace", "2024") for manifest in objects.values()}
    assert named == {"2024"}
    rules = [rule for role in of_kind(objects, "Role") for rule in role["rules"] if "resourceNames" in rule]
    assert [rule["resourceNames"] for rule in rules] == [["7"]] * 2
    assert pod(objects, "handler")["containers"][0]["envFrom"][1]["secretRef"]["name"] == "1"
    selector = objects["NetworkPolicy/jobrelay"]["spec"]["ingress"][0]["from"][0]["namespaceSelector"]
    assert selector["matchLabels"] == {"kubernetes.io/metadata.name": "2"}


def test_an_instance_is_in_the_names_that_keda_asks_nats_for() -> None:
    names = StreamNames("blue-1")
    values = joined(values_of("nats", "keda/nats"), {"settings": {"JOBRELAY_INSTANCE": "blue-1"}})
    (scaled,) = of_kind(made(values), "ScaledObject")
    asked = {(trigger["metadata"]["stream"], trigger["metadata"]["consumer"]) for trigger in scaled["spec"]["triggers"]}
    assert asked == {(names.stream(Kind.REQUESTS), names.consumer(lane)) for lane in lanes_of(Kind.REQUESTS)}


def test_an_instance_is_in_the_names_that_keda_asks_rabbitmq_for() -> None:
    names = QueueNames("blue-1")
    values = joined(values_of("rabbitmq", "keda/rabbitmq"), {"settings": {"JOBRELAY_INSTANCE": "blue-1"}})
    (scaled,) = of_kind(made(values), "ScaledObject")
    asked = {trigger["metadata"]["queueName"] for trigger in scaled["spec"]["triggers"]}
    assert asked == {names.queue(lane) for lane in lanes_of(Kind.REQUESTS)}


def test_keda_is_told_what_its_values_say() -> None:
    keda = {
        "pollingInterval": 10,
        "cooldownPeriod": 10000000,
        "minReplicas": 1,
        "maxReplicas": 20,
        "threshold": 1000000,
        "nats": {"monitoringEndpoint": "nats.hub.example:8222", "account": "JOBS"},
    }
    (scaled,) = of_kind(made(joined(values_of("nats", "keda/nats"), {"keda": keda})), "ScaledObject")
    spec = scaled["spec"]
    numbers = [spec[name] for name in ("pollingInterval", "cooldownPeriod", "minReplicaCount", "maxReplicaCount")]
    assert numbers == [10, 10000000, 1, 20]
    for trigger in spec["triggers"]:
        found = trigger["metadata"]
        assert (found["natsServerMonitoringEndpoint"], found["account"]) == ("nats.hub.example:8222", "JOBS")
        assert found["lagThreshold"] == "1000000"


def test_keda_may_have_a_secret_of_its_own_for_rabbitmq() -> None:
    values = joined(values_of("rabbitmq", "keda/rabbitmq"), {"keda": {"rabbitmq": {"secret": "keda-rabbitmq"}}})
    (authentication,) = of_kind(made(values), "TriggerAuthentication")
    targets = authentication["spec"]["secretTargetRef"]
    assert {target["name"] for target in targets} == {"keda-rabbitmq"}
    assert [target["parameter"] for target in targets] == ["host", "username", "password"]
    (crd,) = yaml.safe_load_all((schemas() / "keda.sh_triggerauthentications.yaml").read_text())
    assert mistakes(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"], authentication) == []


def test_bound_namespaces_are_those_that_requests_may_name_after_the_own_one() -> None:
    values = joined(values_of("nats", "namespaces", "kueue"), {"namespaces": {"bind": ["team-a", "team-b"]}})
    objects = made(values, namespace="relay")
    assert settings_of(objects, "handler").namespaces == ("relay", "team-a", "team-b")
    for team in ("team-a", "team-b"):
        there = [manifest for manifest in objects.values() if manifest["metadata"].get("namespace") == team]
        assert sorted((found["kind"], found["metadata"]["name"]) for found in there) == [
            ("LocalQueue", "jobrelay"),
            ("RoleBinding", "jobrelay-controller"),
            ("RoleBinding", "jobrelay-handler"),
        ]
    assert {role["metadata"]["name"] for role in of_kind(objects, "ClusterRole")} == {f"jobrelay-{r}" for r in ROLES}


def test_a_second_release_binds_the_cluster_roles_of_the_first() -> None:
    objects = made({"namespaces": {"bind": ["team-a"]}}, namespace="relay")
    assert not of_kind(objects, "ClusterRole")
    bound = [found for found in of_kind(objects, "RoleBinding") if found["metadata"]["namespace"] == "team-a"]
    assert {found["roleRef"]["kind"] for found in bound} == {"ClusterRole"}


@pytest.mark.parametrize("overlay", ["nats", "rabbitmq"])
def test_the_namespace_of_the_release_is_the_only_one(overlay: str) -> None:
    components = [name for name in EVERYTHING if not name.startswith("keda/")]
    objects = made(values_of(overlay, *components, f"keda/{overlay}"), namespace="relay")
    assert [found["metadata"]["name"] for found in of_kind(objects, "Namespace")] == ["relay"]
    namespaced = [found for found in objects.values() if found["kind"] != "Namespace"]
    assert {found["metadata"]["namespace"] for found in namespaced} == {"relay"}
    subjects = [subject for binding in of_kind(objects, "RoleBinding") for subject in binding["subjects"]]
    assert {subject["namespace"] for subject in subjects} == {"relay"}


def test_a_release_does_not_own_its_namespace() -> None:
    assert not of_kind(made({}), "Namespace")


@pytest.mark.parametrize(
    ("values", "waits"),
    [
        ({}, False),
        ({"settings": {"JOBRELAY_SOURCES": None}}, True),
        ({"broker": {"kind": "rabbitmq"}}, True),
        ({"broker": {"kind": "rabbitmq"}, "settings": {"JOBRELAY_SOURCES": "amqp://rabbitmq.svc"}}, False),
    ],
)
def test_pods_wait_for_the_secret_where_the_settings_name_no_broker(values: Values, waits: bool) -> None:
    objects = made(joined(values, {"console": {"enabled": True}, "broker": {"secret": "mine"}}))
    for role in ROLES:
        source = pod(objects, role)["containers"][0]["envFrom"][1]
        assert source == {"secretRef": {"name": "mine", "optional": not waits}}
    assert ("JOBRELAY_SOURCES" in data_of_settings(values)) != waits
