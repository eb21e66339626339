"""Pods whose end somebody else has written, through the API: the node's death, an admission that failed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from k8s.devcluster.loops import Options
from k8s.devcluster.server import ServerOptions
from tests.k8s.devcluster.in_process import is_running
from tests.k8s.devcluster.served import JOBS, PODS, STRATEGIC, Client, make_job, served, until

QUICK = ServerOptions(running=Options(backoff=0.05, ready_lag=0.05))
DISRUPTED = {"type": "DisruptionTarget", "status": "True", "lastTransitionTime": "2026-01-02T03:04:05Z"}
ENDS: dict[str, dict[str, Any]] = {
    "evicted": {
        "reason": "Evicted",
        "message": "The node was low on resource: memory.",
        "conditions": [DISRUPTED | {"reason": "TerminationByKubelet"}],
    },
    "shut down": {
        "reason": "Terminated",
        "message": "Pod was terminated in response to imminent node shutdown.",
        "conditions": [DISRUPTED | {"reason": "TerminationByKubelet"}],
    },
    "lost": {
        "reason": "NodeLost",
        "message": "Node x which was running pod p is unresponsive",
        "conditions": [DISRUPTED | {"reason": "DeletionByPodGC"}],
    },
}
ONCE = "test -e ../once && exit 0; touch ../once; trap '' TERM; echo $$$$ >pid; while :; do sleep 0.05; done"


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with served(tmp_path, options=QUICK) as client:
        yield client


async def written(client: Client, pod: Any, status: dict[str, Any]) -> Any:
    path = f"{PODS}/{pod['metadata']['name']}/status"
    answer = await client("PATCH", path, {"status": {"phase": "Failed"} | status}, kind=STRATEGIC)
    assert answer.status == 200, answer.body
    return answer.body


def written_pid(directory: Path) -> str:
    return "".join(path.read_text() for path in directory.glob("pods/*/pid"))


@pytest.mark.parametrize("end", ENDS)
async def test_what_somebody_else_says_about_the_end_stays_and_the_processes_end(
    tmp_path: Path, client: Client, end: str
) -> None:
    job = make_job("ends", suspend=False)
    job["spec"]["backoffLimit"] = 1
    pod_spec = job["spec"]["template"]["spec"]
    pod_spec["containers"][0]["command"] = ["sh", "-c", ONCE]
    pod_spec["terminationGracePeriodSeconds"] = 1
    await client.made(JOBS, job)

    pid = int(await until(lambda: asyncio.to_thread(written_pid, tmp_path)))
    [pod] = await client.pods()
    told = await written(client, pod, ENDS[end])
    status = await client.finished("ends")
    assert (status["failed"], status["succeeded"]) == (1, 1)

    async def gone() -> bool:
        return not is_running(pid)

    await until(gone)
    await client.made(JOBS, make_job("next", suspend=False))  # The kubelet has said all it has to say meanwhile.
    await client.finished("next")
    kept = (await client("GET", f"{PODS}/{pod['metadata']['name']}")).body
    assert kept["status"] == told["status"]


async def test_pod_that_the_node_refused_counts_as_failed_and_never_runs(client: Client) -> None:
    job = make_job("refused", suspend=False)
    job["spec"]["template"]["spec"]["nodeSelector"] = {"disk": "ssd"}
    await client.made(JOBS, job)
    pod = (await until(client.pods))[0]
    await written(client, pod, {"reason": "OutOfcpu", "message": "Pod was rejected: Node didn't have enough cpu"})
    assert (await client.finished("refused"))["failed"] == 1
    label = {"metadata": {"labels": {"disk": "ssd"}}}
    assert (await client("PATCH", "/api/v1/nodes/devcluster", label, kind=STRATEGIC)).status == 200
    await client.made(JOBS, make_job("next", suspend=False))
    await client.finished("next")
    kept = (await client("GET", f"{PODS}/{pod['metadata']['name']}")).body
    assert kept["status"]["reason"] == "OutOfcpu"
    assert "nodeName" not in kept["spec"]
