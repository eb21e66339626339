"""A cluster killed with SIGKILL and started again: containers run on, are found, and none runs twice."""

import asyncio
import base64
import contextlib
import errno
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from k8s.devcluster.kubelet.containers import Run
from tests.k8s.devcluster.in_process import is_running, make_job, make_pod
from tests.k8s.devcluster.served import until
from tests.patience import PATIENCE

JOBS = "/apis/batch/v1/namespaces/default/jobs"
PODS = "/api/v1/namespaces/default/pods"


class Process:
    """`python -m k8s.devcluster` on `directory`, and its API."""

    def __init__(self, process: asyncio.subprocess.Process, session: aiohttp.ClientSession) -> None:
        self._process = process
        self._session = session

    async def request(self, method: str, path: str, body: Any = None) -> Any:
        async with self._session.request(method, path, json=body) as response:
            assert response.status < 300, await response.text()
            return await response.json()

    async def job(self, name: str) -> dict[str, Any]:
        return dict((await self.request("GET", f"{JOBS}/{name}")).get("status") or {})

    async def pods(self) -> list[dict[str, Any]]:
        return list((await self.request("GET", PODS))["items"])

    async def kill(self) -> None:
        self._process.kill()
        await self._process.wait()


@contextlib.asynccontextmanager
async def started(directory: Path) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "k8s.devcluster", "--directory", str(directory), "--backoff", "0.1"),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            line = (await process.stdout.readline()).decode()
        async with session(Path(line.removeprefix("kubeconfig:").strip())) as client:
            yield Process(process, client)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]  # else it warns when collected


def session(kubeconfig: Path) -> aiohttp.ClientSession:
    config = yaml.safe_load(kubeconfig.read_text())
    server, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    authority = base64.b64decode(server["certificate-authority-data"]).decode()
    return aiohttp.ClientSession(
        server["server"],
        headers={"Authorization": f"Bearer {user['token']}"},
        connector=aiohttp.TCPConnector(ssl=ssl.create_default_context(cadata=authority)),
    )


async def exists(file: Path) -> bool:
    return await asyncio.to_thread(file.exists)


async def test_containers_survive_a_crash_and_run_once(tmp_path: Path) -> None:
    pods = tmp_path / "pods"

    async def both_ran() -> bool:
        return await exists(pods / "ran") and len((pods / "ran").read_text().split()) == 2

    async def one_ended() -> bool:
        return any(pods.glob("*/containers/main/1.exit"))

    async with started(tmp_path) as cluster:
        later = make_job("later", "echo later >>../ran; until test -e ../go; do sleep 0.02; done")
        away = make_job("away", "echo away >>../ran; until test -e ../crashed; do sleep 0.02; done; exit 4")
        for job in (later, away):
            await cluster.request("POST", JOBS, job)
        await until(both_ran)
        await cluster.kill()
    (pods / "crashed").touch()
    await until(one_ended)
    async with started(tmp_path) as cluster:
        await until(lambda: counted(cluster, "away", "failed"))
        assert (await cluster.job("later"))["active"] == 1
        (pods / "go").touch()
        await until(lambda: counted(cluster, "later", "succeeded"))
        ends = [
            pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] for pod in await cluster.pods()
        ]
        assert sorted(ends) == [0, 4]
    assert sorted((pods / "ran").read_text().split()) == ["away", "later"]


async def counted(cluster: Process, job: str, name: str) -> bool:
    return bool((await cluster.job(job)).get(name))


async def test_container_that_vanished_meanwhile_is_reported_lost(tmp_path: Path) -> None:
    async with started(tmp_path) as cluster:
        await cluster.request("POST", JOBS, make_job("lost", "echo x >>../ran; sleep 60"))
        await until(lambda: exists(tmp_path / "pods/ran"))
        await cluster.kill()
    claim = next((tmp_path / "pods").glob("*/containers/main/1.pid"))
    os.killpg(int(claim.read_text().split()[0]), signal.SIGKILL)
    async with started(tmp_path) as cluster:
        await until(lambda: counted(cluster, "lost", "failed"))
        [pod] = await cluster.pods()
        end = pod["status"]["containerStatuses"][0]["state"]["terminated"]
        assert (end["exitCode"], end["reason"]) == (137, "ContainerStatusUnknown")
    assert (tmp_path / "pods/ran").read_text() == "x\n"


async def test_stopped_cluster_leaves_nothing_of_an_adopted_container(tmp_path: Path) -> None:
    async with started(tmp_path) as cluster:
        await cluster.request("POST", JOBS, make_job("j", "echo $$$$ >../pid; sleep 60"))
        await until(lambda: exists(tmp_path / "pods/pid"))
        await cluster.kill()
    pid = int((tmp_path / "pods/pid").read_text())
    assert is_running(pid)
    async with started(tmp_path) as cluster:
        assert (await cluster.job("j"))["active"] == 1
    assert not is_running(pid)


async def test_deletion_that_a_crash_interrupted_is_finished(tmp_path: Path) -> None:
    script = "trap '' TERM; echo $$$$ >../pid; while :; do sleep 0.05; done"
    async with started(tmp_path) as cluster:
        stubborn = make_pod("p", container={"command": ["sh", "-c", script]})
        stubborn["spec"]["terminationGracePeriodSeconds"] = 1
        await cluster.request("POST", PODS, stubborn)
        await until(lambda: exists(tmp_path / "pods/pid"))
        await cluster.request("DELETE", f"{PODS}/p")
        await cluster.kill()
    pid = int((tmp_path / "pods/pid").read_text())
    async with started(tmp_path) as cluster:

        async def gone() -> bool:
            return not await cluster.pods()

        await until(gone)
    assert not is_running(pid)


# One run, without a cluster


async def test_run_is_claimed_by_the_first_supervisor_only(tmp_path: Path) -> None:
    command = ["/bin/sh", "-c", "echo ran >>ran; sleep 0.1"]
    first, second = Run(tmp_path, 1), Run(tmp_path, 1)
    for run in (first, second):
        run.start(command, env={"PATH": os.defpath}, cwd=tmp_path)
    ends = await asyncio.gather(first.wait(), second.wait())
    assert (tmp_path / "ran").read_text() == "ran\n"
    assert [ended.code for ended in ends] == [0, 0]


async def test_run_is_found_again_by_its_files(tmp_path: Path) -> None:
    first = Run(tmp_path, 1)
    first.start(["sh", "-c", "until test -e go; do sleep 0.01; done; exit 9"], env={"PATH": os.defpath}, cwd=tmp_path)
    await until(lambda: exists(tmp_path / "1.begun"))
    other = Run(tmp_path, 1)
    assert other.claimed
    waiting = asyncio.ensure_future(other.wait())
    (tmp_path / "go").touch()
    assert (await waiting).code == 9
    assert (await first.wait()).code == 9


async def test_another_process_with_the_same_id_is_not_taken_for_the_container(tmp_path: Path) -> None:
    other = await asyncio.create_subprocess_exec("sleep", "60", start_new_session=True)
    try:
        # As if the container had had this process id, but had been started when the machine booted.
        (tmp_path / "1.pid").write_text(f"{other.pid} (sh) {' '.join(['1'] * 40)}\n")
        run = Run(tmp_path, 1)
        run.kill()
        ended = await run.wait()
        assert (ended.code, ended.reason) == (137, "ContainerStatusUnknown")
        assert other.returncode is None
        os.kill(other.pid, 0)
    finally:
        other.terminate()
        assert await other.wait() == -signal.SIGTERM


async def test_half_written_exit_code_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "1.exit").write_text("13")
    assert Run(tmp_path, 1).result() is None
    (tmp_path / "1.exit").write_text("137\n")
    ended = Run(tmp_path, 1).result()
    assert ended is not None
    assert (ended.code, ended.reason) == (137, "Error")


async def test_end_is_noticed_without_process_descriptors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_pid: int) -> int:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(os, "pidfd_open", refuse)
    run = Run(tmp_path, 1)
    run.start(["sh", "-c", "sleep 0.1; exit 6"], env={"PATH": os.defpath}, cwd=tmp_path)
    assert (await run.wait()).code == 6


async def test_start_that_fails_for_lack_of_room_can_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise OSError(errno.EAGAIN, "resource temporarily unavailable")

    run = Run(tmp_path, 1)
    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "Popen", refuse)
        with pytest.raises(OSError, match="temporarily"):
            run.start(["true"], env={"PATH": os.defpath}, cwd=tmp_path)
    assert not run.claimed
    run.start(["true"], env={"PATH": os.defpath}, cwd=tmp_path)
    assert (await run.wait()).code == 0
