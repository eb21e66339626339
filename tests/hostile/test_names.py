"""Requests that take names of others: of failovers and runs beforehand, of payloads, of applications."""

from typing import Any

import orjson
import pytest

from events.identity import Identity, job_name
from k8s.manifests.pod import payload_name
from tests.chaos.table import Rows
from tests.e2e.observer import detail
from tests.e2e.site import Site
from tests.hostile.neighbour import SERVICE, attacked

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.broker]

RUN = "nightly@2026-12-01T03:00:00Z"


def taking(namespace: str, job: str) -> dict[str, tuple[dict[str, Any], str]]:
    """What the attacker adds to a request, and the field that is refused, by its id. `job`: of the victim."""
    payload = payload_name(job)
    secrets = {"volumes": [{"mountPath": "/s", "secret": payload}]}
    return {
        "victim/failover": ({"attributes": {"source": f"/namespaces/{namespace}/jobs/{job}"}}, "id"),
        RUN: ({}, "id"),
        "source": ({"attributes": {"source": f"/namespaces/{namespace}/cronjobs/{job}"}}, "source"),
        "volume": ({"job": secrets}, "job.volumes[0].secret"),
        "pull": ({"job": {"imagePullSecrets": [{"name": payload}]}}, "job.imagePullSecrets[0].name"),
        "service": ({"service": "payments"}, "service"),
        "label": ({"job": {"labels": {"app": SERVICE}}}, "job.labels.app"),
        "run-by": ({"failover": {"job": {"image": "busybox:1", **secrets}}}, "failover.job.volumes[0].secret"),
    }


@pytest.mark.long
async def test_nobody_takes_the_names_of_a_neighbours_requests(on_nats: Site, rows: Rows) -> None:
    settings = {"secrets": "*", "pull_secrets": "*", "services": f"e2e,{SERVICE},other=payments"}
    async with attacked(on_nats, rows, **settings) as scene:
        eyes = scene.observer
        attacks = taking(on_nats.namespace, job_name("e2e", Identity(eyes.source, "victim")))
        async with scene.neighbour("names of others", size=f"{len(attacks)} kinds"):
            for request_id, (given, _) in attacks.items():
                await scene.publish(orjson.dumps(scene.request(request_id, **given)))
            for request_id, (_, field) in attacks.items():
                error = detail(await eyes.reached(request_id, "rejected"))["error"]
                assert field in [one["path"] for one in error["fields"]], request_id
            failover = {"job": {"image": scene.site.image, "command": ["true"]}}
            await eyes.publish(scene.request("victim", "exit 1", payload="secret", failover=failover))
            assert detail(await eyes.ended("victim"))["failover"] == {"id": "victim/failover"}
            assert str((await eyes.ended("victim/failover")).get_type()).endswith(".succeeded")
