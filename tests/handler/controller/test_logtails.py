"""A container that leaves a result and fails has its log told too where logs may be read; else nothing else changes."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from adapters.memory import MemoryBroker
from events.jobs.pods import Container, Pod
from handler.controller import logtails
from handler.controller.logtails import LogTails
from k8s.api.cluster import Cluster
from k8s.base import Unavailable
from tests.events.samples import failed
from tests.handler.relay import detail, running
from tests.handler.samples import make_request
from tests.patience import PATIENCE

LEAVES = """echo '{"rows": 3}' > $JOBRELAY_RESULT_PATH; echo one; echo Traceback >&2; exit 4"""


async def test_a_failed_container_has_both_its_result_and_the_end_of_its_log(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_request("both", script=LEAVES))
        told = detail(await client.ended("both"))
        assert (told["result"], told["exitCode"], told["logTail"]) == ({"rows": 3}, 4, "one\nTraceback\n")
        assert told["error"]["message"] == "container main ended with exit code 4: Traceback"


async def test_without_permission_to_read_logs_they_are_absent_and_seldom_asked_for(
    broker: MemoryBroker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def refused(_: Cluster, namespace: str, pod: str, **__: object) -> AsyncIterator[bytes]:
        asked.append((namespace, pod))
        raise Unavailable('403 pods "x" is forbidden: User "y" cannot get resource "pods/log"')
        yield b""

    monkeypatch.setattr(Cluster, "pod_log", refused)
    async with running(broker, cluster) as client:
        for name in ("a", "b"):
            await client.publish(make_request(name, script=LEAVES))
            told = detail(await client.ended(name))
            assert (told["result"], told["exitCode"]) == ({"rows": 3}, 4)
            assert "logTail" not in told
    assert len(asked) == 1


async def test_a_log_is_cut_as_kubernetes_cuts_it(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    async def long(*_: object, **__: object) -> AsyncIterator[bytes]:
        for _number in range(200):
            yield b"x" * 4096
        yield b"\xff end"

    monkeypatch.setattr(Cluster, "pod_log", long)
    pod = failed()
    assert pod.main is not None
    assert await LogTails(cluster).of((pod, pod.main)) == "x" * (2048 - 5) + "\ufffd end"
    assert await LogTails(cluster).of(None) is None


class Nodes:
    """Pod logs of a cluster of which some nodes and namespaces do not answer well. `asked`: names of pods."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        monkeypatch.setattr(Cluster, "pod_log", self._log)

    async def _log(self, namespace: str, pod: str, **_: object) -> AsyncIterator[bytes]:
        self.asked.append(pod)
        if namespace == "secret":
            raise Unavailable('403 pods "x" is forbidden: User "y" cannot get resource "pods/log"')
        if pod.startswith("unplugged"):
            raise Unavailable("500 dial tcp 10.0.0.7:10250: i/o timeout")
        if pod.startswith("silent"):
            await asyncio.sleep(PATIENCE)
        while pod.startswith("endless"):
            yield b"x" * 65_536
        yield b"a line"
        if pod.startswith("slow"):
            await asyncio.sleep(PATIENCE)


def on(node: str, *, namespace: str = "default") -> tuple[Pod, Container]:
    pod = failed(f"{node}-pod", node=node, namespace=namespace)
    assert pod.main is not None
    return pod, pod.main


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logtails, "TIMEOUT", 0.1)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("node", ["silent", "unplugged"])
async def test_a_node_that_does_not_answer_keeps_nobody_from_the_logs_of_others(
    node: str, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes, tails = Nodes(monkeypatch), LogTails(cluster)
    assert await tails.of(on(node)) is None
    assert await tails.of(on("good")) == "a line"
    assert await tails.of(on(node)) is None
    assert nodes.asked == [f"{node}-pod", "good-pod"]


async def test_a_namespace_whose_logs_may_not_be_read_keeps_nobody_from_those_of_others(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes, tails = Nodes(monkeypatch), LogTails(cluster)
    for _ in range(2):
        assert await tails.of(on("good", namespace="secret")) is None
    assert await tails.of(on("good")) == "a line"
    assert nodes.asked == ["good-pod", "good-pod"]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("log", ["endless", "slow"])
async def test_a_log_that_does_not_end_keeps_nobody_from_others_of_its_node(
    log: str, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    Nodes(monkeypatch)
    tails = LogTails(cluster)
    pod, container = on(log)
    assert await tails.of((pod, container)) is None
    assert await tails.of((replace(pod, name="good"), container)) == "a line"


async def test_few_wait_for_a_node_that_is_slow(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logtails, "SLOW", 0.0)
    nodes, tails = Nodes(monkeypatch), LogTails(cluster)
    first = asyncio.create_task(tails.of(on("silent")))
    while not nodes.asked:
        await asyncio.sleep(0)
    for _ in range(3):
        assert await tails.of(on("silent")) is None
    assert nodes.asked == ["silent-pod"]
    first.cancel()
