"""Pods in which a client has written what no kubelet would: their Job ends all the same."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from k8s.devcluster.loops import Options
from k8s.devcluster.server import ServerOptions
from tests.k8s.devcluster.served import JOBS, PODS, STRATEGIC, Client, make_job, served, until

QUICK = ServerOptions(running=Options(backoff=0.05, ready_lag=0.05))


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with served(tmp_path, options=QUICK) as client:
        yield client


MAIN = {"name": "main", "image": "x", "imageID": "", "ready": False, "restartCount": 0}
NONSENSE: dict[str, dict[str, Any]] = {
    "no times": {"containerStatuses": [MAIN | {"state": {"terminated": {"exitCode": 1}}}]},
    "no exit code": {"containerStatuses": [MAIN | {"state": {"terminated": {}}}]},
    "no name": {"containerStatuses": [{"state": {"terminated": {"exitCode": 1}}}]},
    "no state": {"containerStatuses": [{"name": "main"}]},
    "no status": {"containerStatuses": [{}], "initContainerStatuses": [{}]},
    "still running": {"containerStatuses": [MAIN | {"state": {"running": {}}}]},
    "nameless condition": {"conditions": [{"status": "True"}]},
    "condition without status": {"conditions": [{"type": "Ready"}, {"type": "DisruptionTarget"}]},
    "condition without time": {"conditions": [{"type": "Ready", "status": "False"}]},
}
RULES = [
    {"action": "Ignore", "onPodConditions": [{"type": "Odd", "status": "True"}]},
    {"action": "Ignore", "onExitCodes": {"containerName": "main", "operator": "In", "values": [77]}},
]


@pytest.mark.parametrize("nonsense", NONSENSE)
async def test_no_status_of_a_pod_keeps_its_job_from_ending(client: Client, nonsense: str) -> None:
    job = make_job("odd", suspend=False)
    job["spec"]["podFailurePolicy"] = {"rules": RULES}
    job["spec"]["template"]["spec"]["nodeSelector"] = {"disk": "ssd"}
    await client.made(JOBS, job)
    pod = (await until(client.pods))[0]
    path = f"{PODS}/{pod['metadata']['name']}/status"
    status = pod["status"] | {"phase": "Failed"} | NONSENSE[nonsense]
    assert (await client("PUT", path, pod | {"status": status})).status == 200
    assert (await client.finished("odd"))["failed"] == 1


@pytest.mark.parametrize("text", ["²", "9" * 5000, "-1", ""])
async def test_annotations_that_are_no_numbers_do_not_keep_a_job_from_ending(client: Client, text: str) -> None:
    job = make_job("odd", suspend=False)
    counts = "batch.kubernetes.io/job-index-failure-count", "batch.kubernetes.io/job-index-ignored-failure-count"
    job["spec"] |= {"completionMode": "Indexed", "completions": 1, "backoffLimitPerIndex": 0}
    del job["spec"]["backoffLimit"]
    job["spec"]["template"]["spec"]["nodeSelector"] = {"disk": "ssd"}
    await client.made(JOBS, job)
    pod = (await until(client.pods))[0]
    path = f"{PODS}/{pod['metadata']['name']}"
    odd = {"metadata": {"annotations": dict.fromkeys(counts, text)}}
    assert (await client("PATCH", path, odd, kind=STRATEGIC)).status == 200
    failed = {"status": {"phase": "Failed"}}
    assert (await client("PATCH", f"{path}/status", failed, kind=STRATEGIC)).status == 200
    status = await client.finished("odd")
    assert (status["failed"], status["failedIndexes"]) == (1, "0")
