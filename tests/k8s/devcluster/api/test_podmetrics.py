"""`metrics.k8s.io` of the development cluster: what its processes really use, in the form of a metrics server."""

import asyncio
import re
from pathlib import Path
from typing import Any

from k8s.devcluster.server import ServerOptions
from k8s.reading.quantity import parse
from tests.k8s.devcluster.served import JOBS, Client, make_job, served
from tests.patience import PATIENCE

METRICS = "/apis/metrics.k8s.io/v1beta1"
IN_DEFAULT = f"{METRICS}/namespaces/default/pods"
MIB = 1024 * 1024
# A child uses the memory: children count, and the pod's own process only waits.
BUSY = "python3 -c 'held = bytearray(64 << 20)\nwhile True: pass' & wait"


async def run(client: Client, name: str, script: str) -> None:
    job = make_job(name, suspend=False)
    template = job["spec"]["template"]
    template["metadata"] = {"labels": {"of": name}}
    template["spec"]["containers"][0]["command"] = ["sh", "-c", script]
    await client.made(JOBS, job)


async def measured(client: Client, name: str, *, cpu: str = "0", memory: int = 0) -> dict[str, Any]:
    """The PodMetrics of this Job's pod, once it uses at least `cpu` cores and more than `memory` bytes."""
    async with asyncio.timeout(PATIENCE):
        while True:
            items = (await client("GET", f"{IN_DEFAULT}?labelSelector=of={name}")).body["items"]
            usage = items[0]["containers"][0]["usage"] if items else {"cpu": "0", "memory": "0"}
            if parse(usage["cpu"]) >= parse(cpu) and parse(usage["memory"]) > memory:
                return dict(items[0])
            await asyncio.sleep(0.1)


async def test_a_running_pod_shows_what_all_its_processes_use(client: Client) -> None:
    await run(client, "busy", BUSY)
    await run(client, "idle", "sleep 60")
    # A whole core on an idle machine; this machine may be busy.
    busy, idle = await measured(client, "busy", cpu="100m", memory=64 * MIB), await measured(client, "idle")
    (container,) = busy["containers"]
    assert container["name"] == "main"
    assert parse(container["usage"]["cpu"]) < 2
    assert parse(container["usage"]["memory"]) < 200 * MIB
    assert parse(idle["containers"][0]["usage"]["cpu"]) < parse("100m")


async def test_pod_metrics_have_the_form_of_a_metrics_server(client: Client) -> None:
    await run(client, "one", "sleep 60")
    pod = await measured(client, "one")
    assert pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] == "one"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", pod["timestamp"])
    assert re.fullmatch(r"\d+(\.\d+)?s", pod["window"])
    assert re.fullmatch(r"0|\d+n", pod["containers"][0]["usage"]["cpu"])
    assert re.fullmatch(r"\d+Ki", pod["containers"][0]["usage"]["memory"])
    everywhere = (await client("GET", f"{METRICS}/pods")).body
    assert (everywhere["kind"], everywhere["apiVersion"]) == ("PodMetricsList", "metrics.k8s.io/v1beta1")
    assert [item["metadata"]["name"] for item in everywhere["items"]] == [pod["metadata"]["name"]]
    single = (await client("GET", f"{IN_DEFAULT}/{pod['metadata']['name']}")).body
    assert (single["kind"], single["metadata"]["name"]) == ("PodMetrics", pod["metadata"]["name"])
    assert (await client("GET", f"{METRICS}/namespaces/other/pods")).body["items"] == []
    assert (await client("GET", f"{IN_DEFAULT}?labelSelector=of=another")).body["items"] == []


async def test_a_pod_that_does_not_run_has_no_metrics(client: Client) -> None:
    answer = await client("GET", f"{IN_DEFAULT}/nobody")
    assert (answer.status, answer.body["message"]) == (404, 'podmetrics.metrics.k8s.io "default/nobody" not found')
    await run(client, "over", "true")
    async with client.watching(JOBS) as events:
        async for _, job in events:
            if job["status"].get("succeeded"):
                break
    assert (await client("GET", IN_DEFAULT)).body["items"] == []


async def test_metrics_can_only_be_read(client: Client) -> None:
    assert (await client("DELETE", f"{IN_DEFAULT}/nobody")).status == 405
    assert (await client("GET", f"{IN_DEFAULT}?watch=1")).status == 405
    groups = (await client("GET", "/apis")).body["groups"]
    assert "metrics.k8s.io" in {group["name"] for group in groups}
    (pods,) = (await client("GET", METRICS)).body["resources"]
    assert (pods["name"], pods["kind"], pods["namespaced"], pods["verbs"]) == (
        "pods",
        "PodMetrics",
        True,
        ["get", "list"],
    )


async def test_a_server_without_metrics_does_not_know_their_paths(tmp_path: Path) -> None:
    async with served(tmp_path, options=ServerOptions(metrics=False)) as client:
        for path in (METRICS, IN_DEFAULT, "/apis/metrics.k8s.io"):
            answer = await client("GET", path)
            assert (answer.status, answer.body) == (404, "404 page not found\n")
        groups = (await client("GET", "/apis")).body["groups"]
        assert "metrics.k8s.io" not in {group["name"] for group in groups}


async def test_a_user_without_rights_to_metrics_gets_403(tmp_path: Path) -> None:
    async with served(tmp_path, options=ServerOptions(restricted={"weak": "somebody"})) as client:
        answer = await client("GET", IN_DEFAULT, Authorization="Bearer weak")
    assert answer.status == 403
    assert answer.body["message"].startswith(
        'pods.metrics.k8s.io is forbidden: User "somebody" cannot list resource "pods" in API group "metrics.k8s.io"'
    )
