"""Fixtures: an API server that misbehaves, a client of it, and the development cluster in a process of its own."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from k8s.api.cluster import Cluster, connect
from tests.k8s.server import Server
from tests.patience import PATIENCE


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def kubeconfig(server: Server, tmp_path: Path) -> Path:
    return write_kubeconfig(tmp_path, {"server": server.url}, {"token": "secret"})


@pytest.fixture
async def cluster(kubeconfig: Path) -> AsyncIterator[Cluster]:
    async with connect(kubeconfig=kubeconfig, timeout=PATIENCE) as cluster:
        yield cluster


def write_kubeconfig(
    directory: Path, cluster: Mapping[str, object], user: Mapping[str, object], *, namespace: str | None = None
) -> Path:
    context = {"cluster": "c", "user": "u"} | ({"namespace": namespace} if namespace else {})
    path = directory / "kubeconfig"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "x",
        "clusters": [{"name": "c", "cluster": dict(cluster)}],
        "users": [{"name": "u", "user": dict(user)}],
        "contexts": [{"name": "x", "context": context}],
    }
    path.write_text(yaml.safe_dump(content))
    return path


async def eventually(claim: Callable[[], object], *, within: float = PATIENCE) -> None:
    """Wait until the claim holds."""
    async with asyncio.timeout(within):
        while not claim():
            await asyncio.sleep(0.005)


@dataclass(frozen=True)
class DevCluster:
    kubeconfig: Path


@pytest.fixture(scope="package")
def devcluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevCluster]:
    """The development cluster, in a process of its own."""
    directory = tmp_path_factory.mktemp("devcluster")
    command = [sys.executable, "-m", "k8s.devcluster", "--directory", str(directory), "--bookmark-interval", "0.5"]
    with (
        (directory / "log").open("wb") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log) as process,
    ):
        assert process.stdout is not None
        line = process.stdout.readline().decode()
        assert line.startswith("kubeconfig: "), (directory / "log").read_text()
        yield DevCluster(Path(line.removeprefix("kubeconfig: ").strip()))
        process.terminate()
        process.wait(PATIENCE)


@pytest.fixture
async def real(devcluster: DevCluster) -> AsyncIterator[Cluster]:
    """A client of the development cluster, which follows Kubernetes' rules."""
    async with connect(kubeconfig=devcluster.kubeconfig) as cluster:
        yield cluster
