"""A launch is idempotent, and survives a crash before and after each of its calls."""

import base64
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest

from events.names import Annotation
from events.request.request import Request
from handler.effects.launcher import Outcome, Taken, launch
from k8s.api.cluster import Cluster
from k8s.base import Manifest
from k8s.kueue import GATED_BY, KueueOptions
from k8s.manifests.job import Rendered, render, secret_for
from k8s.manifests.options import ManifestOptions
from k8s.manifests.pod import payload_name
from tests.handler.jobs import our_jobs
from tests.handler.samples import make_request, until
from tests.k8s.requests import created

INLINE, SECRET = 16384, 0


def make_rendered(
    *, inline_bytes: int = INLINE, script: str = "true", request_id: str = "r-1", queue: str | None = None
) -> Rendered:
    options = ManifestOptions(
        namespace="default", broker="memory", inline_bytes=inline_bytes, kueue=KueueOptions(queue=queue)
    )
    return render(Request.of(make_request(request_id, script=script)), options=options)


async def secret_of(cluster: Cluster, job: Manifest) -> Manifest:
    return await cluster.read_secret("default", payload_name(job["metadata"]["name"]))


class Crash(Exception):
    """The process is gone."""


class Crashing:
    """A cluster whose client crashes at its n-th call, either before the call is sent or after it was carried out."""

    def __init__(self, cluster: Cluster, *, at: int, carried_out: bool) -> None:
        self._cluster = cluster
        self._left = at
        self._carried_out = carried_out
        self.crashed = False

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._cluster, name)
        return self._counted(found) if name.split("_")[0] in ("create", "read", "patch", "delete") else found

    def _counted(self, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def counted(*args: Any, **options: Any) -> Any:
            self._left -= 1
            if self._left:
                return await call(*args, **options)
            self.crashed = True
            if self._carried_out:
                await call(*args, **options)
            raise Crash

        return counted


async def test_a_small_event_is_one_job_and_no_secret(cluster: Cluster) -> None:
    rendered = make_rendered()
    assert await launch(cluster, rendered) is Outcome.CREATED
    (job,) = await our_jobs(cluster)
    assert job["spec"]["suspend"] is False
    assert orjson.loads(job["spec"]["template"]["metadata"]["annotations"][Annotation.EVENT])["id"] == "event-r-1"
    assert Annotation.PAYLOAD not in job["metadata"]["annotations"]


async def test_a_large_event_is_a_secret_owned_by_the_job_before_it_runs(cluster: Cluster) -> None:
    rendered = make_rendered(inline_bytes=SECRET, script='test -s "$JOBRELAY_EVENT_PATH"')
    assert await launch(cluster, rendered) is Outcome.CREATED
    (job,) = await our_jobs(cluster)
    secret = await secret_of(cluster, job)
    assert secret["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]
    assert orjson.loads(base64.b64decode(secret["data"]["event.json"]))["data"]["id"] == "r-1"
    assert job["spec"]["suspend"] is False
    assert Annotation.PAYLOAD not in job["metadata"]["annotations"]
    assert Annotation.RELEASED in job["metadata"]["annotations"]

    async def complete() -> bool:
        (job,) = await our_jobs(cluster)
        return any(condition["type"] == "Complete" for condition in job["status"].get("conditions", []))

    await until(complete)


@pytest.mark.parametrize("inline_bytes", [INLINE, SECRET])
async def test_a_repeat_is_a_duplicate_and_changes_nothing(cluster: Cluster, inline_bytes: int) -> None:
    rendered = make_rendered(inline_bytes=inline_bytes, script="sleep 600")
    await launch(cluster, rendered)
    (first,) = await our_jobs(cluster)
    assert await launch(cluster, rendered) is Outcome.DUPLICATE
    (second,) = await our_jobs(cluster)
    assert second["metadata"]["uid"] == first["metadata"]["uid"]
    assert second["spec"] == first["spec"]


@pytest.mark.parametrize("carried_out", [False, True])
@pytest.mark.parametrize("at", [1, 2, 3])
async def test_a_crash_at_any_call_is_finished_by_the_redelivery(cluster: Cluster, at: int, carried_out: bool) -> None:
    rendered = make_rendered(inline_bytes=SECRET)
    crashing: Any = Crashing(cluster, at=at, carried_out=carried_out)
    with pytest.raises(Crash):
        await launch(crashing, rendered)
    await launch(cluster, rendered)
    (job,) = await our_jobs(cluster)
    assert job["spec"]["suspend"] is False
    assert Annotation.PAYLOAD not in job["metadata"]["annotations"]
    owner = (await secret_of(cluster, job))["metadata"]["ownerReferences"][0]
    assert owner["uid"] == job["metadata"]["uid"]


@pytest.mark.parametrize("carried_out", [False, True])
@pytest.mark.parametrize("at", [1, 2, 3])
async def test_a_job_in_kueue_gets_its_payload_and_is_left_to_kueue(
    cluster: Cluster, at: int, carried_out: bool
) -> None:
    rendered = make_rendered(inline_bytes=SECRET, queue="team")
    crashing: Any = Crashing(cluster, at=at, carried_out=carried_out)
    with pytest.raises(Crash):
        await launch(crashing, rendered)
    await launch(cluster, rendered)
    (job,) = await our_jobs(cluster)
    assert job["spec"]["suspend"] is True
    assert not {Annotation.PAYLOAD, Annotation.RELEASED, GATED_BY} & job["metadata"]["annotations"].keys()
    assert (await secret_of(cluster, job))["data"]


async def test_a_gate_of_another_owner_before_kueue_stays(cluster: Cluster) -> None:
    rendered = make_rendered(inline_bytes=SECRET, queue="team")
    rendered.job["metadata"]["annotations"][GATED_BY] = "example.com/estimate"
    await launch(cluster, rendered)
    (job,) = await our_jobs(cluster)
    assert job["metadata"]["annotations"][GATED_BY] == "example.com/estimate"


async def test_a_launch_with_a_secret_takes_three_calls(cluster: Cluster) -> None:
    crashing: Any = Crashing(cluster, at=4, carried_out=False)
    await launch(crashing, make_rendered(inline_bytes=SECRET))
    assert not crashing.crashed, "the crash test above must cover every call"


async def test_a_secret_of_an_earlier_job_of_that_name_is_replaced(cluster: Cluster) -> None:
    rendered = make_rendered(inline_bytes=SECRET)
    await cluster.create_secret({**secret_for(rendered, created(rendered, "gone")), "immutable": False, "data": {}})
    await launch(cluster, rendered)
    (job,) = await our_jobs(cluster)
    secret = await secret_of(cluster, job)
    assert secret["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]
    assert secret["data"]


async def test_a_secret_that_is_nobodys_payload_is_not_replaced(cluster: Cluster) -> None:
    """Jobs of earlier versions have Secrets of their own names."""
    rendered = make_rendered(inline_bytes=SECRET)
    name = rendered.job["metadata"]["name"]
    rendered.job["spec"]["template"]["spec"]["volumes"][0]["secret"]["secretName"] = name
    await cluster.create_secret(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "default"}}
    )
    with pytest.raises(Taken) as caught:
        await launch(cluster, rendered)
    assert caught.value.code == "NAME_TAKEN"
    await cluster.read_secret("default", name)


async def test_the_same_id_with_other_data_is_refused(cluster: Cluster) -> None:
    await launch(cluster, make_rendered(script="true"))
    with pytest.raises(Taken) as caught:
        await launch(cluster, make_rendered(script="false"))
    assert caught.value.code == "ID_REUSED"
    assert "id was used before" in str(caught.value)


async def test_a_name_that_a_foreign_job_has_is_refused(cluster: Cluster) -> None:
    rendered = make_rendered()
    foreign = {**rendered.job, "metadata": {"name": rendered.job["metadata"]["name"], "namespace": "default"}}
    await cluster.create_job(foreign)
    with pytest.raises(Taken) as caught:
        await launch(cluster, rendered)
    assert caught.value.code == "NAME_TAKEN"


async def test_a_payload_that_another_handler_left_pending_is_added_whatever_our_limit(cluster: Cluster) -> None:
    await cluster.create_job(make_rendered(inline_bytes=SECRET).job)
    assert await launch(cluster, make_rendered(inline_bytes=INLINE)) is Outcome.DUPLICATE
    (job,) = await our_jobs(cluster)
    secret = await secret_of(cluster, job)
    assert orjson.loads(base64.b64decode(secret["data"]["event.json"]))["data"]["id"] == "r-1"
    assert job["spec"]["suspend"] is False
