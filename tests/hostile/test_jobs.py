"""Whoever may write Jobs writes all that they can say: it harms those Jobs alone, and gets nothing forbidden."""

import asyncio
from typing import Any

import orjson
import pytest

from events.identity import Identity
from events.names import FINALIZER, Annotation, Payload
from events.request.request import Request, check_request
from k8s.base import Manifest
from k8s.manifests.job import render
from k8s.manifests.options import ManifestOptions
from k8s.manifests.pod import EVENT_FILE
from tests.chaos.table import Rows
from tests.e2e.observer import detail
from tests.e2e.site import Site
from tests.events.samples import make_request_event
from tests.hostile.neighbour import Scene, attacked
from tests.patience import PATIENCE

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.broker]

VICTIM = "victim-keys"
FAR = "9999-12-31T23:59:59Z"
DEEP = '{"key": {"a": ' + '{"b":' * 5_000
OTHER = {"image": "busybox:1", "envRef": [{"name": VICTIM, "type": "secret"}]}
FORGED: dict[str, dict[str, str]] = {
    "failover": {Annotation.FAILOVER: orjson.dumps({**OTHER, "namespace": "kube-system"}).decode()},
    "secret": {Annotation.RETRY: '{"limit": 3, "delay": 0}'},
    "reply": {Annotation.REPLY_TO: "jobrelay.requests.normal"},
    "broker": {Annotation.BROKER: "none"},
    "deep": dict.fromkeys((Annotation.QUEUEING, Annotation.RETRY, Annotation.STARTED, Annotation.DEPENDENCIES), DEEP),
    "deep-queue": {Annotation.QUEUEING: DEEP, Annotation.QUEUED: "created"},
    "deep-told": dict.fromkeys((Annotation.TAGS, Annotation.METADATA, Annotation.CONTEXT, Annotation.VERDICT), DEEP),
    "far": {
        **dict.fromkeys((Annotation.ACCEPTED, Annotation.QUEUED, Annotation.RELEASED), FAR),
        **dict.fromkeys((Annotation.START_TIMEOUT, Annotation.TIMEOUT, Annotation.TTL), "9" * 18),
        Annotation.RETRY: '{"limit": 1000, "delay": 31622400, "factor": 1000}',
    },
    "large": {Annotation.METADATA: orjson.dumps({"k": "x" * 200_000}).decode()},
    "verdict": {
        Annotation.VERDICT: orjson.dumps(
            {"phase": "failed", "errorCode": "E" * 1000, "message": "m" * 200_000, "at": FAR}
        ).decode()
    },
    "many": {Annotation.QUEUEING: orjson.dumps({"dependencies": [f"d-{n}" for n in range(20_000)]}).decode()},
    "newer": {Annotation.VERSION: "999999"},
    "pending": {Annotation.PAYLOAD: Payload.PENDING},
}
"""Annotations of a Job by the id of the request that it is said to be of."""
STAY = {"newer", "pending", "deep-queue"}
"""Those that wait for something, and hold nothing up meanwhile."""


def forged(scene: Scene, request_id: str) -> Manifest:
    """A Job as jobrelay makes it, but for these annotations. It fails."""
    asked = check_request({"job": {"image": scene.site.image, "command": ["false"]}})
    request = Request(Identity("/forged", request_id), asked, make_request_event())
    options = ManifestOptions(instance=scene.instance, namespace=scene.site.namespace, broker=scene.site.broker)
    job = render(request, options=options).job
    job["metadata"]["annotations"] |= FORGED[request_id]
    if request_id == "secret":
        pod = job["spec"]["template"]["spec"]
        pod["volumes"] = [{"name": pod["volumes"][0]["name"], "secret": {"secretName": VICTIM}}]
    job["spec"]["suspend"] = request_id in STAY
    return job


async def test_forged_jobs_get_nothing_that_policy_forbids_and_hold_up_nobody(on_nats: Site, rows: Rows) -> None:
    cluster, namespace = on_nats.cluster, on_nats.namespace
    secret = {"metadata": {"name": VICTIM, "namespace": namespace}, "data": {EVENT_FILE: "aGlkZGVu"}}
    await cluster.create_secret({"apiVersion": "v1", "kind": "Secret", **secret})
    async with (
        attacked(on_nats, rows, max_active=100) as scene,
        scene.neighbour("forged Jobs", size=f"{len(FORGED)} kinds"),
    ):
        names = {}
        for request_id in FORGED:
            job = forged(scene, request_id)
            names[request_id] = job["metadata"]["name"]
            await cluster.create_job(job)
        for request_id in FORGED.keys() - STAY:
            await _let_go(scene, names[request_id])
        failed = detail(scene.observer.of("failover")[-1])
        assert "failover" not in failed
        refused = detail(await scene.observer.reached("failover/failover", "rejected"))["error"]
        assert {field["path"] for field in refused["fields"]} == {"job.namespace", "job.envRef[0].name"}
        assert "not its own" in detail(await scene.observer.reached("secret", "failed"))["error"]["message"]
        for event in scene.observer.of("reply"):
            assert "JOBRELAY_REPLY_TOPICS" in detail(event)["undelivered"]["reason"]
        made = await cluster.list_jobs(namespace, f"jobrelay.dev/instance={scene.instance}")
        sources = {job["metadata"]["name"]: job["metadata"]["annotations"][Annotation.SOURCE] for job in made}
        forged_ones = {name for name, source in sources.items() if source == "/forged"}
        assert forged_ones == {*names.values(), f"{names['far']}-2"}, "what is judged by nobody made a Job"
    assert (await cluster.read_secret(namespace, VICTIM))["data"] == secret["data"]


async def _let_go(scene: Scene, name: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            job: Any = await scene.site.cluster.read_job(scene.site.namespace, name)
            if FINALIZER not in job["metadata"].get("finalizers", ()):
                return
            await asyncio.sleep(0.1)
