"""Events of any type become Jobs of the functions that take them. The file of functions may change meanwhile."""

import asyncio
import json
import logging
import re
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapters.memory import MemoryBroker
from events.functions.file import InvalidFunctions
from handler.commands.check import _check_cluster
from handler.commands.environment import DEV_DIRECTORY, Local
from handler.commands.submit import request_id
from handler.intake.functions import MAX_BYTES, Functions, load, read
from handler.operations.documents import Changes, make_event as make_documented_event, problems
from handler.settings.settings import Settings
from handler.telemetry.metrics import Metrics
from k8s.api.cluster import Cluster
from k8s.devcluster.server import DevCluster
from k8s.manifests.pod import payload_name
from tests.handler.commandline import call, call_beside, end, make_environ, started, wait_for
from tests.handler.intake.functions import UPLOADED, as_text, make_event, make_function, write
from tests.handler.jobs import our_jobs
from tests.handler.relay import Client, code_of, detail, phase_of, running
from tests.handler.samples import SOURCE, make_command, make_request, until
from tests.paths import ROOT

UPLOADED_AT = datetime(2026, 11, 21, 22, 16, 57, 500_000, UTC)
READS = 'cat "$JOBRELAY_EVENT_PATH" > seen; wc -c < seen > "$JOBRELAY_RESULT_PATH"'


def sample(client: Client, name: str) -> float:
    value = client.state.metrics.registry.get_sample_value(name, {})
    assert value is not None
    return value


async def test_an_event_of_any_type_runs_the_function_that_takes_it(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    script = 'printf \'{"who": "%s", "id": "%s"}\' "$WHO" "$CE_ID" > "$JOBRELAY_RESULT_PATH"'
    path = write(tmp_path / "f.yaml", make_function(script=script, env={"WHO": "{data.tenant}"}))
    async with running(broker, cluster, functions=path) as client:
        await client.publish(make_event("abc", {"tenant": "b", "id": "not ours"}, time=UPLOADED_AT))
        ended = await client.ended("thumbnail/abc")
        assert detail(ended)["result"] == {"who": "b", "id": "abc"}
        assert detail(ended)["service"] == "thumbnail"
        assert (ended.get_extension("causationid"), ended.get_extension("requestsource")) == ("abc", SOURCE)
        assert await client.phases("thumbnail/abc") == ["created", "started", "succeeded"]
        asked = detail(await client.reached("thumbnail/abc", "created"))["request"]
        assert {name: asked[name] for name in ("type", "eventTime", "function", "image")} == {
            "type": UPLOADED,
            "eventTime": "2026-11-21T22:16:57.500000Z",
            "function": "thumbnail",
            "image": "busybox:1",
        }
        (job,) = await our_jobs(cluster)
        assert job["metadata"]["name"].startswith("thumbnail-")


async def test_an_event_that_several_functions_take_is_a_request_for_each(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    path = write(tmp_path / "f.yaml", make_function("a"), make_function("b", script="exit 3"), make_function("c"))
    async with running(broker, cluster, functions=path) as client:
        await client.publish(make_event())
        ended = [await client.ended(f"{name}/abc") for name in "abc"]
        assert [phase_of(event) for event in ended] == ["succeeded", "failed", "succeeded"]
        assert sample(client, "jobrelay_functions") == 3
        await client.publish(make_event())
        await until(lambda: _counted(client, "jobrelay_messages_duplicate_total", 3))
        assert len(await our_jobs(cluster)) == 3


async def _counted(client: Client, name: str, value: float) -> bool:
    return client.state.metrics.registry.get_sample_value(name, {"broker": client.broker.name}) == value


async def test_a_refusal_of_one_function_stops_no_other_and_its_event_is_a_dead_letter(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    needs = make_function("needs", env={"URL": "{data.url}"})
    path = write(tmp_path / "f.yaml", needs, make_function("fine"), make_function("too", env={"X": "{subject}"}))
    async with running(broker, cluster, functions=path) as client:
        await client.publish(make_event())
        await client.ended("fine/abc")
        refused = [await client.reached(f"{name}/abc", "rejected") for name in ("needs", "too")]
        assert [code_of(event) for event in refused] == ["INVALID_REQUEST"] * 2
        assert [detail(event)["error"]["fields"][0]["path"] for event in refused] == ["data.url", "subject"]
        assert refused[0].get_id() != refused[1].get_id()
        assert detail(refused[0])["service"] == "needs"
        (letter,) = await client.dead_letters(1)
        assert "data.url" in letter.headers["jobrelay-reason"]
        assert len(await our_jobs(cluster)) == 1


async def test_an_event_that_no_function_takes_is_refused_and_functions_do_not_take_job_requests(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    path = write(tmp_path / "f.yaml", make_function(filters=[{"not": {"exact": {"type": "com.example.other"}}}]))
    async with running(broker, cluster, functions=path) as client:
        await client.publish(make_event("lost", {"id": "x"}, type="com.example.other"), make_request("plain"))
        assert code_of(await client.reached("lost", "rejected")) == "NO_FUNCTION"
        await client.ended("plain")
        assert len(await our_jobs(cluster)) == 1


async def test_a_quota_defers_the_whole_event_and_nothing_is_reported_twice(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    quota = {"metadata": {"name": "q"}, "spec": {"hard": {"count/jobs.batch": "1"}}}
    quotas = "/api/v1/namespaces/default/resourcequotas"
    await cluster.client.request("POST", quotas, body=quota)
    path = write(
        tmp_path / "f.yaml", make_function("a"), make_function("b"), make_function("c", env={"X": "{subject}"})
    )
    async with running(broker, cluster, functions=path, quota_delay=1) as client:
        await client.publish(make_event())
        await client.ended("a/abc")
        await until(lambda: _deferred(client))
        assert await client.phases("c/abc") == []
        await cluster.client.request("DELETE", f"{quotas}/q")
        await client.ended("b/abc")
        await client.reached("c/abc", "rejected")
        assert await client.phases("a/abc") == ["created", "started", "succeeded"]
        assert len(await client.dead_letters(1)) == 1


async def _deferred(client: Client) -> bool:
    labels = {"broker": client.broker.name, "reason": "quota"}
    return bool(client.state.metrics.registry.get_sample_value("jobrelay_messages_deferred_total", labels))


@pytest.mark.parametrize("size", [200 << 10, 700 << 10])
async def test_a_large_event_reaches_the_container_complete(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path, size: int
) -> None:
    path = write(tmp_path / "f.yaml", make_function(script=READS))
    async with running(broker, cluster, functions=path) as client:
        event = make_event(data={"body": "x" * size})
        await client.publish(event)
        assert detail(await client.ended("thumbnail/abc"))["result"] > size
        (job,) = await our_jobs(cluster)
        secret = await cluster.read_secret("default", payload_name(job["metadata"]["name"]))
        assert secret["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]


@pytest.mark.parametrize("size", [10, 100 << 10])
async def test_a_function_that_is_suspended_waits_for_a_resume(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path, size: int
) -> None:
    path = write(tmp_path / "f.yaml", make_function(spec={"suspend": True}))
    async with running(broker, cluster, functions=path) as client:
        await client.publish(make_event(data={"body": "x" * size}))
        suspended = await client.reached("thumbnail/abc", "suspended")
        assert detail(suspended)["by"] == "function"
        await client.command(make_command("resume", "thumbnail/abc"))
        await client.ended("thumbnail/abc")
        assert "started" in await client.phases("thumbnail/abc")


async def test_control_events_name_a_request_of_a_function_by_its_subject(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    path = write(tmp_path / "f.yaml", make_function("a", script="sleep 600"), make_function("b", script="sleep 1"))
    async with running(broker, cluster, functions=path) as client:
        await client.publish(make_event())
        await client.reached("a/abc", "started")
        await client.command(make_command("cancel", "a/abc"))
        assert (await client.ended("a/abc")).get_type().endswith("cancelled")
        assert (await client.ended("b/abc")).get_type().endswith("succeeded")


async def test_a_job_that_the_api_server_refuses_is_reported_with_the_reasons(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    path = write(tmp_path / "f.yaml", make_function(spec={"completions": -1}))
    async with running(broker, cluster, functions=path) as client:
        await client.publish(make_event())
        rejected = await client.reached("thumbnail/abc", "rejected")
        assert code_of(rejected) == "INVALID_REQUEST"
        assert detail(rejected)["error"]["fields"][0]["path"] == "spec.completions"


async def test_a_changed_file_is_loaded_and_a_broken_file_is_not(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setattr("handler.intake.functions.LOOK_SECONDS", 0.05)
    # The kubelet updates a ConfigMap in this way: it replaces a link to a directory.
    for number, function in enumerate([make_function("old"), make_function("new"), {"name": "broken"}]):
        (tmp_path / str(number)).mkdir()
        write(tmp_path / str(number) / "f.yaml", function)
    link = tmp_path / "data"

    def mount(number: int) -> None:
        (tmp_path / "next").symlink_to(tmp_path / str(number))
        (tmp_path / "next").replace(link)

    async def failed(value: float) -> bool:
        return sample(client, "jobrelay_functions_reload_failed") == value

    mount(0)
    with caplog.at_level(logging.INFO, "handler.intake.functions"):
        async with running(broker, cluster, functions=link / "f.yaml") as client:
            await client.publish(make_event("1"))
            await client.ended("old/1")
            mount(2)
            await until(lambda: failed(1))
            await client.publish(make_event("2"))
            await client.ended("old/2")
            assert not client.state.problems(), "it stays ready with the functions it had"
            link.unlink()
            mount(1)
            await until(lambda: failed(0))
            await client.publish(make_event("3"))
            await client.ended("new/3")
    (error,) = [
        record for record in caplog.records if record.levelname == "ERROR" and "job is missing" in record.message
    ]
    assert 'function "broken": filters is missing' in error.getMessage()


async def test_a_broken_file_at_the_start_ends_the_process(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    path = write(tmp_path / "f.yaml", {"name": "broken"})
    with pytest.raises(ExceptionGroup) as caught:
        async with running(broker, cluster, functions=path):
            pass
    assert caught.group_contains(InvalidFunctions, match="job is missing")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("functions: [", "is no YAML"),
        ("\xff", "is no list of functions"),
        ("[" * 5000, "is no YAML"),
        (f"functions: {'9' * 5000}", "is no YAML"),
        ("functions: &again [{name: a, filters: [], job: {spec: {template: *again}}}]", 'function "a": job.spec'),
        (as_text(make_function(job={"metadata": {"namespace": "x"}})), "JOBRELAY_NAMESPACES"),
        (as_text(make_function(spec={"suspend": 1}), make_function("b", spec={"x": 1})), 'function "b": job.spec.x'),
        (as_text(make_function(job={"kind": "CronJob"}), {"name": "b"}), 'function "thumbnail": job.kind'),
        (as_text(make_function(spec={"x": 1}, name=""), {"name": "b"}), 'function "b": filters is missing'),
        (as_text({"name": "b"}, make_function(job={"metadata": {"namespace": "x"}})), "JOBRELAY_NAMESPACES"),
    ],
)
def test_every_mistake_in_a_file_is_reported_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "f.yaml").write_text(text)
    with pytest.raises(InvalidFunctions) as caught:
        read(tmp_path / "f.yaml", ("default",))
    assert said in str(caught.value)
    with pytest.raises(InvalidFunctions, match="No such file"):
        read(tmp_path / "none.yaml", ())


def test_a_file_that_is_too_large_is_not_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_bytes(b"functions: []\n" + b"#" * MAX_BYTES)
    with pytest.raises(InvalidFunctions, match=f"is more than {MAX_BYTES} bytes"):
        read(tmp_path / "f.yaml", ())


def test_check_shows_the_functions_or_every_mistake(tmp_path: Path) -> None:
    path = write(tmp_path / "f.yaml", make_function(env={"X": "{id}"}), make_function("other"))
    environ = {"JOBRELAY_FUNCTIONS": str(path)}
    done = call("check", environ=environ)
    assert done.returncode == 0, done.stderr
    assert re.search(rf"thumbnail .*busybox:1 .*{UPLOADED}", done.stdout)
    documents = yaml.safe_load_all(call("check", "-o", "yaml", environ=environ).stdout)
    (found,) = [document for document in documents if "functions" in document]
    assert [function["name"] for function in found["functions"]] == ["thumbnail", "other"]
    write(path, make_function("Wrong", env={"X": "{"}), make_function(queue={"prio": 1}))
    done = call("check", environ=environ)
    assert (done.returncode, done.stdout) == (2, "")
    for said in (
        'function "Wrong": name',
        'function "Wrong": env.X',
        'function "thumbnail": queue.prio is unknown, did you mean priority?',
    ):
        assert said in done.stderr


def test_check_says_what_of_a_rendered_chart_is_dropped_and_what_functions_say(tmp_path: Path) -> None:
    chart = {"metadata": {"name": "release", "labels": {"app.kubernetes.io/managed-by": "Helm"}}}
    said: dict[str, Any] = {
        "startTimeout": 5,
        "timeout": 60,
        "tags": ["{id}"],
        "metadata": {"a": 1},
        "queue": {"priority": 2},
    }
    path = write(tmp_path / "f.yaml", make_function(job=chart), make_function("plain", **said))
    done = call("check", "-o", "json", environ={"JOBRELAY_FUNCTIONS": str(path)})
    assert done.returncode == 0
    (found,) = [json.loads(line)["functions"] for line in done.stdout.splitlines() if line.startswith('{"functions"')]
    assert said.items() <= found[1].items()
    assert [line.partition(" is dropped")[0] for line in done.stderr.splitlines()] == [
        'function "thumbnail": job.metadata.name',
        "function \"thumbnail\": job.metadata.labels.'app.kubernetes.io/managed-by'",
    ]


async def test_what_is_dropped_of_a_manifest_is_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setattr("handler.intake.functions.LOOK_SECONDS", 0.02)
    chart = {"metadata": {"name": "release"}}
    path = write(tmp_path / "f.yaml", make_function(job=chart))

    def warned() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]

    async def adopted() -> bool:
        return len(functions.current) == 2

    with caplog.at_level(logging.INFO, "handler.intake.functions"):
        functions = Functions(path, namespaces=(), metrics=Metrics())
        task = asyncio.create_task(functions.watch())
        write(path, make_function(job=chart), make_function("b", job=chart))
        await until(adopted)
        task.cancel()
    about = "job.metadata.name is dropped: jobrelay names each Job"
    assert warned() == [f'function "thumbnail": {about}', f'function "b": {about}']


async def test_timeouts_of_a_function_end_its_requests_and_its_echoes_are_told(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    said: dict[str, Any] = {"tags": ["t", "{data.tenant}"], "metadata": {"who": "{data.tenant}", "n": [1]}}
    path = write(
        tmp_path / "f.yaml",
        make_function("late", container={"image": "missing/tool:1"}, startTimeout=1, **said),
        make_function("long", script="sleep 600", timeout=1),
    )
    async with running(broker, cluster, functions=path) as client:
        await client.publish(make_event())
        ended = [await client.ended(f"{name}/abc") for name in ("late", "long")]
        assert [code_of(event) for event in ended] == ["START_TIMEOUT", "TIMEOUT"]
        assert {"tags": ["t", "a"], "metadata": {"who": "a", "n": [1]}}.items() <= detail(ended[0]).items()


async def test_an_event_that_makes_a_string_too_long_for_linux_is_refused(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    grows = {"args": ["$(X)" * 5], "env": [{"name": "Y", "value": "$(X)$(X)"}]}
    path = write(tmp_path / "f.yaml", make_function(env={"X": "{data.x}"}, container=grows))
    async with running(broker, cluster, functions=path) as client:
        await client.publish(make_event("fits", {"x": "x" * 26_000}), make_event("long", {"x": "x" * 27_000}))
        rejected = await client.reached("thumbnail/long", "rejected")
        assert code_of(rejected) == "TOO_LARGE"
        (field,) = detail(rejected)["error"]["fields"]
        assert field["path"] == "data"
        assert "args[0] of container main, which is 135001 bytes" in field["message"]
        assert "131072 bytes" in field["allowed"]
        await client.ended("thumbnail/fits")


async def test_check_asks_the_cluster_whether_it_would_take_each_job(
    devcluster: DevCluster, cluster: Cluster, tmp_path: Path
) -> None:
    path = write(tmp_path / "f.yaml", make_function(), make_function("bad", spec={"completions": -1}))
    settings = Settings.from_env({"JOBRELAY_KUBECONFIG": str(devcluster.kubeconfig)})
    results = await _check_cluster(settings, read(path, ()))
    assert [good for _, good in results] == [True, True, False]
    assert results[1][0] == "function thumbnail: the cluster takes its Job"
    assert "spec.completions" in results[2][0]
    assert await our_jobs(cluster) == []


async def test_run_with_a_broken_file_says_so_and_ends(tmp_path: Path) -> None:
    path = write(tmp_path / "f.yaml", make_function(spec={"backofLimit": 1}))
    done = await call_beside("run", environ=make_environ(tmp_path, JOBRELAY_FUNCTIONS=str(path)))
    assert done.returncode == 2
    assert (
        'function "thumbnail": job.spec.backofLimit is no field of Kubernetes here, did you mean backoffLimit?'
        in done.stderr
    )
    assert "Traceback" not in done.stderr


def test_events_for_functions_can_be_submitted_from_a_file(tmp_path: Path) -> None:
    document = {"specversion": "1.0", "type": UPLOADED, "source": "/x", "id": "e1", "data": {"id": "no request"}}
    assert problems(make_documented_event(document, Changes())) == []
    assert request_id(make_documented_event(document, Changes())) == "e1"


def test_commands_name_requests_of_functions_by_their_subjects(tmp_path: Path) -> None:
    both = [
        {"name": name, "image": "busybox:1", "command": ["sh", "-c", f"echo of {name}; {then}"]}
        for name, then in (("work", 'echo "$WHO" > "$JOBRELAY_RESULT_PATH"; sleep 1'), ("agent", "true"))
    ]
    template = {"template": {"spec": {"containers": both}}}
    sleeps = make_function("sleeps", script="sleep 600", filters=[{"exact": {"type": "com.example.wait"}}])
    write(tmp_path / "f.yaml", make_function(spec=template, env={"WHO": "{data.who}"}), sleeps)
    events = [{"specversion": "1.0", "source": "/x", "id": "e1", "type": UPLOADED, "data": {"who": "me"}}]
    events.append({"specversion": "1.0", "source": "/x", "id": "e2", "type": "com.example.wait"})
    (tmp_path / "events.yaml").write_text(yaml.safe_dump_all(events))
    output = tmp_path / "output"
    with started("dev", "--functions", "f.yaml", environ={}, output=output, cwd=tmp_path) as process:
        local = wait_for(lambda: Local.find(tmp_path / DEV_DIRECTORY), what=output.read_text)

        def run(*arguments: str) -> str:
            done = call(*arguments, environ=local.environ())
            assert done.returncode == 0, done.stderr
            return done.stdout

        assert run("submit", str(tmp_path / "events.yaml")).split() == ["e1", "e2"]
        wait_for(lambda: "succeeded job_id=thumbnail/e1" in output.read_text(), what=output.read_text)
        lines = run("logs", "thumbnail/e1").splitlines()
        assert [re.sub(r"^\[pod/thumbnail-[^/]+/", "[", line) for line in lines] == [
            "[work] of work",
            "[agent] of agent",
        ]
        watched = run("watch", "thumbnail/e1", "--no-follow", "-o", "json")
        assert json.loads(watched.splitlines()[-1])["data"]["detail"]["result"] == "me"
        assert "thumbnail/e1" in run("get", "thumbnail/e1")
        (tmp_path / "another.yaml").write_text(yaml.safe_dump({**events[0], "id": "e3"}))
        waited = run("submit", "--watch", str(tmp_path / "another.yaml"))
        assert waited.splitlines()[-1].split()[1:3] == ["thumbnail/e3", "succeeded"], "dev knows the functions"
        run("cancel", "sleeps/e2")
        wait_for(lambda: "cancelled job_id=sleeps/e2" in output.read_text(), what=output.read_text)
        end(process, signal.SIGTERM)


def test_examples_of_functions_in_the_documents_are_valid() -> None:
    manifest = yaml.safe_load((ROOT / "k8s" / "deploy" / "base" / "functions.yaml").read_text())
    text = manifest["data"]["functions.yaml"]
    assert load(text.encode(), ()) == (), "there are none until the operator adds some"
    commented = "\n".join(line.removeprefix("# ") for line in text.splitlines() if line.startswith("# "))
    blocks = [f"functions:\n{commented}"]
    blocks += re.findall(r"```yaml\n(functions:\n.*?)```", (ROOT / "events" / "FUNCTIONS.md").read_text(), re.DOTALL)
    for block in blocks:
        (function,) = load(block.encode(), ())
        assert function.name == "thumbnail"
