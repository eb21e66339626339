"""A Job whose pods cannot be created stalls and says why; the API server is not asked more often than needed."""

import orjson
import pytest

from adapters.memory import MemoryBroker
from events.lifecycle.podless import Notice
from handler.controller import podless
from k8s.api.cluster import Cluster
from k8s.base import Manifest, Unavailable
from tests.events.samples import NOON, make_job, make_pod, running as running_pod
from tests.handler.relay import detail, running
from tests.handler.samples import make_request

KEY = ("default", "mail-abc")
CORE = "/api/v1/namespaces/default"
QUOTAS = f"{CORE}/resourcequotas"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(podless, "PATIENCE", 1.0)
    monkeypatch.setattr(podless, "PREPARING", 1.0)


async def forbid_pods(cluster: Cluster) -> None:
    quota: Manifest = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    await cluster.client.request("POST", QUOTAS, body=quota)


async def test_a_quota_on_pods_is_reported_once_and_the_job_runs_once_it_is_gone(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    await forbid_pods(cluster)
    async with running(broker, cluster) as client:
        await client.publish(make_request("blocked"))
        stalled = await client.reached("blocked", "stalled")
        error = detail(stalled)["error"]
        assert error["errorCode"] == "QUOTA"
        assert "exceeded quota: none" in error["message"]
        assert stalled.get_id().endswith("/stalled/QUOTA")
        await cluster.client.request("DELETE", f"{QUOTAS}/none")
        await client.ended("blocked")
        assert await client.phases("blocked") == ["created", "stalled", "started", "succeeded"]


async def limit_containers(cluster: Cluster, **limits: Manifest) -> None:
    spec: Manifest = {"limits": [{"type": "Container"} | limits]}
    await cluster.client.request("POST", f"{CORE}/limitranges", body={"metadata": {"name": "limits"}, "spec": spec})


@pytest.mark.parametrize(
    ("resources", "code", "complaint"),
    [
        (
            {"requests": {"cpu": "500m"}, "limits": {"cpu": "600m"}},
            "QUOTA",
            "exceeded quota: compute, requested: requests.cpu=500m, used: requests.cpu=0, limited: requests.cpu=250m",
        ),
        ({"limits": {"memory": "1Gi"}}, "QUOTA", "failed quota: compute: must specify requests.cpu for: "),
        (
            {"requests": {"cpu": "100m"}, "limits": {"cpu": "2"}},
            "FORBIDDEN",
            "maximum cpu usage per Container is 1, but limit is 2",
        ),
    ],
)
async def test_what_a_namespace_limits_is_told_in_the_words_of_kubernetes(
    broker: MemoryBroker, cluster: Cluster, resources: Manifest, code: str, complaint: str
) -> None:
    quota: Manifest = {"metadata": {"name": "compute"}, "spec": {"hard": {"requests.cpu": "0.25"}}}
    await cluster.client.request("POST", QUOTAS, body=quota)
    if code == "FORBIDDEN":
        await limit_containers(cluster, max={"cpu": "1"})
    async with running(broker, cluster) as client:
        await client.publish(make_request("held", job={"resources": resources}))
        stalled = await client.reached("held", "stalled")
        error = detail(stalled)["error"]
        assert error["errorCode"] == code
        assert complaint in error["message"]
        assert stalled.get_id().endswith(f"/stalled/{code}")


async def test_a_pod_runs_with_the_defaults_of_its_namespace_where_a_quota_demands_them(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    quota: Manifest = {"metadata": {"name": "compute"}, "spec": {"hard": {"requests.cpu": "1", "limits.cpu": "1"}}}
    await cluster.client.request("POST", QUOTAS, body=quota)
    await limit_containers(cluster, default={"cpu": "500m"}, defaultRequest={"cpu": "100m"})
    async with running(broker, cluster) as client:
        await client.publish(make_request("small"))
        await client.ended("small")
        assert await client.phases("small") == ["created", "started", "succeeded"]
    (pod,) = orjson.loads(await cluster.client.request("GET", f"{CORE}/pods"))["items"]
    (container,) = pod["spec"]["containers"]
    assert container["resources"] == {"limits": {"cpu": "500m"}, "requests": {"cpu": "100m"}}


async def test_a_pod_whose_volume_is_missing_stalls_and_its_start_timeout_repeats_why(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    async with running(broker, cluster) as client:
        volume = {"mountPath": "/settings", "configMap": "none"}
        await client.publish(make_request("unmounted", job={"volumes": [volume]}, startTimeout=5))
        error = detail(await client.reached("unmounted", "stalled"))["error"]
        assert error["errorCode"] == "CREATE_CONTAINER"
        assert 'configmap "none" not found' in error["message"]
        end = detail(await client.ended("unmounted"))["error"]
        assert end["errorCode"] == "START_TIMEOUT"
        assert end["message"].endswith(f"; CREATE_CONTAINER: {error['message']}")
        assert await client.phases("unmounted") == ["created", "stalled", "failed"]


async def test_without_permission_to_read_events_no_reason_is_reported(
    broker: MemoryBroker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = 0

    async def refused(*_: object) -> list[Notice]:
        nonlocal asked
        asked += 1
        raise Unavailable("403 events is forbidden")

    monkeypatch.setattr(Cluster, "warnings", refused)
    await forbid_pods(cluster)
    async with running(broker, cluster) as client:
        await client.publish(make_request("blocked", startTimeout=4))
        assert detail(await client.ended("blocked"))["error"]["errorCode"] == "START_TIMEOUT"
        assert await client.phases("blocked") == ["created", "failed"]
    warnings = [record for record in caplog.records if "cannot read why" in record.getMessage()]
    assert len(warnings) == 1
    assert 1 <= asked <= 4


async def test_a_pod_that_a_node_prepares_has_longer_until_anybody_asks(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(podless, "PREPARING", 7.0)
    asks = podless.Podless(cluster)
    asks.look(make_job(start_time=NOON), [make_pod(waiting_reason="ContainerCreating")], now=NOON + 1)
    assert asks.next_look(KEY) == NOON + 7
    asks.look(make_job(start_time=NOON), [], now=NOON)
    assert asks.next_look(KEY) == NOON + podless.PATIENCE


async def test_questions_about_a_job_become_rarer_and_end_with_its_pod(cluster: Cluster) -> None:
    asks = podless.Podless(cluster)
    job, times = make_job(start_time=NOON), []
    for second in range(200):
        before = asks.next_look(KEY)
        asks.look(job, [], now=NOON + second)
        if before is not None and asks.next_look(KEY) != before:
            times.append(second)
    assert times == [1, 6, 16, 36, 76, 136, 196]
    asks.look(job, [running_pod()], now=NOON + 201)
    assert asks.next_look(KEY) is None
