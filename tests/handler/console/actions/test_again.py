"""A former request is asked for again with all that anything still has of it; what is missing is said."""

from pathlib import Path

import orjson
import pytest

from adapters.memory import MemoryBroker
from events.cloudevent.event import build
from handler.console.actions.again import again, next_id, run_again
from handler.console.http.problems import Problem
from k8s.api.cluster import Cluster
from k8s.base import NotFound
from tests.handler.console.actions.acting import ADA, Site, site
from tests.handler.samples import make_request, until

FUNCTIONS = """
functions:
- name: thumb
  filters: [{exact: {type: com.example.made, source: /cameras}}]
  job:
    apiVersion: batch/v1
    kind: Job
    spec: {template: {spec: {restartPolicy: Never, containers: [{name: main, image: busybox, command: ["true"]}]}}}
"""


@pytest.mark.parametrize(
    ("former", "begins"),
    [
        ("a", "a-again-"),
        ("a-again-0123ab", "a-again-"),
        ("a@2026-01-01T00:00:00Z", "a-again-"),
        ("a-again-0123ab/failover", "a-again-"),
        ("x" * 256, "x" * 200 + "-again-"),
    ],
)
def test_the_new_id_shows_what_it_repeats(former: str, begins: str) -> None:
    assert next_id(former).startswith(begins)
    assert len(next_id(former)) == len(begins) + 6
    assert next_id(former) != next_id(former)


async def _gone(here: Site, cluster: Cluster, request_id: str) -> int:
    """The number of a request whose Job is deleted."""
    request = await here.recorded(request_id, "succeeded")
    namespace, job = str(request.namespace), str(request.job)

    async def released() -> bool:
        return not (await cluster.read_job(namespace, job))["metadata"].get("finalizers")

    await until(released)
    await cluster.delete_job(namespace, job)

    async def away() -> bool:
        try:
            await cluster.read_job(namespace, job)
        except NotFound:
            return True
        return False

    await until(away)
    return request.pk


async def test_a_request_is_found_where_it_is(broker: MemoryBroker, cluster: Cluster, tmp_path: Path) -> None:
    functions = tmp_path / "functions.yaml"
    functions.write_text(FUNCTIONS)
    async with site(broker, cluster, functions=functions) as here:
        env = [{"name": "A", "value": "$(B)"}]
        resources = {"requests": {"cpu": "10m"}}
        secret = make_request(
            "hidden", payload="secret", job={"env": env, "workingDir": "/tmp", "resources": resources}
        )
        made = build({"specversion": "1.0", "id": "f-1", "type": "com.example.made", "source": "/cameras"}, {"n": 1})
        refused = make_request("refused", job={"image": "busybox", "colour": "red"})
        await here.client.publish(secret, made, refused, make_request("gone", priority=3))

        found = await again(here.backend, (await here.recorded("hidden", "succeeded")).pk)
        assert not found.whole
        job = found.document["data"]["job"]
        assert (job["env"], job["workingDir"], job["command"]) == (env, "/tmp", ["sh", "-c", "true"])
        assert job["resources"]["requests"] == {"cpu": "10m"}

        function = await again(here.backend, (await here.recorded("thumb/f-1", "succeeded")).pk)
        assert function.function
        assert function.whole
        assert (function.document["type"], function.document["data"]) == ("com.example.made", {"n": 1})
        assert "every function" in function.notes[0]
        form = await (await here.page.get("/submit?as=event&function=thumb")).text()
        assert 'value="/cameras"' in form

        letter = await again(here.backend, (await here.recorded("refused", "rejected")).pk)
        assert letter.document["data"]["job"]["colour"] == "red"

        number = await _gone(here, cluster, "gone")
        rest = await again(here.backend, number)
        assert (rest.whole, rest.document["data"]["priority"]) == (False, 3)
        assert "command" in rest.notes[0]
        assert set(rest.document["data"]["job"]) == {"image"}
        with pytest.raises(Problem) as raised:
            await run_again(here.backend, ADA, number)
        assert raised.value.code == "INCOMPLETE"
        page = await (await here.page.get(f"/submit?again={number}")).text()
        assert "Its Job has gone from the cluster" in page
        assert orjson.dumps(found.document)
