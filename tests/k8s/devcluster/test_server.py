"""A directory is a cluster: what survives stops and kills, and who may use it."""

import asyncio
import signal
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml

from k8s.devcluster.server import DevCluster, serve
from tests.k8s.devcluster.in_process import in_a_row, make_cron_job
from tests.k8s.devcluster.served import CONFIGMAPS, JOBS, Client, connected, make_config, make_job, served
from tests.paths import ROOT
from tests.patience import PATIENCE


def described(kubeconfig: Path) -> DevCluster:
    config = yaml.safe_load(kubeconfig.read_text())
    return DevCluster(
        url=config["clusters"][0]["cluster"]["server"],
        token=config["users"][0]["user"]["token"],
        kubeconfig=kubeconfig,
        ca=kubeconfig.with_name("ca.crt"),
    )


@asynccontextmanager
async def process(directory: Path, *arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, DevCluster]]:
    """A cluster in a process of its own; killed at the end if it is still there."""
    command = [sys.executable, "-m", "k8s.devcluster", "--directory", str(directory), *arguments]
    running = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    assert running.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE):
            line = (await running.stdout.readline()).decode()
        yield running, described(Path(line.removeprefix("kubeconfig: ").strip()))
    finally:
        if running.returncode is None:
            running.kill()
        await running.communicate()


async def test_the_same_directory_is_the_same_cluster_again(tmp_path: Path) -> None:
    async with served(tmp_path) as client:
        first, config = client.cluster, client.cluster.kubeconfig.read_bytes()
        made = await client.made(CONFIGMAPS, make_config("kept"))
        await client.made(CONFIGMAPS, make_config("gone"))
        gone = await client("DELETE", f"{CONFIGMAPS}/gone")
        last = (await client("GET", CONFIGMAPS)).body["metadata"]["resourceVersion"]
        assert gone.status == 200
    async with served(tmp_path) as client:
        assert client.cluster == first
        assert client.cluster.kubeconfig.read_bytes() == config
        assert [item["metadata"]["name"] for item in (await client("GET", CONFIGMAPS)).body["items"]] == ["kept"]
        assert (await client("GET", f"{CONFIGMAPS}/kept")).body == made
        newer = await client.made(CONFIGMAPS, make_config("new"))
        assert int(newer["metadata"]["resourceVersion"]) > int(last)
        version = made["metadata"]["resourceVersion"]
        ((kind, status),) = await client.watched(f"{CONFIGMAPS}?resourceVersion={version}")
        assert (kind, status["code"]) == ("ERROR", 410)


async def test_a_kill_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    acknowledged: dict[str, str] = {}

    async def create(client: Client, worker: int) -> None:
        number = 0
        while True:
            name = f"j{worker}-{number}"
            answer = await client("POST", JOBS, make_job(name))
            assert answer.status == 201
            acknowledged[name] = answer.body["metadata"]["uid"]
            number += 1

    for round_ in range(2):
        known = len(acknowledged)
        async with process(tmp_path) as (running, cluster), connected(cluster) as client:
            workers = [asyncio.create_task(create(client, worker + 8 * round_)) for worker in range(8)]
            async with asyncio.timeout(PATIENCE):
                while len(acknowledged) < known + 100:
                    await asyncio.sleep(0.005)
            running.send_signal(signal.SIGKILL)
            await asyncio.gather(*workers, return_exceptions=True)
    async with served(tmp_path) as client:
        jobs = (await client("GET", JOBS)).body["items"]
        kept = {job["metadata"]["name"]: job["metadata"]["uid"] for job in jobs}
        assert acknowledged.items() <= kept.items()
        versions = [int(job["metadata"]["resourceVersion"]) for job in jobs]
        assert len(set(versions)) == len(versions)


async def test_the_process_says_when_it_is_ready_and_stops_on_sigterm(tmp_path: Path) -> None:
    async with process(tmp_path, "--backoff", "1") as (running, cluster), connected(cluster) as client:
        assert (await client("GET", "/readyz")).body == "ok"
        async with client.watching(JOBS):
            running.terminate()
            async with asyncio.timeout(PATIENCE):
                assert await running.wait() == 0


async def test_a_second_server_on_the_same_directory_is_refused(tmp_path: Path) -> None:
    async with served(tmp_path):
        with pytest.raises(OSError, match="in use by another process"):
            async with serve(tmp_path):
                pytest.fail("two servers on one directory")


async def test_only_loopback_addresses_are_served(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a loopback address"):
        async with serve(tmp_path, host="0.0.0.0"):
            pytest.fail("served to the network")


async def test_secrets_of_the_cluster_are_for_its_owner_only(tmp_path: Path) -> None:
    directory = tmp_path / "cluster"
    async with served(directory) as client:
        await client.made(CONFIGMAPS, make_config("a"))
    for name in ("kubeconfig", "token", "ca.key"):
        assert stat.S_IMODE((directory / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


async def test_a_port_that_was_taken_meanwhile_is_replaced_unless_asked_for(tmp_path: Path) -> None:
    async with served(tmp_path) as client:
        port = int(client.cluster.url.rpartition(":")[2])
    async with await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", port):
        async with served(tmp_path) as client:
            assert not client.cluster.url.endswith(f":{port}")
        with pytest.raises(OSError, match="in use"):
            async with serve(tmp_path, port=port):
                pytest.fail("one port, two servers")


async def test_an_error_in_the_block_comes_out_unchanged(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        async with served(tmp_path):
            raise KeyError("mine")


async def test_the_minutes_of_cron_jobs_can_be_shortened(tmp_path: Path) -> None:
    async with process(tmp_path, "--cron-minute", "0.5") as (_, cluster), connected(cluster) as client:
        path = "/apis/batch/v1/namespaces/default/"
        async with client.watching(f"{path}jobs") as events:
            await client.made(f"{path}cronjobs", make_cron_job("tick", "* * * * *"))
            minutes: list[int] = []
            # Real minutes would bring two of them at most.
            async with asyncio.timeout(PATIENCE):
                async for kind, job in events:
                    minutes += [int(job["metadata"]["name"].removeprefix("tick-"))] if kind == "ADDED" else []
                    if in_a_row(minutes):
                        break


async def test_a_minute_without_length_is_refused_before_anything_starts(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "k8s.devcluster", "--directory", str(tmp_path), "--cron-minute", "0"]
    running = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stderr=asyncio.subprocess.PIPE)
    async with asyncio.timeout(PATIENCE):
        _, output = await running.communicate()
    assert running.returncode == 1
    assert output.decode() == "cron_minute must be above 0 seconds\n"


async def test_the_cluster_without_its_extra_names_the_extra_and_creates_nothing(tmp_path: Path) -> None:
    hidden = "import runpy, sys; sys.modules['trustme'] = None"
    program = f"{hidden}; runpy.run_module('k8s.devcluster', run_name='__main__')"
    command = [sys.executable, "-c", program, "--directory", str(tmp_path / "cluster")]
    running = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stderr=asyncio.subprocess.PIPE)
    async with asyncio.timeout(30):
        _, output = await running.communicate()
    assert running.returncode == 2
    assert output.decode() == "the development cluster needs the extra [local]: pip install 'jobrelay[local]'\n"
    assert not (tmp_path / "cluster").exists()
