"""What the command line shows of schedules, with a development cluster and a running jobrelay."""

import json
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import yaml

from events.names import FINALIZER, Label
from handler.local.stack import Stack, start
from k8s.base import Manifest
from tests.handler.commandline import asked, run, terminated, wait_for
from tests.handler.samples import by_hand

COLUMNS = (
    *("SCHEDULE", "SERVICE", "CRONJOB", " CRON ", "LAST RUN", "OUTCOME", "NEXT RUN", "RUNS"),
    *("SUCCEEDED", "FAILED", "CANCELLED"),
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with start(tmp_path_factory.mktemp("stack"), settings={"JOBRELAY_CONTROL_WAIT": "1"}) as running:
        yield running


def submitted(stack: Stack, request_id: str, **fields: object) -> Manifest:
    """Submit a schedule that is due once a year, and return its CronJob."""
    job = {"image": "busybox", "command": ["sh", "-c", "echo it is done; exit 3"]}
    text = json.dumps({"id": request_id, "service": "plans", "job": job, "schedule": "0 0 1 1 *", **fields})
    assert run(stack, "submit", "-", text=text).stdout == f"{request_id}\n"

    def look() -> Manifest | None:
        found = asked(stack.environ, lambda cluster: cluster.list_cron_jobs("default", f"{Label.NAME}=plans"))
        return next((job for job in found if job["metadata"]["annotations"]["jobrelay.dev/id"] == request_id), None)

    return wait_for(look)


def documents(stack: Stack, *arguments: str) -> list[dict[str, object]]:
    done = run(stack, "get", *arguments, "-o", "json")
    return [json.loads(line) for line in done.stdout.splitlines()]


def row(stack: Stack, request_id: str) -> list[str]:
    """The cells of this request's row, in the order of COLUMNS."""
    lines = run(stack, "get").stdout.splitlines()
    head = next(line for line in lines if line.startswith("SCHEDULE"))
    line = next(line for line in lines if line.startswith(f"{request_id} "))
    places = [head.index(name) for name in COLUMNS]
    return [line[begin:end].strip() for begin, end in zip(places, [*places[1:], None], strict=True)]


def test_a_schedule_is_shown_with_its_times_and_counts_and_with_its_runs(stack: Stack) -> None:
    cron_job = submitted(stack, "yearly", timeZone="Asia/Tokyo", maxRuns=7)
    name = f"default/{cron_job['metadata']['name']}"
    shown = row(stack, "yearly")
    assert shown[:6] == ["yearly", "plans", name, "0 0 1 1 * Asia/Tokyo", "", ""]
    assert shown[6].endswith("-12-31T15:00:00Z")
    assert shown[7:] == ["0/7", "0", "0", "0"]
    asked(stack.environ, lambda cluster: cluster.create_job(by_hand(cron_job)))

    def over() -> bool:
        return row(stack, "yearly")[8:] == ["0", "1", "0"]

    wait_for(over)
    shown = row(stack, "yearly")
    time = shown[4]
    assert (shown[5], shown[7]) == ("failed", "1/7")
    schedule, job = documents(stack, "yearly")
    assert (schedule["kind"], schedule["phase"], schedule["lastRun"]) == ("schedule", "scheduled", time)
    assert (schedule["lastOutcome"], schedule["nextRun"]) == ("failed", shown[6])
    runs = schedule["runs"]
    assert isinstance(runs, dict)
    assert (runs["count"], runs["failed"], runs["recent"]) == (1, 1, {time: "failed"})
    assert (job["kind"], job["id"], job["phase"]) == ("job", f"yearly@{time}", "failed")
    assert yaml.safe_load(run(stack, "get", f"yearly@{time}", "-o", "yaml").stdout) == job
    assert run(stack, "logs", f"yearly@{time}").stdout == "it is done\n"


def test_a_schedule_is_run_now(stack: Stack) -> None:
    submitted(stack, "urgent")
    done = run(stack, "trigger", "urgent")
    made, job = re.fullmatch(r"urgent: run accepted, (urgent@\S+Z) in (plans-\S+)\n", done.stdout).groups()  # type: ignore[union-attr]
    assert run(stack, "watch", made).returncode == 3
    told = json.loads(run(stack, "trigger", "urgent", "-o", "json").stdout)["data"]["detail"]
    assert told["run"].startswith("urgent@")
    assert told["jobs"] != [job]
    assert run(stack, "watch", told["run"]).returncode == 3
    refused = run(stack, "trigger", made)
    assert (refused.returncode, "NO_SCHEDULE" in refused.stderr) == (1, True)


def test_a_schedule_is_suspended_resumed_and_cancelled(stack: Stack) -> None:
    submitted(stack, "commanded")
    assert "suspend accepted" in run(stack, "suspend", "commanded").stdout
    assert row(stack, "commanded")[6] == "suspended"
    assert run(stack, "resume", "commanded").returncode == 0
    assert row(stack, "commanded")[6].endswith("Z")
    assert run(stack, "cancel", "commanded").returncode == 0

    def gone() -> bool:
        return documents(stack, "commanded") == []

    wait_for(gone)
    lines = run(stack, "watch", "commanded", "--no-follow").stdout.splitlines()
    assert [line.split()[2] for line in lines] == ["scheduled", "unscheduled"]
    assert lines[0].endswith("01-01T00:00:00Z")
    assert lines[1].endswith("0 0 1 1 *, 0 runs")


def test_an_invalid_schedule_is_refused_before_it_is_published(stack: Stack) -> None:
    text = json.dumps({"id": "bad", "job": {"image": "busybox"}, "schedule": "at noon", "timeZone": "Mars/Phobos"})
    done = run(stack, "submit", "-", text=text)
    assert done.returncode == 2
    assert "schedule: has 2 fields" in done.stderr
    assert "timeZone: is no known time zone" in done.stderr


def test_uninstall_removes_the_finalizers_of_cron_jobs_and_says_that_they_stay(stack: Stack) -> None:
    """Must be the last test here: it ends jobrelay."""
    cron_job = submitted(stack, "kept")
    terminated(stack.process("jobrelay"))
    there = asked(stack.environ, lambda cluster: cluster.list_cron_jobs("default", ""))
    ours = [found for found in there if FINALIZER in found["metadata"]["finalizers"]]
    done = run(stack, "uninstall", "--yes")
    assert done.returncode == 0, done.stderr
    assert f"removed from 0 Jobs and {len(ours)} CronJobs" in done.stdout
    assert "kubectl delete cronjobs -n default -l app.kubernetes.io/managed-by=jobrelay" in done.stdout
    after = asked(stack.environ, lambda cluster: cluster.read_cron_job("default", cron_job["metadata"]["name"]))
    assert FINALIZER not in after["metadata"].get("finalizers", [])
    assert not after["spec"].get("suspend")
