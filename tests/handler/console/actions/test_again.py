"""A former request is asked for again with all that anything still has of it; what is missing is said."""

from pathlib import Path

import orjson
import pytest

from adapters.memory import MemoryBroker
from events.cloudevent.event import build, encode_structured
from handler.console.actions.again import again, next_id, run_again
from handler.console.http.problems import Problem
from handler.history.base import Key, PodRun
from k8s.api.cluster import Cluster, connect
from tests.handler.commandline import make_environ
from tests.handler.console.actions.acting import ADA, gone, site
from tests.handler.console.views.seen import seeing
from tests.handler.history.recording.records import a_life
from tests.handler.samples import make_command, make_request

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


async def test_a_request_is_found_where_it_is(broker: MemoryBroker, cluster: Cluster, tmp_path: Path) -> None:
    functions = tmp_path / "functions.yaml"
    functions.write_text(FUNCTIONS)
    async with site(broker, cluster, functions=functions, history_events="off") as here:
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

        number = await gone(here, cluster, "gone")
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


async def test_what_the_record_keeps_is_whole(broker: MemoryBroker, cluster: Cluster, tmp_path: Path) -> None:
    functions = tmp_path / "functions.yaml"
    functions.write_text(FUNCTIONS)
    async with site(broker, cluster, functions=functions, logs="off") as here:
        made = build({"specversion": "1.0", "id": "f-1", "type": "com.example.made", "source": "/cameras"}, {"n": 1})
        each = make_request("each", schedule="@yearly", job={"env": [{"name": "A", "value": "1"}]})
        hidden = make_request("hidden", payload="secret")
        fails = make_request("fails", script="exit 3", retries=1, retryDelay=1)
        await here.client.publish(made, each, hidden, fails)
        scheduled = await here.recorded("each", "scheduled")
        await here.client.command(make_command("run", "each"))

        function = await again(here.backend, await gone(here, cluster, "thumb/f-1"))
        assert (function.whole, function.function) == (True, True)
        assert (function.document["type"], function.document["data"]) == ("com.example.made", {"n": 1})

        run = await here.made("each@", "succeeded")
        once = await again(here.backend, await gone(here, cluster, run.key.id))
        assert once.whole
        assert "schedule" not in once.document["data"]
        assert once.document["data"]["job"]["env"] == [{"name": "A", "value": "1"}]
        assert scheduled.pk != run.pk

        retried = await again(here.backend, await gone(here, cluster, "fails", "failed"))
        assert retried.whole
        assert (retried.document["data"]["retries"], retried.replay_of) == (1, "fails")
        assert retried.document["data"]["id"].startswith("fails-again-")

        secret = await gone(here, cluster, "hidden")
        assert await here.backend.reader.asked(secret) is None
        assert not (await again(here.backend, secret)).whole


WHOLE = encode_structured(make_request("r", job={"env": [{"name": "A", "value": "1"}]}))
OF_OURS = b'{"specversion":"1.0","id":"e","source":"/s","type":"dev.jobrelay.job.failed","data":{}}'


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\0", b'{"specversion":"1.0"}', b"[]", b"9" * 5000, OF_OURS])
async def test_what_is_no_event_to_publish_is_as_if_nothing_was_kept(cluster: Cluster, body: bytes) -> None:
    async with seeing(cluster, *a_life("r")) as (backend, writer):
        pod = PodRun(uid="u", name="p", namespace="jobs")
        await writer.keep_pod(Key("r", "cause-r", "/shop"), pod, created=1e9, asked=body)
        assert await backend.reader.asked(1) == body
        found = await again(backend, 1)
        assert not found.whole
        assert "command" in found.notes[0]


async def test_a_cluster_that_does_not_answer_is_not_needed_for_what_is_kept(tmp_path: Path) -> None:
    async with (
        connect(kubeconfig=Path(make_environ(tmp_path)["JOBRELAY_KUBECONFIG"])) as away,
        seeing(away, *a_life("r")) as (backend, writer),
    ):
        assert "did not answer" in (await again(backend, 1)).notes[0]
        pod = PodRun(uid="u", name="p", namespace="jobs")
        await writer.keep_pod(Key("r", "cause-r", "/shop"), pod, created=1e9, asked=WHOLE)
        found = await again(backend, 1)
        assert (found.whole, found.notes) == (True, ())
        assert found.document["data"]["job"]["env"] == [{"name": "A", "value": "1"}]
