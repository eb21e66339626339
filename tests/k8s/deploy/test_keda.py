"""The scaler's objects are valid for KEDA, and name the queues that requests wait in."""

import json
import os
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapters.base import Kind
from adapters.jetstream import topology as jetstream_topology
from adapters.rabbitmq import topology as rabbitmq_topology
from adapters.topics import lanes_of
from handler.settings.settings import Settings
from k8s.devcluster.api.patch import json_patch
from tests.docs.pages import Page
from tests.k8s.deploy.manifests import NAMESPACE, Object, rendered
from tests.paths import ROOT

NATS, RABBITMQ = "nats", "rabbitmq"
SHAPES = {"string": str, "integer": int, "boolean": bool, "object": dict, "array": list}
CONCURRENCY = Settings.from_env({}).concurrency
INSTANCE = Settings.from_env({}).instance

each = pytest.mark.parametrize("broker", [NATS, RABBITMQ])


def schemas() -> Path:
    """The directory of KEDA's own schemas: the one that KEDA_SCHEMAS names, else one found in a directory above."""
    named = os.environ.get("KEDA_SCHEMAS")
    above = [parent / "shared" / "keda" for parent in Path(__file__).resolve().parents]
    found = next((path for path in [*([Path(named)] if named else []), *above] if path.is_dir()), None)
    if found is None:
        pytest.skip("KEDA's CRDs are not here: name the directory that has them in KEDA_SCHEMAS")
    return found


def objects(broker: str) -> dict[str, Object]:
    made = rendered(f"overlays/{broker}", f"components/keda/{broker}")
    return {manifest["kind"]: manifest for manifest in made.values() if manifest["apiVersion"].startswith("keda.sh/")}


def scaled(broker: str) -> Object:
    spec: Object = objects(broker)["ScaledObject"]["spec"]
    return spec


def mistakes(schema: Object, value: Any, path: str = "") -> list[str]:
    """What a structural schema does not allow in `value`."""
    shape = SHAPES.get(schema.get("type", ""))
    if shape and (not isinstance(value, shape) or (isinstance(value, bool) and shape is int)):
        return [f"{path}: {value!r} is no {schema['type']}"]
    found = [] if value in schema.get("enum", [value]) else [f"{path}: {value!r} is none of {schema['enum']}"]
    if isinstance(value, list):
        for number, item in enumerate(value):
            found += mistakes(schema["items"], item, f"{path}[{number}]")
    if isinstance(value, dict):
        found += [f"{path}: {name} is missing" for name in schema.get("required", ()) if name not in value]
        for name, item in value.items():
            found += _field(schema, name, item, f"{path}.{name}")
    return found


def _field(schema: Object, name: str, item: Any, path: str) -> list[str]:
    if name in schema.get("properties", {}):
        return mistakes(schema["properties"][name], item, path)
    if isinstance(schema.get("additionalProperties"), dict):
        return mistakes(schema["additionalProperties"], item, path)
    free = schema.get("x-kubernetes-preserve-unknown-fields") or "properties" not in schema
    return [] if free else [f"{path}: no such field"]


@each
def test_every_object_fits_the_schema_of_its_crd(broker: str) -> None:
    for kind, manifest in objects(broker).items():
        (crd,) = yaml.safe_load_all((schemas() / f"keda.sh_{kind.lower()}s.yaml").read_text())
        (version,) = (
            found for found in crd["spec"]["versions"] if f"keda.sh/{found['name']}" == manifest["apiVersion"]
        )
        assert mistakes(version["schema"]["openAPIV3Schema"], manifest) == []


def test_mistakes_against_a_schema_are_found() -> None:
    (crd,) = yaml.safe_load_all((schemas() / "keda.sh_scaledobjects.yaml").read_text())
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    good = objects(NATS)["ScaledObject"]
    triggers = [{"type": "nats-jetstream", "metadata": {"lagThreshold": 256}}]
    spec = {**good["spec"], "minReplicas": 0, "maxReplicaCount": "4", "triggers": triggers}
    del spec["scaleTargetRef"]
    assert mistakes(schema, {**good, "spec": spec}) == [
        ".spec: scaleTargetRef is missing",
        ".spec.maxReplicaCount: '4' is no integer",
        ".spec.triggers[0].metadata.lagThreshold: 256 is no string",
        ".spec.minReplicas: no such field",
    ]


@each
def test_every_trigger_has_only_known_parameters_and_all_required_parameters(broker: str) -> None:
    known = json.loads((schemas() / "scalers-schema.json").read_text())["scalers"]
    scalers = {scaler["type"]: scaler["parameters"] for scaler in known}
    parameters = {item["name"]: item for item in scalers[{NATS: "nats-jetstream", RABBITMQ: "rabbitmq"}[broker]]}
    given = objects(broker)
    for trigger in given["ScaledObject"]["spec"]["triggers"]:
        reference = trigger.get("authenticationRef")
        secret = []
        if reference:
            assert reference["name"] == given["TriggerAuthentication"]["metadata"]["name"]
            secret = [target["parameter"] for target in given["TriggerAuthentication"]["spec"]["secretTargetRef"]]
        assert all(parameters[name].get("metadataVariableReadable") for name in trigger["metadata"])
        assert all(parameters[name].get("triggerAuthenticationVariableReadable") for name in secret)
        needed = {name for name, item in parameters.items() if not item.get("optional") and "default" not in item}
        assert needed <= {*trigger["metadata"], *secret}


def test_nats_has_a_trigger_for_each_lane_of_the_stream() -> None:
    names = jetstream_topology.StreamNames(INSTANCE)
    asked = [(item["metadata"]["stream"], item["metadata"]["consumer"]) for item in scaled(NATS)["triggers"]]
    lanes = lanes_of(Kind.REQUESTS)
    assert sorted(asked) == sorted((names.stream(Kind.REQUESTS), names.consumer(lane)) for lane in lanes)


def test_the_patch_for_a_domain_changes_the_server_and_the_account_of_every_trigger() -> None:
    (shown,) = (block for block in Page(ROOT / "k8s" / "README.md").code("yaml") if "JOBRELAY_NATS_DOMAIN" in block)
    overlay = yaml.safe_load(shown)
    ((target, steps),) = [(patch["target"], yaml.safe_load(patch["patch"])) for patch in overlay["patches"]]
    given = objects(NATS)["ScaledObject"]
    assert target == {"kind": given["kind"], "name": given["metadata"]["name"]}
    before = given["spec"]["triggers"]
    after = json_patch(deepcopy(given), steps)["spec"]["triggers"]
    moved = {"natsServerMonitoringEndpoint": "nats.hub.example:8222", "account": "JOBS"}
    assert after == [{**trigger, "metadata": {**trigger["metadata"], **moved}} for trigger in before]
    ((literal,),) = (generator["literals"] for generator in overlay["configMapGenerator"])
    assert Settings.from_env(dict([literal.split("=", 1)])).nats_domain == "hub"


def test_rabbitmq_has_a_trigger_for_each_lane_and_the_url_that_jobrelay_uses() -> None:
    names = rabbitmq_topology.QueueNames(INSTANCE)
    asked = [trigger["metadata"]["queueName"] for trigger in scaled(RABBITMQ)["triggers"]]
    assert sorted(asked) == sorted(names.queue(lane) for lane in lanes_of(Kind.REQUESTS))
    (secret,) = objects(RABBITMQ)["TriggerAuthentication"]["spec"]["secretTargetRef"]
    assert secret == {"parameter": "host", "name": "jobrelay-broker", "key": "JOBRELAY_SOURCES"}


@each
def test_a_message_wakes_a_handler_and_a_busy_handler_is_no_reason_for_another(broker: str) -> None:
    activation, target = {
        NATS: ("activationLagThreshold", "lagThreshold"),
        RABBITMQ: ("activationValue", "value"),
    }[broker]
    for trigger in scaled(broker)["triggers"]:
        assert trigger["metadata"][activation] == "0"
        assert int(trigger["metadata"][target]) >= 2 * CONCURRENCY
        assert trigger.get("metricType", "AverageValue") == "AverageValue"


@each
def test_handlers_are_scaled_to_zero_and_controllers_are_not_scaled(broker: str) -> None:
    made = rendered(f"overlays/{broker}", f"components/keda/{broker}")
    spec = scaled(broker)
    assert spec["scaleTargetRef"] == {"name": "jobrelay-handler"}
    assert (spec["minReplicaCount"], spec["fallback"]["replicas"]) == (0, 1)
    assert "replicas" not in made["Deployment/jobrelay-handler"]["spec"]
    assert made["Deployment/jobrelay-controller"]["spec"]["replicas"] == 2
    assert {manifest["metadata"]["namespace"] for manifest in objects(broker).values()} == {NAMESPACE}
