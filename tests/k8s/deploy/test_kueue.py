"""The component for Kueue: every Job goes into the LocalQueue that it creates."""

import pytest

from handler.settings.connections import kueue_of
from handler.settings.settings import Settings
from tests.k8s.deploy.environs import environ
from tests.k8s.deploy.manifests import OVERLAYS, rendered


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_both_roles_name_the_queue_of_the_component(overlay: str) -> None:
    objects = rendered(f"overlays/{overlay}", "components/kueue")
    (queue,) = (manifest for manifest in objects.values() if manifest["kind"] == "LocalQueue")
    assert queue["apiVersion"] == "kueue.x-k8s.io/v1beta2"
    assert queue["spec"] == {"clusterQueue": "jobrelay"}
    for role in ("handler", "controller"):
        assert kueue_of(Settings.from_env(environ(objects, role))).queue == queue["metadata"]["name"]
    namespaced = [manifest["metadata"] for manifest in objects.values() if manifest["kind"] != "Namespace"]
    assert {metadata.get("namespace") for metadata in namespaced} == {queue["metadata"]["namespace"]}
