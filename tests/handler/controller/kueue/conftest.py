"""A cluster on which `tests.kueue` plays Kueue, and where Kubernetes takes its time."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from k8s.api.cluster import Cluster, connect
from k8s.devcluster.server import DevCluster
from tests.kueue import Kueue, Webhooks, playing
from tests.slow import SlowQueue


@pytest.fixture(autouse=True)
def slow_job_controller(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kubernetes looks at a Job some time after Kueue has changed it, not at once."""
    monkeypatch.setattr("k8s.devcluster.controllers.jobs.WorkQueue", SlowQueue)


@pytest.fixture
def manages_all() -> bool:
    """Whether Kueue takes Jobs that are in none of its queues."""
    return False


@pytest.fixture
def default_queue() -> bool:
    """Whether the namespace has a LocalQueue named `default`."""
    return False


@pytest.fixture
async def webhooks(devcluster: DevCluster, manages_all: bool, default_queue: bool) -> AsyncIterator[Webhooks]:
    async with connect(kubeconfig=devcluster.kubeconfig) as connected:
        yield Webhooks(connected.client, default_queue=default_queue, manages_all=manages_all)


@pytest.fixture
def cluster(webhooks: Any) -> Cluster:
    return Cluster(webhooks, default_namespace="default")


@pytest.fixture
async def kueue(cluster: Cluster, manages_all: bool) -> AsyncIterator[Kueue]:
    async with playing(cluster, manages_all=manages_all) as found:
        yield found
