"""Claims about what the command line shows of schedules, against a development cluster and a running jobrelay."""

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import yaml

from events.names import FINALIZER, Label
from handler.local.stack import Stack, start
from handler.settings.connections import cluster_of
from handler.settings.settings import Settings
from k8s.api.cluster import Cluster
from k8s.base import Manifest
from tests.handler.commandline import Done, call_beside
from tests.handler.samples import by_hand, until

COLUMNS = (
    *("SCHEDULE", "SERVICE", "CRONJOB", " CRON ", "LAST RUN", "OUTCOME", "NEXT RUN", "RUNS"),
    *("SUCCEEDED", "FAILED", "CANCELLED"),
)
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with start(tmp_path_factory.mktemp("stack"), settings={"JOBRELAY_CONTROL_WAIT": "1"}) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(stack: Stack) -> AsyncIterator[Cluster]:
    async with cluster_of(Settings.from_env(stack.environ)) as connected:
        yield connected


async def run(stack: Stack, *arguments: str, text: str = "") -> Done:
    return await call_beside(*arguments, environ=stack.environ, text=text)


async def submitted(stack: Stack, cluster: Cluster, request_id: str, **fields: object) -> Manifest:
    """Its CronJob. It is the same far-off time of the year for all."""
    job = {"image": "busybox", "command": ["sh", "-c", "echo it is done; exit 3"]}
    text = json.dumps({"id": request_id, "service": "plans", "job": job, "schedule": "0 0 1 1 *", **fields})
    assert (await run(stack, "submit", "-", text=text)).stdout == f"{request_id}\n"

    async def look() -> Manifest | None:
        found = await cluster.list_cron_jobs("default", f"{Label.NAME}=plans")
        return next((one for one in found if one["metadata"]["annotations"]["jobrelay.dev/id"] == request_id), None)

    return await until(look)


async def documents(stack: Stack, *arguments: str) -> list[dict[str, object]]:
    done = await run(stack, "get", *arguments, "-o", "json")
    return [json.loads(line) for line in done.stdout.splitlines()]


async def row(stack: Stack, request_id: str) -> list[str]:
    """By column of the table."""
    lines = (await run(stack, "get")).stdout.splitlines()
    head = next(line for line in lines if line.startswith("SCHEDULE"))
    line = next(line for line in lines if line.startswith(f"{request_id} "))
    places = [head.index(name) for name in COLUMNS]
    return [line[begin:end].strip() for begin, end in zip(places, [*places[1:], None], strict=True)]


async def test_a_schedule_is_shown_with_its_times_and_counts_and_with_its_runs(stack: Stack, cluster: Cluster) -> None:
    cron_job = await submitted(stack, cluster, "yearly", timeZone="Asia/Tokyo", maxRuns=7)
    name = f"default/{cron_job['metadata']['name']}"
    shown = await row(stack, "yearly")
    assert shown[:6] == ["yearly", "plans", name, "0 0 1 1 * Asia/Tokyo", "", ""]
    assert shown[6].endswith("-12-31T15:00:00Z")
    assert shown[7:] == ["0/7", "0", "0", "0"]
    await cluster.create_job(by_hand(cron_job))

    async def over() -> bool:
        return (await row(stack, "yearly"))[8:] == ["0", "1", "0"]

    await until(over)
    shown = await row(stack, "yearly")
    time = shown[4]
    assert (shown[5], shown[7]) == ("failed", "1/7")
    schedule, job = await documents(stack, "yearly")
    assert (schedule["kind"], schedule["phase"], schedule["lastRun"]) == ("schedule", "scheduled", time)
    assert (schedule["lastOutcome"], schedule["nextRun"]) == ("failed", shown[6])
    runs = schedule["runs"]
    assert isinstance(runs, dict)
    assert (runs["count"], runs["failed"], runs["recent"]) == (1, 1, {time: "failed"})
    assert (job["kind"], job["id"], job["phase"]) == ("job", f"yearly@{time}", "failed")
    assert yaml.safe_load((await run(stack, "get", f"yearly@{time}", "-o", "yaml")).stdout) == job
    assert (await run(stack, "logs", f"yearly@{time}")).stdout == "it is done\n"


async def test_a_schedule_is_suspended_resumed_and_cancelled(stack: Stack, cluster: Cluster) -> None:
    await submitted(stack, cluster, "commanded")
    assert "suspend accepted" in (await run(stack, "suspend", "commanded")).stdout
    assert (await row(stack, "commanded"))[6] == "suspended"
    assert (await run(stack, "resume", "commanded")).returncode == 0
    assert (await row(stack, "commanded"))[6].endswith("Z")
    assert (await run(stack, "cancel", "commanded")).returncode == 0

    async def gone() -> bool:
        return await documents(stack, "commanded") == []

    await until(gone)
    told = (await run(stack, "watch", "commanded", "--no-follow")).stdout.splitlines()
    assert [line.split()[2] for line in told] == ["scheduled", "unscheduled"]
    assert told[0].endswith("01-01T00:00:00Z")
    assert told[1].endswith("0 0 1 1 *, 0 runs")


async def test_what_is_no_schedule_is_refused_before_it_is_published(stack: Stack) -> None:
    text = json.dumps({"id": "bad", "job": {"image": "busybox"}, "schedule": "at noon", "timeZone": "Mars/Phobos"})
    done = await run(stack, "submit", "-", text=text)
    assert done.returncode == 2
    assert "schedule: has 2 fields" in done.stderr
    assert "timeZone: is no known time zone" in done.stderr


async def test_uninstall_lets_go_of_cron_jobs_and_says_that_they_stay(stack: Stack, cluster: Cluster) -> None:
    """The last one: it ends jobrelay."""
    cron_job = await submitted(stack, cluster, "kept")
    await stack.process("jobrelay").stop()
    held = [one for one in await cluster.list_cron_jobs("default", "") if FINALIZER in one["metadata"]["finalizers"]]
    done = await run(stack, "uninstall", "--yes")
    assert done.returncode == 0, done.stderr
    assert f"removed from 0 Jobs and {len(held)} CronJobs" in done.stdout
    assert "kubectl delete cronjobs -n default -l app.kubernetes.io/managed-by=jobrelay" in done.stdout
    after = await cluster.read_cron_job("default", cron_job["metadata"]["name"])
    assert FINALIZER not in after["metadata"].get("finalizers", [])
    assert not after["spec"].get("suspend")
