"""What the chart makes of values beyond those that stand for components: images, pods, the page, the volume."""

from math import ceil
from typing import Any

import pytest
import yaml

from handler.settings.settings import Settings
from k8s.reading.quantity import parse
from tests.k8s.deploy.chart.charts import ROLES, Values, data_of_settings, helm, joined, made, of_kind, pod, values_of
from tests.k8s.deploy.environs import settings_of
from tests.k8s.deploy.manifests import containers
from tests.k8s.deploy.test_manifests import workloads

DIGEST = f"sha256:{'0' * 64}"


def test_tls_may_be_without_a_certificate_of_ours() -> None:
    data = data_of_settings({"broker": {"tls": {"enabled": True, "clientCertificate": False}}})
    assert [name for name in data if name.startswith("JOBRELAY_TLS_")] == ["JOBRELAY_TLS_CA"]


def test_functions_are_what_the_handler_reads() -> None:
    functions = [{"name": "a", "filters": [{"exact": {"type": "x"}}], "job": {"spec": {"backoffLimit": 2}}}]
    text = made({"functions": functions})["ConfigMap/jobrelay-functions"]["data"]["functions.yaml"]
    assert yaml.safe_load(text) == {"functions": functions}


@pytest.mark.parametrize(
    ("image", "own", "expected"),
    [
        ({"repository": "r.example/j"}, {}, "r.example/j:0.1.0"),
        ({"repository": "r.example/j", "tag": "2"}, {}, "r.example/j:2"),
        ({"repository": "r.example/j", "tag": "2", "digest": DIGEST}, {}, f"r.example/j@{DIGEST}"),
        ({"repository": "r.example/j", "tag": "2"}, {"tag": "1"}, "r.example/j:1"),
        ({"repository": "r.example/j", "digest": DIGEST}, {"tag": "1"}, "r.example/j:1"),
        ({"repository": "r.example/j", "tag": "2"}, {"digest": DIGEST}, f"r.example/j@{DIGEST}"),
    ],
)
def test_the_handlers_may_keep_an_image_of_their_own(image: Values, own: Values, expected: str) -> None:
    objects = made({"image": image, "handler": {"image": own}})
    assert pod(objects, "handler")["containers"][0]["image"] == expected
    theirs = pod(made({"image": image}), "controller")["containers"][0]["image"]
    assert pod(objects, "controller")["containers"][0]["image"] == theirs


@pytest.mark.parametrize("role", ROLES)
def test_pods_and_containers_have_what_is_added(role: str) -> None:
    volume = {"name": "nkey", "secret": {"secretName": "nkey"}}
    mount = {"name": "nkey", "mountPath": "/etc/nkey", "readOnly": True}
    added: dict[str, Any] = {
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "a", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {}},
        "priorityClassName": "high",
        "podLabels": {"team": "a", "app.kubernetes.io/component": "other"},
        "podAnnotations": {"note": "b"},
        "serviceAccount": {"annotations": {"cloud": "c"}},
        "resources": {"limits": {"memory": "1Gi"}},
        "extraEnv": [{"name": "A", "value": "1"}],
        "extraEnvFrom": [{"secretRef": {"name": "logs"}}],
        "extraVolumes": [volume],
        "extraVolumeMounts": [mount],
    }
    values = {role: added, "image": {"pullSecrets": ["registry"]}}
    before = made({"console": {"enabled": True}})
    objects = made(joined(values, {"console": {"enabled": True}}))
    spec, was = pod(objects, role), pod(before, role)
    (container,), (plain,) = spec["containers"], was["containers"]
    assert {name: spec[name] for name in ("nodeSelector", "tolerations", "affinity", "priorityClassName")} == {
        name: added[name] for name in ("nodeSelector", "tolerations", "affinity", "priorityClassName")
    }
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert spec["volumes"] == [*was.get("volumes", []), volume]
    assert container["volumeMounts"] == [*plain.get("volumeMounts", []), mount]
    assert container["env"] == [*plain["env"], *added["extraEnv"]]
    assert container["envFrom"] == [*plain["envFrom"], *added["extraEnvFrom"]]
    assert container["resources"] == {**plain["resources"], **added["resources"]}
    labelled = objects[f"Deployment/jobrelay-{role}"]["spec"]
    assert labelled["template"]["metadata"]["annotations"] == {"note": "b"}
    own = labelled["selector"]["matchLabels"]
    assert labelled["template"]["metadata"]["labels"].items() >= {**own, "team": "a"}.items(), "still selected"
    assert objects[f"ServiceAccount/jobrelay-{role}"]["metadata"]["annotations"] == {"cloud": "c"}
    others = [name for name in objects if not name.endswith(f"/jobrelay-{role}") and name.startswith("ServiceAccount")]
    assert [objects[name] for name in others] == [before[name] for name in others]


@pytest.mark.parametrize(("drain", "timeout"), [(None, None), (0, 0.5), (120, 5), (20, 60), (600, 7.5)])
def test_a_pod_has_time_to_drain(drain: float | None, timeout: float | None) -> None:
    values = {"JOBRELAY_DRAIN_SECONDS": drain, "JOBRELAY_BROKER_TIMEOUT": timeout}
    objects = made({"settings": values, "console": {"enabled": True}})
    for role in ROLES:
        settings = settings_of(objects, role)
        needed = ceil(settings.drain_seconds + 2 * settings.broker_timeout)
        assert pod(objects, role)["terminationGracePeriodSeconds"] >= max(needed, 45)


@pytest.mark.parametrize("role", ["controller", "console"])
def test_a_single_pod_does_not_keep_its_node_from_being_drained(role: str) -> None:
    values = joined(values_of("nats", "console/postgresql"), {role: {"replicas": 1}})
    budget = made(values)[f"PodDisruptionBudget/jobrelay-{role}"]["spec"]
    assert budget["maxUnavailable"] == 1
    assert "minAvailable" not in budget


def test_what_settings_say_of_the_page_goes_before_what_the_console_has() -> None:
    page = {
        "JOBRELAY_UI_AUTH": "proxy",
        "JOBRELAY_UI_TRUSTED_PROXIES": ["10.0.0.0/8"],
        "JOBRELAY_UI_VIEWERS": ["user:*"],
        "JOBRELAY_UI_ADDRESS": "[::]:8081",
        "JOBRELAY_HTTP_ADDRESS": "[::]:8080",
    }
    settings = settings_of(made({"console": {"enabled": True}, "settings": page}), "console")
    assert (settings.ui_auth, settings.ui_address, settings.ui_token_file) == ("proxy", "[::]:8081", None)
    assert settings.ui_trusted_proxies == ("10.0.0.0/8",)


def test_a_second_token_is_a_key_of_the_page_s_secret() -> None:
    path = "/etc/jobrelay/page/view-token"
    objects = made({"console": {"enabled": True}, "settings": {"JOBRELAY_UI_VIEW_TOKEN_FILE": path}})
    (mount,) = pod(objects, "console")["containers"][0]["volumeMounts"]
    assert path.startswith(f"{mount['mountPath']}/")
    assert data_of_settings({"settings": {"JOBRELAY_UI_VIEW_TOKEN_FILE": path}})["JOBRELAY_UI_VIEW_TOKEN_FILE"] == path


def test_oauth2_proxy_lets_in_whom_the_values_name() -> None:
    proxy = {"operators": ["ops", "user:root"], "viewers": [], "extraArgs": ["--oidc-groups-claim=roles"]}
    objects = made(
        joined(values_of("nats", "console/memory", "console/oauth2-proxy"), {"console": {"oauth2Proxy": proxy}})
    )
    settings = settings_of(objects, "console")
    assert (settings.ui_operators, settings.ui_viewers) == (("ops", "user:root"), ())
    assert containers(objects["Deployment/jobrelay-console"])[1]["args"][-1] == "--oidc-groups-claim=roles"


def test_places_and_labels_are_where_the_values_say() -> None:
    values: Values = {
        "monitoring": {"labels": {"release": "prometheus"}},
        "networkPolicy": {
            "monitoringNamespace": "metrics",
            "ingressNamespace": "traefik",
            "egress": [{"ports": [{"port": 15672, "protocol": "TCP"}]}],
        },
        "console": {
            "storage": {"size": "20Gi", "className": "fast"},
            "ingress": {"host": "jobs.mine", "className": "nginx", "tlsSecret": "cert", "annotations": {"a": "b"}},
        },
    }
    parts = ("console/sqlite", "console/ingress", "monitoring", "network-policy")
    objects = made(joined(values_of("nats", *parts), values))
    for kind in ("PodMonitor", "PrometheusRule"):
        assert objects[f"{kind}/jobrelay"]["metadata"]["labels"]["release"] == "prometheus"
    policy = objects["NetworkPolicy/jobrelay"]["spec"]
    assert policy["egress"][-1] == values["networkPolicy"]["egress"][0]
    assert "metrics" in str(policy["ingress"])
    assert "traefik" in str(objects["NetworkPolicy/jobrelay-console"]["spec"]["ingress"])
    claim = objects["PersistentVolumeClaim/jobrelay-history"]["spec"]
    assert (claim["storageClassName"], claim["resources"]) == ("fast", {"requests": {"storage": "20Gi"}})
    ingress = objects["Ingress/jobrelay-console"]
    assert ingress["metadata"]["annotations"] == {"a": "b"}
    assert ingress["spec"]["ingressClassName"] == "nginx"
    assert ingress["spec"]["tls"] == [{"hosts": ["jobs.mine"], "secretName": "cert"}]


@pytest.mark.parametrize(
    ("size", "most"),
    [("10Gi", None), ("10737418240", None), ("10.7G", None), ("10000Mi", None), ("12Gi", 20 << 30), ("1Ti", 1 << 40)],
)
def test_a_volume_without_room_for_the_history_is_refused(size: str, most: int | None) -> None:
    with pytest.raises(helm().HelmError, match=r"console\.storage\.size"):
        made(sqlite(size, most))


@pytest.mark.parametrize(
    ("size", "most"),
    [("10241Mi", None), ("10.1Gi", None), ("10800000k", None), ("11G", None), ("24Gi", 20 << 30), ("1T", 900 << 30)],
)
def test_a_volume_has_room_for_the_history(size: str, most: int | None) -> None:
    objects = made(sqlite(size, most))
    claim = objects["PersistentVolumeClaim/jobrelay-history"]["spec"]["resources"]["requests"]
    assert parse(claim["storage"]) > settings_of(objects, "console").history_max_bytes


def sqlite(size: str, most: int | None) -> Values:
    console = {"enabled": True, "database": "sqlite", "storage": {"size": size}}
    return {"console": console, "settings": {"JOBRELAY_HISTORY_MAX_BYTES": most}}


def test_helm_never_deletes_the_volume_of_the_history_by_itself() -> None:
    claim = made({"console": {"enabled": True, "database": "sqlite"}})["PersistentVolumeClaim/jobrelay-history"]
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_each_deployment_reads_the_settings_of_its_own_release() -> None:
    changed = made({"settings": {"JOBRELAY_IMAGES": ["registry.example/*"]}})
    for objects in (made({}), changed):
        (name,) = (
            found["metadata"]["name"] for found in of_kind(objects, "ConfigMap") if "settings" in str(found["metadata"])
        )
        read = {containers(workload)[0]["envFrom"][0]["configMapRef"]["name"] for workload in workloads(objects)}
        assert read == {name}
    assert made({}).keys() != changed.keys(), "a changed setting is another name, which rolls them out"
    assert Settings.from_env(data_of_settings({})).log_format == "json"
