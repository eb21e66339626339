"""Every request against a cluster that follows Kubernetes' rules."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator

import pytest

from events.jobs.observed import Job
from events.names import FINALIZER
from k8s.api.cluster import Cluster
from k8s.base import Conflict, Manifest, NotFound, QuotaExceeded, Refused, Unavailable
from k8s.election.lease import lead
from k8s.election.record import LeaseTiming
from k8s.informer.informer import follow
from k8s.manifests.job import render, secret_for
from tests.k8s.conftest import eventually
from tests.k8s.requests import created, make_request, options
from tests.patience import PATIENCE, within

FAST = LeaseTiming(lease=2.0, renew_deadline=1.3, retry=0.1, call=0.5)
DROP_FINALIZER: Manifest = {"metadata": {"$deleteFromPrimitiveList/finalizers": [FINALIZER]}}


def make_job(script: str, *, namespace: str = "default", **job: object) -> Manifest:
    request = make_request(
        id=secrets.token_hex(8),
        job={"image": "busybox:1", "command": ["sh", "-c", script], "namespace": namespace, **job},
    )
    return render(request, options=options(run_as_user=None)).job


def name_of(manifest: Manifest) -> str:
    name: str = manifest["metadata"]["name"]
    return name


@pytest.fixture
async def namespace(real: Cluster) -> AsyncIterator[str]:
    """A namespace for this test alone."""
    name = f"t-{secrets.token_hex(4)}"
    await real.client.request("POST", "/api/v1/namespaces", body={"metadata": {"name": name}})
    yield name
    for job in await real.list_jobs(name, ""):
        if job["metadata"].get("finalizers"):
            await real.patch_job(name, name_of(job), DROP_FINALIZER)
    await real.client.request("DELETE", f"/api/v1/namespaces/{name}")


async def finished(cluster: Cluster, namespace: str, name: str) -> Job:
    async with asyncio.timeout(PATIENCE):
        while True:
            job = await cluster.patch_job(namespace, name, {})
            if job.finished:
                return job
            await asyncio.sleep(0.05)


async def test_life_of_a_job_its_pods_and_its_log(real: Cluster, namespace: str) -> None:
    manifest = make_job("echo hello; cat $JOBRELAY_EVENT_PATH > $JOBRELAY_RESULT_PATH", namespace=namespace)
    created = await real.create_job(manifest)
    job = await finished(real, namespace, name_of(manifest))
    assert (job.uid, job.succeeded, job.has_finalizer) == (created.uid, 1, True)
    (pod,) = await real.pods_of(namespace, job.uid)
    assert pod.main is not None
    assert (pod.main.exit_code, pod.job_uid) == (0, job.uid)
    assert '"specversion":"1.0"' in (pod.main.message or "")
    log = b"".join([piece async for piece in real.pod_log(namespace, pod.name)])
    assert log == b"hello\n"
    cut = real.pod_log(namespace, pod.name, since=pod.started, limit_bytes=33, timestamps=True)
    assert b"".join([piece async for piece in cut])[30:] == b" he"
    released = await real.patch_job(namespace, job.name, {**DROP_FINALIZER, "spec": {"ttlSecondsAfterFinished": 0}})
    assert not released.has_finalizer
    async with asyncio.timeout(PATIENCE):
        while await real.list_jobs(
            namespace, f"jobrelay.dev/request={manifest['metadata']['labels']['jobrelay.dev/request']}"
        ):
            await asyncio.sleep(0.05)
    with pytest.raises(NotFound):
        await real.read_job(namespace, job.name)


async def test_log_is_followed_until_the_pod_ends(real: Cluster, namespace: str) -> None:
    manifest = make_job("echo one; sleep 0.5; echo two", namespace=namespace)
    created = await real.create_job(manifest)
    async with asyncio.timeout(PATIENCE):
        while not any(pod.started for pod in await real.pods_of(namespace, created.uid)):
            await asyncio.sleep(0.05)
        (pod,) = await real.pods_of(namespace, created.uid)
        log = b"".join([piece async for piece in real.pod_log(namespace, pod.name, follow=True)])
    assert log == b"one\ntwo\n"


async def test_patch_with_an_old_version_is_a_conflict(real: Cluster, namespace: str) -> None:
    manifest = make_job("sleep 600", namespace=namespace)
    created = await real.create_job(manifest)
    name = name_of(manifest)
    await real.patch_job(namespace, name, {"metadata": {"annotations": {"a": "b"}}})
    stale: Manifest = {"metadata": {"resourceVersion": created.version, "annotations": {"a": "c"}}}
    with pytest.raises(Conflict):
        await real.patch_job(namespace, name, stale)
    with pytest.raises(NotFound):
        await real.patch_job(namespace, "absent", {})


async def test_deleted_job_waits_for_our_finalizer_and_its_pods_can_be_deleted(real: Cluster, namespace: str) -> None:
    manifest = make_job("sleep 600", namespace=namespace)
    name = name_of(manifest)
    created = await real.create_job(manifest)
    async with asyncio.timeout(PATIENCE):
        while not any(pod.started for pod in await real.pods_of(namespace, created.uid)):
            await asyncio.sleep(0.05)
    with pytest.raises(Conflict):
        await real.delete_job(namespace, name, uid="another")
    await real.delete_job(namespace, name, uid=created.uid)
    assert (await real.patch_job(namespace, name, {})).deleted is not None
    await real.delete_pods(namespace, created.uid)
    async with asyncio.timeout(PATIENCE):
        while await real.pods_of(namespace, created.uid):
            await asyncio.sleep(0.05)
        await real.patch_job(namespace, name, DROP_FINALIZER)
        while await real.list_jobs(namespace, ""):
            await asyncio.sleep(0.05)


async def test_secret_is_created_once_read_and_deleted_by_its_uid(real: Cluster, namespace: str) -> None:
    request = make_request(id=secrets.token_hex(8), job={"image": "i", "parallelism": 2, "namespace": namespace})
    rendered = render(request, options=options())
    uid = (await real.create_job(rendered.job)).uid
    secret = secret_for(rendered, created(rendered, uid))
    name = secret["metadata"]["name"]
    made = await real.create_secret(secret)
    with pytest.raises(Conflict):
        await real.create_secret(secret)
    assert (await real.read_secret(namespace, name))["data"] == secret["data"]
    with pytest.raises(Conflict):
        await real.delete_secret(namespace, name, uid="another")
    await real.delete_secret(namespace, name, uid=made.uid)
    with pytest.raises(NotFound):
        await real.read_secret(namespace, name)


async def test_exceeded_quota_missing_namespace_and_invalid_job_are_different_errors(
    real: Cluster, namespace: str
) -> None:
    quota = {"metadata": {"name": "q"}, "spec": {"hard": {"count/jobs.batch": "0"}}}
    await real.client.request("POST", f"/api/v1/namespaces/{namespace}/resourcequotas", body=quota)
    with pytest.raises(QuotaExceeded, match="exceeded quota"):
        await real.create_job(make_job("true", namespace=namespace))
    with pytest.raises(Unavailable, match="absent-namespace"):
        await real.create_job(make_job("true", namespace="absent-namespace"))
    with pytest.raises(Refused) as caught:
        await real.create_job(make_job("true", resources={"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}))
    assert caught.value.status == 422
    assert caught.value.causes[0][0].startswith("spec.template.spec.containers[0].resources")


@pytest.mark.stricter
async def test_servers_clock_agrees_with_ours_on_this_machine(real: Cluster) -> None:
    with pytest.raises(NotFound):
        await real.read_job("default", "absent")
    assert -within(1.5) < real.server_time() - time.time() < 0.5


async def test_informer_follows_a_job_to_its_end_and_until_its_finalizer_is_removed(
    real: Cluster, namespace: str
) -> None:
    async with follow(real, namespaces=["default", namespace], selector="jobrelay.dev/instance=jobrelay") as cache:
        manifest = make_job("sleep 0.2; exit 3", namespace=namespace)
        key = (namespace, name_of(manifest))
        created = await real.create_job(manifest)
        await eventually(lambda: (job := cache.get(key)) is not None and job.condition("Failed"))
        await eventually(lambda: [pod.main and pod.main.exit_code for pod in cache.pods(created.uid)] == [3])
        entered = cache.fresh()
        await eventually(lambda: cache.fresh() > entered + 1)
        job = cache.get(key)
        assert job is not None
        meta = await real.patch_job_unread(*key, DROP_FINALIZER)
        assert (meta.uid, meta.finalizers or []) == (created.uid, [])
        cache.released(job, meta.resource_version)
        assert cache.get(key) is None
        assert cache.pods(created.uid) == []
        await cache.resync()
        assert cache.get(key) is None
        assert cache.problem is None


async def test_lease_changes_hands(real: Cluster, namespace: str) -> None:
    async def succeed() -> float | None:
        async with lead(real, namespace=namespace, name="l", identity="b", timing=FAST) as second:
            second.check(FAST.call)
            return second.previous

    first = lead(real, namespace=namespace, name="l", identity="a", timing=FAST)
    async with asyncio.TaskGroup() as group, first as leadership:
        leadership.reports(published_to=lambda: 1.5, counts=lambda: None)
        task = group.create_task(succeed())
        await asyncio.sleep(0.3)
        assert not task.done()
    assert task.result() == 1.5
