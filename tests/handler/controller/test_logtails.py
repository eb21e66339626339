"""A container that leaves a result and fails has its log told too where logs may be read; else nothing else changes."""

from collections.abc import AsyncIterator

import pytest

from adapters.memory import MemoryBroker
from handler.controller.logtails import LogTails
from k8s.api.cluster import Cluster
from k8s.base import Unavailable
from tests.events.samples import failed
from tests.handler.relay import detail, running
from tests.handler.samples import make_request

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
    async def endless(*_: object, **__: object) -> AsyncIterator[bytes]:
        for _number in range(1000):
            yield b"x" * 4096
        yield b"\xff end"

    monkeypatch.setattr(Cluster, "pod_log", endless)
    pod = failed()
    assert pod.main is not None
    assert await LogTails(cluster).of((pod, pod.main)) == "x" * (2048 - 5) + "\ufffd end"
    assert await LogTails(cluster).of(None) is None
