"""Everything that batch/v1 offers, through a relay: the outcome of several pods is reported once, and by index."""

from typing import Any

from adapters.memory import MemoryBroker
from k8s.api.cluster import Cluster
from tests.handler.relay import detail, running
from tests.handler.samples import make_request

ANSWER = 'echo "$JOB_COMPLETION_INDEX" > "$JOBRELAY_RESULT_PATH"'
INDEXED: dict[str, Any] = {"completionMode": "Indexed", "completions": 3, "parallelism": 3}


async def ends(broker: MemoryBroker, cluster: Cluster, *events: Any) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Run these requests at the same time. Returns the terminal detail and all phases of each, by request id."""
    async with running(broker, cluster, progress_seconds=0) as client:
        await client.publish(*events)
        found = {}
        phases = {}
        for event in events:
            name = event.get_data()["id"]
            found[name] = detail(await client.ended(name))
            phases[name] = [phase for phase in await client.phases(name) if phase != "progress"]
        return found, phases


async def test_several_pods_start_once_and_their_results_are_reported_by_index(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    queue = {"parallelism": 2}
    any_index = {**INDEXED, "successPolicy": {"rules": [{"succeededIndexes": "0"}]}}
    found, phases = await ends(
        broker,
        cluster,
        make_request("indexed", script=ANSWER, job=INDEXED),
        make_request("queue", script="true", job=queue),
        make_request("any", script=f"sleep $((JOB_COMPLETION_INDEX * 600)); {ANSWER}", job=any_index),
    )
    assert list(phases.values()) == [["created", "started", "succeeded"]] * 3
    assert found["indexed"]["results"] == [{"index": index, "exitCode": 0, "result": index} for index in range(3)]
    assert len(found["queue"]["results"]) == 2
    assert found["any"]["results"] == [{"index": 0, "exitCode": 0, "result": 0}]


async def test_policies_end_a_job_with_their_own_codes(broker: MemoryBroker, cluster: Cluster) -> None:
    each = {**INDEXED, "backoffLimitPerIndex": 1}
    odd = f'test "$JOB_COMPLETION_INDEX" != 1 || exit 1; {ANSWER}'
    exit_codes = {"operator": "In", "values": [42]}
    found, phases = await ends(
        broker,
        cluster,
        make_request("each", script=odd, job=each),
        make_request("most", script="exit 1", job={**each, "backoffLimitPerIndex": 0, "maxFailedIndexes": 1}),
        make_request(
            "policy",
            script="exit 42",
            retries=5,
            job={"podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": exit_codes}]}},
        ),
    )
    assert {name: end["error"]["errorCode"] for name, end in found.items()} == {
        "each": "FAILED_INDEXES",
        "most": "MAX_FAILED_INDEXES",
        "policy": "POD_FAILURE_POLICY",
    }
    assert phases["each"] == ["created", "started", "retrying", "failed"]
    assert found["each"]["failedIndexes"] == "1"
    assert [result["index"] for result in found["each"]["results"]] == [0, 2]
    assert found["policy"]["exitCode"] == 42


async def test_volumes_are_mounted_and_writable(broker: MemoryBroker, cluster: Cluster) -> None:
    settings = {"metadata": {"name": "settings"}, "data": {"greeting": "hello"}}
    await cluster.client.request("POST", "/api/v1/namespaces/default/configmaps", body=settings)
    volumes = [{"mountPath": "/settings", "configMap": "settings"}, {"mountPath": "/scratch", "emptyDir": {}}]
    script = 'cp /settings/greeting /scratch/x && cat /scratch/x > "$JOBRELAY_RESULT_PATH"'
    found, _ = await ends(broker, cluster, make_request("volumes", script=script, job={"volumes": volumes}))
    assert found["volumes"].get("result") == "hello", found


async def test_a_gpu_that_no_node_has_stalls(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_request("gpu", startTimeout=2, job={"gpuEnable": True}))
        stalled = await client.reached("gpu", "stalled")
        assert detail(stalled)["error"]["errorCode"] == "UNSCHEDULABLE"
        assert "nvidia.com/gpu" in detail(stalled)["error"]["message"]
        assert detail(await client.ended("gpu"))["error"]["errorCode"] == "START_TIMEOUT"


async def test_pods_that_pod_security_refuses_stall_until_the_start_timeout(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    labels = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    content_type = "application/strategic-merge-patch+json"
    path = "/api/v1/namespaces/default"
    await cluster.client.request("PATCH", path, body=labels, content_type=content_type)
    async with running(broker, cluster, pod_security="off") as client:
        await client.publish(make_request("refused", startTimeout=8))
        error = detail(await client.reached("refused", "stalled"))["error"]
        assert error["errorCode"] == "FORBIDDEN"
        assert 'violates PodSecurity "restricted:latest"' in error["message"]
        assert detail(await client.ended("refused"))["error"]["errorCode"] == "START_TIMEOUT"
