"""kubectl renders the manifests as the other tests do, and an operator's own overlay as its author means it."""

import shutil
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.pages import Page
from tests.k8s.deploy.manifests import NAMESPACE, Objects, by_name, containers, hashed_name, rendered
from tests.k8s.deploy.test_manifests import each, workloads
from tests.paths import DEPLOY, ROOT

pytestmark = pytest.mark.kubectl


@each
def test_kubectl_renders_the_same_objects_as_these_tests(given: tuple[str, ...], tmp_path: Path) -> None:
    components = [f"../deploy/{component}" for component in given[1:]]
    made = kustomized(tmp_path, {"resources": [f"../deploy/{given[0]}"], "components": components})
    assert in_order(made) == in_order(rendered(*given))


def in_order(objects: Objects) -> Objects:
    """A copy with volumes and variables sorted by name: patches add theirs in front or at the end."""
    copied = deepcopy(objects)
    for workload in workloads(copied):
        pod = workload["spec"]["template"]["spec"]
        fields = [(container, field) for container in containers(workload) for field in ("volumeMounts", "env")]
        for holder, field in ((pod, "volumes"), *fields):
            if field in holder:
                holder[field].sort(key=lambda item: str(item["name"]))
    return copied


def test_an_overlay_of_an_operator_chooses_namespace_image_and_settings(tmp_path: Path) -> None:
    settings = {"name": "jobrelay-settings", "namespace": NAMESPACE, "behavior": "merge"}
    mine = {
        "namespace": "mine",
        "resources": ["../deploy/overlays/nats"],
        "components": [
            f"../deploy/components/{name}" for name in ("keda/nats", "network-policy", "nats-creds", "kueue")
        ],
        "images": [{"name": "jobrelay", "newName": "registry.example/relay", "newTag": "1.2.3"}],
        "configMapGenerator": [{**settings, "literals": ["JOBRELAY_IMAGES=registry.example/*"]}],
    }
    made = list(kustomized(tmp_path, mine).values())
    assert [manifest["metadata"]["name"] for manifest in made if manifest["kind"] == "Namespace"] == ["mine"]
    assert {manifest["metadata"].get("namespace", "mine") for manifest in made} == {"mine"}
    bindings = [manifest for manifest in made if manifest["kind"] == "RoleBinding"]
    assert {subject["namespace"] for binding in bindings for subject in binding["subjects"]} == {"mine"}
    objects = by_name(made)
    images = {container["image"] for workload in workloads(objects) for container in containers(workload)}
    assert images == {"registry.example/relay:1.2.3"}
    (config,) = (objects[name] for name in objects if name.startswith("ConfigMap/jobrelay-settings"))
    assert config["data"].items() >= {"JOBRELAY_IMAGES": "registry.example/*", "JOBRELAY_LOG_FORMAT": "json"}.items()
    sources = [containers(workload)[0]["envFrom"][0] for workload in workloads(objects)]
    assert {source["configMapRef"]["name"] for source in sources} == {config["metadata"]["name"]}


def test_a_name_ends_in_the_hash_that_kubectl_makes_of_any_text(tmp_path: Path) -> None:
    literals = ['A=<b>&\u2028"\\ größe,日本🙂', "B=nats://a:4222?x=1&y=2", "C="]
    generator = {"name": "jobrelay-settings", "namespace": NAMESPACE, "literals": literals}
    (config,) = kustomized(tmp_path, {"configMapGenerator": [generator]}).values()
    assert config["metadata"]["name"] == hashed_name("jobrelay-settings", config["data"])


@pytest.mark.parametrize("page", ["README.md", "k8s/README.md"])
def test_the_overlay_that_a_page_shows_is_rendered(page: str, tmp_path: Path) -> None:
    (text,) = [block for block in Page(ROOT / page).code("yaml") if block.startswith("# kustomization.yaml\n")]
    made = kustomized(tmp_path, yaml.safe_load(text.replace("jobrelay/k8s/deploy", "../deploy")))
    images = {container["image"] for workload in workloads(made) for container in containers(workload)}
    assert images == {"registry.example/jobrelay:0.1.0"}


def kustomized(directory: Path, mine: dict[str, Any]) -> Objects:
    """What kubectl makes of this kustomization, which finds ours in `../deploy`."""
    if (kubectl := shutil.which("kubectl")) is None:
        pytest.skip("no kubectl here")
    shutil.copytree(DEPLOY, directory / "deploy")
    (directory / "mine").mkdir()
    (directory / "mine" / "kustomization.yaml").write_text(yaml.safe_dump(mine))
    command = [kubectl, "kustomize", str(directory / "mine")]
    made = subprocess.run(command, check=True, capture_output=True, text=True)
    assert not made.stderr, "nothing deprecated"
    return by_name(list(yaml.safe_load_all(made.stdout)))
