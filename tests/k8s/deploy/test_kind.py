"""The quick start on kind and k3d: its manifests, and that its script says what is missing or has gone wrong.

No cluster is made here, since that needs Docker: programs that note how they were called stand in for it.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from k8s.devcluster.resources import Resource
from k8s.devcluster.rules.fields import decode
from tests.k8s.deploy.manifests import Object, Objects, containers, documents, rendered
from tests.k8s.deploy.standins import StandIns
from tests.k8s.deploy.test_manifests import _READER, MODELS
from tests.paths import DEPLOY, ROOT

KIND = DEPLOY / "kind"
DIGEST = "sha256:" + 64 * "a"
PODS = "pod/jobrelay-controller-old\npod/jobrelay-controller-new"


def nats() -> Objects:
    return {f"{item['kind']}/{item['metadata']['name']}": item for item in rendered("kind/nats").values()}


def server() -> Object:
    found: Object = nats()["StatefulSet/nats"]["spec"]
    return found


def test_the_manifests_of_nats_are_valid() -> None:
    for name, manifest in nats().items():
        kind = Resource(plural="", singular="", kind=manifest["kind"], group="", model=MODELS[manifest["kind"]])
        decoded, unknown = decode(kind, manifest)
        assert (name, unknown) == (name, [])
        answer: Any = SimpleNamespace(data=json.dumps(decoded))
        _READER.deserialize(answer, MODELS[manifest["kind"]])


def test_nats_is_what_the_overlay_connects_to_and_keda_asks() -> None:
    objects = rendered("kind/keda")
    (settings,) = (item for name, item in objects.items() if name.startswith("ConfigMap/jobrelay-settings"))
    triggers = objects["ScaledObject/jobrelay-handler"]["spec"]["triggers"]
    asked = {trigger["metadata"]["natsServerMonitoringEndpoint"] for trigger in triggers}
    wanted = {urlsplit(settings["data"]["JOBRELAY_SOURCES"]).netloc, *asked}
    (container,) = containers(nats()["StatefulSet/nats"])
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    served = {
        f"{item['metadata']['name']}.{item['metadata']['namespace']}.svc:{port['port']}"
        for item in nats().values()
        if item["kind"] == "Service"
        for port in item["spec"]["ports"]
        if ports[port["targetPort"]] == port["port"]
    }
    assert wanted <= served
    labels = server()["template"]["metadata"]["labels"]
    assert all(item["spec"]["selector"] == labels for item in nats().values() if item["kind"] == "Service")
    assert server()["selector"]["matchLabels"] == labels
    assert f"Service/{server()['serviceName']}" in nats()


def test_nats_keeps_its_streams_on_a_volume_and_is_restricted() -> None:
    (claim,) = server()["volumeClaimTemplates"]
    (container,) = containers(nats()["StatefulSet/nats"])
    (mount,) = container["volumeMounts"]
    assert mount["name"] == claim["metadata"]["name"]
    assert f"--store_dir={mount['mountPath']}" in container["args"]
    assert (
        container["securityContext"]
        == containers(rendered("kind/plain")["Deployment/jobrelay-handler"])[0]["securityContext"]
    )
    assert server()["template"]["spec"]["securityContext"]["runAsNonRoot"] is True


def test_a_nats_server_takes_these_arguments(tmp_path: Path) -> None:
    (container,) = containers(nats()["StatefulSet/nats"])
    program = shutil.which("nats-server", path=f"{ROOT / '.venv' / 'bin'}:{Path(shutil.which('python') or '').parent}")
    assert program
    taken = subprocess.run([program, "--help"], capture_output=True, text=True, check=False, timeout=30)
    known = set(re.findall(r"--(\w+)", taken.stdout + taken.stderr))
    assert {argument.partition("=")[0].removeprefix("--") for argument in container["args"]} <= known


def test_what_is_installed_is_an_overlay_with_components_that_others_use_too() -> None:
    console = "components/console/memory"
    assert rendered("kind/plain") == rendered("overlays/nats", console)
    assert rendered("kind/keda") == rendered("overlays/nats", console, "components/keda/nats")


@pytest.fixture
def machine(tmp_path: Path) -> StandIns:
    """A machine with kind, docker and kubectl, whose cluster is there once it has been made."""
    programs = StandIns(tmp_path)
    made = tmp_path / "made"
    programs.add(
        "kind",
        f'case "$1 $2" in "create cluster") touch {made};; "get clusters") [ ! -e {made} ] || echo jobrelay;; esac',
    )
    programs.add("docker", f'case "$*" in *"imagetools inspect"*) echo {DIGEST};; esac')
    asked = [
        '*"get secret"*) exit 1;;',
        '*"get deployment"*) cat "$DEPLOYMENTS";;',
        '*"get pods"*) echo "$PODS";;',
    ]
    programs.add("kubectl", f'case "$*" in {" ".join(asked)} esac')
    return programs


@pytest.fixture
def start(tmp_path: Path) -> str:
    """The script in a copy of its own: it writes a kubeconfig, and a developer may have one."""
    root = tmp_path / "checkout"
    shutil.copytree(DEPLOY, root / "k8s" / "deploy")
    (root / "events" / "examples").mkdir(parents=True)
    for name in ("pyproject.toml", "events/examples/single.yaml"):
        shutil.copy(ROOT / name, root / name)
    return str(root / "k8s" / "deploy" / "kind" / "start.sh")


def test_each_thing_is_there_before_what_needs_it_and_no_wait_is_endless(machine: StandIns, start: str) -> None:
    done = machine.run(start, DEPLOYMENTS="/dev/null", PODS=PODS)
    assert done.returncode == 0, done.stderr
    calls = machine.calls()
    steps = [
        "kind create cluster --name jobrelay",
        "docker buildx build",
        "docker run --rm",
        "kind load docker-image --name jobrelay jobrelay:",
        "kubectl apply -k k8s/deploy/kind/nats",
        "kubectl -n nats rollout status statefulset/nats",
        "kubectl apply --server-side -f https://",
        "kubectl -n keda rollout status deployment/keda-operator",
        "kubectl apply -f k8s/deploy/base/namespace.yaml",
        "kubectl -n jobrelay create secret generic jobrelay-page",
        "kubectl apply -k k8s/deploy/kind/keda",
        "kubectl -n jobrelay rollout status deployment/jobrelay-controller",
        "kubectl -n jobrelay exec pod/jobrelay-controller-new -- jobrelay check --connect",
        "kubectl -n jobrelay exec -i pod/jobrelay-controller-new -- timeout 300 jobrelay submit - ",
    ]
    found = [next(n for n, call in enumerate(calls) if call.startswith(step)) for step in steps]
    assert found == sorted(found)
    assert all("--timeout 300s" in call for call in calls if "rollout status" in call)
    tokens = re.findall(r"--from-literal=(?:token|key)=([0-9a-f]{48})", "\n".join(calls))
    assert len(set(tokens)) == 2, "made anew, and each another"
    assert "make kind-delete" in done.stdout


def test_a_second_time_it_goes_on_with_the_cluster_and_replaces_the_pods(
    machine: StandIns, start: str, tmp_path: Path
) -> None:
    (tmp_path / "made").touch()
    (tmp_path / "deployments").write_text("deployment.apps/jobrelay-handler\n")
    done = machine.run(start, KEDA="off", DEPLOYMENTS=str(tmp_path / "deployments"), PODS=PODS)
    assert done.returncode == 0, done.stderr
    calls = machine.calls()
    assert not [call for call in calls if call.startswith("kind create") or "keda" in call]
    assert "kubectl apply -k k8s/deploy/kind/plain" in calls
    assert "kubectl -n jobrelay rollout restart deployment" in calls


def test_what_does_not_become_ready_is_shown(machine: StandIns, start: str) -> None:
    shown = '*"get pods"*) echo Pending;; *"get events"*) echo FailedScheduling;;'
    machine.add("kubectl", f'case "$*" in *"status statefulset/nats"*) exit 1;; {shown} esac')
    done = machine.run(start)
    assert done.returncode == 1
    assert "Pending\nFailedScheduling\n" in done.stderr
    assert "statefulset/nats in nats is not ready after five minutes" in done.stderr
    assert not [call for call in machine.calls("kubectl") if "jobrelay" in call]


def test_what_is_missing_is_named_at_once_and_nothing_is_made(start: str, tmp_path: Path) -> None:
    machine = StandIns(tmp_path)
    machine.borrow("bash", "dirname", "sed")
    told = 'Where to get them: "On your machine" in k8s/README.md\n'
    none = machine.run("bash", start, path="")
    assert (none.returncode, none.stderr) == (1, f"make kind: missing: kind or k3d, docker, kubectl. {told}")
    machine.add("k3d")
    machine.add("kubectl")
    machine.add("docker", '[ "$1" != info ]')
    other = machine.run("bash", start, path="", CLUSTER="kind")
    assert (other.returncode, other.stderr) == (1, f"make kind: missing: kind. {told}")
    silent = machine.run("bash", start, path="")
    assert silent.stderr == "make kind: no Docker answers: start it, or name one in DOCKER_HOST\n"
    assert machine.calls() == ["docker info"]


def test_the_namespace_of_nats_is_its_own() -> None:
    (namespace,) = documents(KIND / "nats" / "namespace.yaml")
    assert {item["metadata"].get("namespace", namespace["metadata"]["name"]) for item in nats().values()} == {"nats"}
