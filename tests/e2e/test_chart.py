"""The Helm chart on a cluster that was given: its API server takes all of it, and Helm installs and changes it."""

import os
import subprocess
from typing import Any

import pytest
import yaml

from tests.e2e.site import Site
from tests.k8s.deploy.chart.charts import CHART, Values, helm, joined, made, values_of
from tests.k8s.deploy.manifests import Object

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.kubectl,
    pytest.mark.skipif(
        not os.environ.get("KUBECONFIG"), reason="no cluster is given in KUBECONFIG: ours has no Deployments"
    ),
]
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
EVERYTHING = {
    "nats": (
        "console/postgresql",
        "console/oauth2-proxy",
        "console/ingress",
        "network-policy",
        "nats-creds",
        "broker-tls",
    ),
    "rabbitmq": ("console/sqlite", "console/ingress", "network-policy", "pod-logs", "broker-tls"),
}
FOREIGN = {"keda": "keda.sh", "kueue": "kueue.x-k8s.io", "monitoring": "monitoring.coreos.com"}
"""Values whose objects only a cluster with these API groups takes."""
NOWHERE: Values = {"nodeSelector": {"jobrelay.dev/e2e": "nowhere"}}
"""No pod starts: the image is not asked for."""


def kubectl(*arguments: str, given: str | None = None) -> str:
    done = subprocess.run(["kubectl", *arguments], input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("broker", EVERYTHING)
async def test_the_api_server_takes_everything_strictly(broker: str, cluster: Site) -> None:
    groups = {line.partition("/")[0] for line in kubectl("api-versions").split()}
    values = values_of(broker, *EVERYTHING[broker])
    for name, group in FOREIGN.items():
        values = joined(values, {name: {"enabled": group in groups}})
    async with cluster.another_namespace(RESTRICTED) as namespace, cluster.another_namespace({}) as other:
        values = joined(values, {"createNamespace": False, "namespaces": {"enabled": True, "bind": [other]}})
        objects = made(values, namespace=namespace)
        text = yaml.safe_dump_all(objects.values())
        told = kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", given=text)
    assert len(told.splitlines()) == len(objects)
    assert "Warning" not in told


class Release:
    """jobrelay in a namespace, as Helm has it."""

    def __init__(self, config: Any, namespace: str) -> None:
        self.config = config
        self.namespace = namespace

    def upgrade(self, images: str) -> None:
        self.config.upgrade(CHART, "jobrelay", values(images))

    def settings(self) -> set[str]:
        """Names of the ConfigMaps of settings that are there."""
        names = kubectl("-n", self.namespace, "get", "configmap", "-o", "name").split()
        return {name.removeprefix("configmap/") for name in names if "/jobrelay-settings-" in name}

    def read(self) -> set[str]:
        """Those that the Deployments read."""
        found: list[Object] = yaml.safe_load(kubectl("-n", self.namespace, "get", "deploy", "-o", "yaml"))["items"]
        pods = [deployment["spec"]["template"]["spec"] for deployment in found]
        return {pod["containers"][0]["envFrom"][0]["configMapRef"]["name"] for pod in pods}

    def end_the_rollout(self) -> None:
        """As when new pods are ready: no ReplicaSet makes pods with former settings."""
        (current,) = self.read()
        found: list[Object] = yaml.safe_load(kubectl("-n", self.namespace, "get", "replicaset", "-o", "yaml"))["items"]
        former = [item["metadata"]["name"] for item in found if current not in str(item["spec"]["template"])]
        kubectl("-n", self.namespace, "delete", "replicaset", *former)


def values(images: str) -> Values:
    return {"settings": {"JOBRELAY_IMAGES": [images]}, "handler": NOWHERE, "controller": NOWHERE}


async def test_changed_settings_roll_out_and_back_and_stay_for_pods_that_are_not_replaced_yet(cluster: Site) -> None:
    async with cluster.another_namespace(RESTRICTED) as namespace:
        with helm().Config(kubeconfig_path=str(cluster.kubeconfig), namespace=namespace) as config:
            config.install(CHART, "jobrelay", values("first/*"))
            release = Release(config, namespace)
            first = release.settings()
            assert release.read() == first
            release.upgrade("second/*")
            second = release.read()
            assert len(first | second) == 2
            assert release.settings() == first | second, "pods of the first may start again"
            release.end_the_rollout()
            release.upgrade("second/*")
            assert release.settings() == second
            config.rollback("jobrelay", version=1)
            assert release.read() == first <= release.settings()
            config.uninstall("jobrelay")
            assert release.settings() == set()
