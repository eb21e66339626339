"""`kubectl jobrelay`, run and completed by a real kubectl."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from handler.cli.completing import PATIENCE_VARIABLE
from handler.cli.program import COMPLETER, PLUGIN
from handler.local.stack import clean_environ
from k8s.api.cluster import Cluster
from k8s.devcluster.server import DevCluster
from tests.handler.cli.completing.objects import create_request

pytestmark = [
    pytest.mark.kubectl,
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed: the plugin is not tested"),
]


class Kubectl:
    """kubectl with this directory as home, and our two programs on its PATH."""

    def __init__(self, directory: Path, kubeconfig: Path) -> None:
        programs = directory / "bin"
        programs.mkdir()
        for name in (PLUGIN, COMPLETER):
            (programs / name).symlink_to(Path(sys.executable).with_name(name))
        self._environ = {
            **clean_environ(),
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(directory),
            "KUBECONFIG": str(kubeconfig),
            PATIENCE_VARIABLE: "60",
        }
        self._directory = directory

    def __call__(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["kubectl", *words],
            env=self._environ | environ,
            cwd=self._directory,
            capture_output=True,
            text=True,
            check=False,
        )

    def completes(self, *words: str) -> list[str]:
        """What the last word may become, and at the end kubectl's directive to its scripts."""
        return self("__complete", "jobrelay", *words).stdout.splitlines()


@pytest.fixture
def kubectl(tmp_path: Path, devcluster: DevCluster) -> Kubectl:
    return Kubectl(tmp_path, devcluster.kubeconfig)


async def test_it_is_a_plugin(kubectl: Kubectl) -> None:
    listed = kubectl("plugin", "list")
    assert [Path(line).name for line in listed.stdout.splitlines() if line.startswith("/")] == [PLUGIN]
    assert kubectl("jobrelay", "--version").stdout.startswith("jobrelay ")
    assert kubectl("jobrelay", "get", "--help").stdout.startswith("Usage: kubectl jobrelay get ")
    wrong = kubectl("jobrelay", "get", "--nonsense")
    assert wrong.returncode == 2
    assert "See `kubectl jobrelay get --help`." in wrong.stderr


async def test_cluster_and_namespace_are_those_that_kubectl_means(
    kubectl: Kubectl, cluster: Cluster, tmp_path: Path
) -> None:
    await create_request(cluster, "of-default")
    await create_request(cluster, "of-system", namespace="kube-system")

    def ids(*words: str, **environ: str) -> set[str]:
        shown = kubectl("jobrelay", "get", "-o", "json", *words, **environ)
        assert shown.returncode == 0, shown.stderr
        return {line.partition('"id":"')[2].partition('"')[0] for line in shown.stdout.splitlines()}

    def run() -> None:
        assert ids() == {"of-default"}
        for words in (["-n", "kube-system"], ["--namespace=kube-system"]):
            assert ids(*words) == {"of-system"}
        context = json.loads(kubectl("config", "view", "-o", "jsonpath={.contexts[0].context}").stdout)
        options = [f"--cluster={context['cluster']}", f"--user={context['user']}", "--namespace=kube-system"]
        made = kubectl("config", "set-context", "system", *options)
        assert made.returncode == 0, made.stderr
        assert ids("--context", "system") == {"of-system"}
        assert ids("--context", "system", JOBRELAY_NAMESPACES="default") == {"of-default"}
        assert kubectl("config", "use-context", "system").returncode == 0
        assert ids() == {"of-system"}
        assert ids("-n", "default") == {"of-default"}
        assert kubectl("jobrelay", "get", "--context", "nowhere").returncode == 2
        assert kubectl.completes("get", "--context", "") == ["devcluster", "system", ":4"]
        assert kubectl.completes("get", "of")[0].startswith("of-system\t")

    await asyncio.to_thread(run)


async def test_words_are_completed(kubectl: Kubectl, cluster: Cluster) -> None:
    await create_request(cluster, "nightly@2026-11-30T02:00:00Z", service="reports")
    await create_request(cluster, "evil $(id)\n:0")

    def run() -> None:
        *items, directive = kubectl.completes("get", "")
        assert directive == ":4"
        assert [item.split("\t")[0] for item in items] == ["nightly@2026-11-30T02:00:00Z"]
        assert items[0].split("\t")[1].startswith("reports ")
        assert kubectl.completes("get", "x") == [":4"]
        assert kubectl.completes("get", "--source=")[0].startswith("/tests\treports ")
        assert kubectl.completes("import", "") == [":0"], "files"
        assert kubectl.completes("get", "--kubeconfig", "") == [":0"], "files"
        assert "--output\tFormat of what is printed." in kubectl.completes("get", "--o")
        assert kubectl.completes("g")[0].startswith("get\tList the Jobs")
        assert kubectl.completes("get", "-n", "") == ["default", "kube-system", ":4"]

    await asyncio.to_thread(run)
