"""Pods and logs of a request that runs, of one that ended, and of one whose pods are gone."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.memory import MemoryBroker
from handler.console.http.problems import Problem
from handler.console.views import logs as views, pods as podviews
from handler.console.views.logs import LogQuery, log_view
from handler.console.views.models import Pod
from handler.console.views.pods import pods_view
from handler.history.base import KeptLog, Key, LogState, PodRun
from handler.history.bounds import MAX_NAME
from k8s.api.cluster import Cluster, connect as connect_cluster
from tests.handler.commandline import make_environ
from tests.handler.console.served import Served, served
from tests.handler.console.views.seen import seeing
from tests.handler.history.recording.records import a_life, lifecycle
from tests.handler.relay import Client, running
from tests.handler.samples import make_request, until, waits_for


@pytest.fixture
async def page(broker: MemoryBroker, cluster: Cluster) -> AsyncIterator[tuple[Served, Client]]:
    async with running(broker, cluster) as client, served(broker, cluster) as page:
        yield page, client


async def the_pod(page: Served, number: int, *, live: bool) -> Pod:
    """Its pod, once the cluster has it, or has its log kept."""

    async def look() -> Pod | None:
        pods = (await pods_view(page.backend, number)).pods
        found = [pod for pod in pods if pod.live == live and (pod.started if live else pod.logs)]
        return found[0] if found else None

    return await until(look)


async def number_of(page: Served, request_id: str, *, terminal: bool = False) -> int:
    async def look() -> int | None:
        found = await page.backend.reader.find(request_id)
        return found[0].pk if found and found[0].terminal >= terminal else None

    return await until(look)


async def test_a_log_is_live_while_it_runs_and_kept_afterwards(page: tuple[Served, Client], tmp_path: Path) -> None:
    seen, client = page
    script = f"printf 'one\\ntwo\\n\\377\\n'; {waits_for(tmp_path / 'go')}"
    await client.publish(make_request("r", script=script))
    number = await number_of(seen, "r")
    pod = await the_pod(seen, number, live=True)
    assert pod.containers == ["main"]

    async def printed() -> bool:
        return (await log_view(seen.backend, number, LogQuery())).text == "one\ntwo\n\ufffd\n"

    await until(printed)
    log = await log_view(seen.backend, number, LogQuery(pod=pod.name, container="main", tail=1))
    assert (log.origin, log.text, log.note) == ("live", "\ufffd\n", "From the cluster, as it is now.")
    (tmp_path / "go").touch()
    assert await number_of(seen, "r", terminal=True) == number
    kept = await the_pod(seen, number, live=False)
    assert (kept.uid, kept.logs[0].state, kept.exit_code) == (pod.uid, "whole", 0)
    log = await log_view(seen.backend, number, LogQuery(pod=pod.uid))
    assert (log.origin, log.text) == ("history", "one\ntwo\n\ufffd\n")
    assert log.note == "From the history. Its last 1000 lines at most."
    raw = await seen.get(f"/requests/{number}/logs?tail=2")
    assert await raw.text(errors="replace") == "two\n\ufffd\n"
    assert raw.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert raw.headers["X-Content-Type-Options"] == "nosniff"
    assert (await seen.get("/requests/99/logs")).status == 404


async def test_pods_and_containers_that_are_not_there_are_problems(cluster: Cluster) -> None:
    async with seeing(cluster, *a_life("r"), lifecycle("rejected", "none", uid=None)) as (backend, writer):
        await writer.keep_log(KeptLog(pod="pod-r", container="main", state=LogState.MISSING, reason="gone"))
        for asked in ({"pod": "else"}, {"container": "else"}):
            with pytest.raises(Problem) as caught:
                await log_view(backend, 1, LogQuery.model_validate(asked))
            assert (caught.value.status, caught.value.errors[0].path) == (404, next(iter(asked)))
        missing = await log_view(backend, 1, LogQuery())
        assert (missing.origin, missing.text) == ("none", "")
        assert missing.note == (
            "The cluster has no such pod any more. In the history, the log could not be kept: gone."
        )
        assert (await log_view(backend, 2, LogQuery())).note == "No pod of the request is known yet."


async def test_a_log_is_cut_to_its_end(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "SHOWN_BYTES", 10)
    async with seeing(cluster, *a_life("r")) as (backend, writer):
        log = KeptLog(pod="pod-r", container="main", state=LogState.WHOLE, bytes=18, chunks=(0, 1))
        await writer.keep_log(log, put={0: b"12345678\n", 1: b"abcdefgh\n"})
        shown = await log_view(backend, 1, LogQuery(tail=2))
        assert shown.text == "\nabcdefgh\n"
        assert shown.note == "From the history. Only 10 B of them are shown."


async def test_a_cluster_that_does_not_answer_breaks_no_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(podviews, "PATIENCE_SECONDS", 0.3)
    async with (
        connect_cluster(kubeconfig=Path(make_environ(tmp_path)["JOBRELAY_KUBECONFIG"])) as away,
        seeing(away, *a_life("r")[:2]) as (backend, writer),
    ):
        found = await pods_view(backend, 1)
        assert [pod.name for pod in found.pods] == ["r-0"]
        assert found.problems == ["the cluster does not answer now: pods are shown as they were recorded"]
        log = KeptLog(pod="pod-r", container="main", state=LogState.CUT, bytes=2, chunks=(0,))
        await writer.keep_log(log, put={0: b"x\n"})
        shown = await log_view(backend, 1, LogQuery())
        assert (shown.origin, shown.text) == ("history", "x\n")
        assert shown.note.startswith("The cluster does not answer now. From the history.")


async def test_of_many_pods_the_newest_are_shown(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(podviews, "PODS_MOST", 3)
    async with seeing(cluster, *a_life("r")) as (backend, writer):
        for n in range(5):
            pod = PodRun(uid=f"u-{n}", name="p" * MAX_NAME, namespace="jobs", started=1e9 + n)
            await writer.keep_pod(Key("r", "cause-r", "/shop"), pod, created=1e9)
        found = await pods_view(backend, 1)
        assert [pod.uid for pod in found.pods] == ["u-3", "u-4", "pod-r"]
        assert found.problems == ["3 older pods are not shown"]
