"""kill -9 of a handler between all calls by which a function's large event gets to its Job.

`make test` kills between the same calls in test_sweep.py, for the event of a request.
"""

import asyncio
import base64
from pathlib import Path

import orjson
import pytest
import yaml

from adapters.base import Kind, Topic
from events.cloudevent.event import build
from events.names import Annotation
from handler.local.processes import Process
from k8s.api.cluster import Cluster
from k8s.base import Manifest
from tests.chaos import impatient
from tests.chaos.calls import Call, Ledger, When
from tests.chaos.gateway import gateway
from tests.chaos.table import Rows
from tests.handler.jobs import our_jobs
from tests.patience import PATIENCE
from tests.processes import Installation, installation

pytestmark = [pytest.mark.long, pytest.mark.broker, pytest.mark.slow]

BODY = 200 << 10
PATH = ["POST jobs", "POST secrets", "PATCH jobs"]
"""The calls that a large event needs."""
CHECKS = 'test "$(wc -c < "$JOBRELAY_EVENT_PATH")" -gt 204800'


async def test_no_job_runs_without_its_payload_and_no_secret_is_without_its_job(tmp_path: Path, rows: Rows) -> None:
    calls = Ledger()
    async with (
        installation(tmp_path) as here,
        here.cluster() as cluster,
        gateway("handler", here.kubeconfig, [], calls=calls) as (_, kubeconfig),
        impatient.connect(here.server.url) as broker,
    ):
        await broker.declare()
        settings = {
            "JOBRELAY_ROLE": "handler",
            "JOBRELAY_KUBECONFIG": str(kubeconfig),
            "JOBRELAY_FUNCTIONS": str(functions(tmp_path)),
        }
        moments = [(0, When.BEFORE), *((number, when) for number in range(1, len(PATH) + 1) for when in When)]
        handler = await start(here, settings)
        for number, when in moments:
            event_id = f"event-{number}-{when.name.lower()}"
            calls.begin(number=number, when=when, act=lambda _: handler.kill())  # noqa: B023 - called in this round
            event = {"specversion": "1.0", "type": "com.example.any", "source": "/chaos", "id": event_id}
            await broker.publish(Topic(Kind.REQUESTS), build(event, {"body": "x" * BODY}))
            if number:
                await handler.wait()
                assert calls.struck is not None
                assert (calls.struck.verb, kind(calls.struck)) == tuple(PATH[number - 1].split())
                await consistent(cluster)
                handler = await start(here, settings)
            await completed(cluster, event_id)
            await consistent(cluster)
            if not number:
                made = [f"{call.verb} {kind(call)}" for call in calls.calls]
                assert made == PATH, "there is no other call between which to kill"
        assert len(await our_jobs(cluster)) == len(moments)
        done = f"before and after {', '.join(PATH)}"
        rows.add("kill -9 at a function's payload", "nats, handler", done=done, outcome="every Job has its whole event")


def kind(call: Call) -> str:
    """`jobs` of `/apis/batch/v1/namespaces/default/jobs/…`."""
    return call.path.partition("/namespaces/default/")[2].partition("/")[0]


def functions(directory: Path) -> Path:
    container = {"name": "main", "image": "busybox:1", "command": ["sh", "-c", CHECKS]}
    job = {"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"spec": {"containers": [container]}}}}
    path = directory / "functions.yaml"
    path.write_text(yaml.safe_dump({"functions": [{"name": "f", "filters": [], "job": job}]}))
    return path


async def start(here: Installation, settings: dict[str, str]) -> Process:
    return await here.start_relay(settings, name="handler", command=impatient.COMMAND)


async def secrets(cluster: Cluster) -> dict[str, Manifest]:
    found = orjson.loads(await cluster.client.request("GET", "/api/v1/namespaces/default/secrets"))
    return {secret["metadata"]["name"]: secret for secret in found["items"]}


async def consistent(cluster: Cluster) -> None:
    """At this moment, every Job that may run has its payload, and every payload has its Job."""
    # Jobs first: a Secret is only created after its Job, and a Job is only released after its Secret.
    found = {job["metadata"]["name"]: job for job in await our_jobs(cluster)}
    payloads = await secrets(cluster)
    for name, job in found.items():
        if not job["spec"].get("suspend"):
            assert Annotation.PAYLOAD not in job["metadata"]["annotations"]
            assert name in payloads
            body = orjson.loads(base64.b64decode(payloads[name]["data"]["event.json"]))
            assert len(body["data"]["body"]) == BODY
    uids = {job["metadata"]["uid"] for job in found.values()}
    for secret in payloads.values():
        assert {owner["uid"] for owner in secret["metadata"]["ownerReferences"]} <= uids


async def completed(cluster: Cluster, event_id: str) -> None:
    """Wait until the Job of an event is complete: its container has seen all of the event."""

    def done(job: Manifest) -> bool:
        mine = job["metadata"]["annotations"][Annotation.ID] == f"f/{event_id}"
        return mine and any(found["type"] == "Complete" for found in job.get("status", {}).get("conditions", ()))

    async with asyncio.timeout(PATIENCE):
        while not any(map(done, await our_jobs(cluster))):
            await asyncio.sleep(0.05)
