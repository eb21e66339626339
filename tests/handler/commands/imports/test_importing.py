"""`jobrelay import` against a real broker, a development cluster and a running jobrelay."""

import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from handler.local.stack import Stack, start
from tests.handler.commandline import Done, end, run, started, wait_for
from tests.handler.samples import waits_for
from tests.paths import EXAMPLES

NEVER = "0 0 1 1 *"
FAST = {"JOBRELAY_CONTROL_WAIT": "1"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with start(tmp_path_factory.mktemp("stack"), settings=FAST) as running:
        yield running


def imported(stack: Stack, text: str, *options: str, code: int = 0) -> Done:
    done = run(stack, "import", "-", *options, text=text)
    assert done.returncode == code, done.stderr
    return done


def a_set(source: str, **jobs: dict[str, Any]) -> str:
    """The text of a file that defines these jobs, by id."""
    fixed = {"schedule": NEVER, "job": {"image": "busybox", "command": ["true"]}}
    return json.dumps({"source": source, "jobs": [{"id": name, **fixed, **job} for name, job in jobs.items()]})


def actions(done: Done) -> dict[str, str]:
    """The action for each id, from the table of a plan."""
    rows = [line.split() for line in done.stdout.partition("\n\n")[0].splitlines()[1:]]
    return {name: action for action, name, *_ in rows}


def schedules(stack: Stack, source: str) -> dict[str, dict[str, Any]]:
    """The schedules of this source that are in force, by id."""
    found = [json.loads(line) for line in run(stack, "get", "-o", "json").stdout.splitlines()]
    return {shown["id"]: shown for shown in found if (shown["kind"], shown["source"]) == ("schedule", source)}


def uids(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    """The uids of the CronJobs, by id: a CronJob that is not replaced keeps its uid."""
    return {name: schedule["cronJob"]["uid"] for name, schedule in found.items()}


def test_the_example_is_imported_kept_changed_and_pruned(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "jobs.yaml"
    text = (EXAMPLES / "jobs.yaml").read_text()
    names = [job["id"] for job in yaml.safe_load(text)["jobs"]]
    file.write_text(text)

    first = run(stack, "import", str(file))
    assert first.returncode == 0, first.stderr
    assert actions(first) == dict.fromkeys(names, "create")
    assert sorted(first.stdout.splitlines()[-3:]) == sorted(f"created {name}" for name in names)
    assert first.stderr == "3 created\n"
    before = schedules(stack, "/jobs/reports")
    assert sorted(before) == sorted(names)
    assert before["nightly-report"]["timeZone"] == "Europe/Berlin"
    assert before["exchange-rates"]["concurrencyPolicy"] == "Forbid"
    assert before["migration-check"]["maxRuns"] == 4

    second = run(stack, "import", str(file), "--prune")
    assert (second.returncode, actions(second)) == (0, dict.fromkeys(names, "unchanged"))
    assert second.stderr == "nothing to change: 3 definitions are as in the file\n"
    assert uids(schedules(stack, "/jobs/reports")) == uids(before)

    file.write_text(text.replace("30 2 * * *", "45 3 * * *").replace("value: full", "value: hidden-text"))
    third = run(stack, "import", str(file))
    assert third.returncode == 0, third.stderr
    assert [line.split() for line in third.stdout.splitlines() if line.startswith("update ")] == [
        ["update", "nightly-report", *["45", "3", "*", "*", "*"], "Europe/Berlin", "schedule,", "job.env.KIND"]
    ]
    assert "hidden-text" not in third.stdout + third.stderr
    assert third.stderr == "1 updated, 2 as in the file\n"
    after = schedules(stack, "/jobs/reports")
    assert after["nightly-report"]["schedule"] == "45 3 * * *"
    assert [name for name in names if uids(after)[name] != uids(before)[name]] == ["nightly-report"]

    document = yaml.safe_load(file.read_text())
    document["jobs"] = [job for job in document["jobs"] if job["id"] != "exchange-rates"]
    file.write_text(yaml.safe_dump(document))
    kept = run(stack, "import", str(file))
    assert kept.returncode == 0
    assert actions(kept)["exchange-rates"] == "keep"
    assert "nothing to change: 2 definitions are as in the file, 1 not in it left alone" in kept.stderr
    pruned = run(stack, "import", str(file), "--prune")
    assert pruned.returncode == 0, pruned.stderr
    assert actions(pruned)["exchange-rates"] == "remove"
    assert pruned.stdout.endswith("\n\nremoved exchange-rates\n")
    assert sorted(schedules(stack, "/jobs/reports")) == ["migration-check", "nightly-report"]


def test_a_dry_run_changes_nothing(stack: Stack) -> None:
    done = imported(stack, a_set("/dry", dry={}), "--dry-run")
    assert actions(done) == {"dry": "create"}
    assert done.stderr == "dry run: 1 to create\n"
    assert schedules(stack, "/dry") == {}


def test_another_set_is_left_alone(stack: Stack) -> None:
    imported(stack, a_set("/one", same={}, single={}))
    imported(stack, a_set("/two", same={"schedule": "@daily"}))
    done = imported(stack, a_set("/two"), "--prune")
    assert actions(done) == {"same": "remove"}
    assert sorted(schedules(stack, "/one")) == ["same", "single"]
    assert schedules(stack, "/two") == {}


def test_plan_and_outcome_can_be_printed_as_documents(stack: Stack) -> None:
    imported(stack, a_set("/documents", stays={}, moves={}))
    text = a_set("/documents", stays={}, moves={"timeout": 60}, comes={"timeZone": "Asia/Tokyo"})
    done = imported(stack, text, "-o", "yaml", "--lane", "high")
    printed = list(yaml.safe_load_all(done.stdout))
    plan = {document["id"]: document for document in printed if "action" in document}
    assert {name: document["action"] for name, document in plan.items()} == {
        "stays": "unchanged",
        "moves": "update",
        "comes": "create",
    }
    assert plan["moves"]["changed"] == ["timeout"]
    assert (plan["comes"]["schedule"], plan["comes"]["timeZone"]) == (NEVER, "Asia/Tokyo")
    ends = {document["id"]: document["done"] for document in printed if "done" in document}
    assert ends == {"moves": "updated", "comes": "created"}


def test_what_jobrelay_refuses_is_reported_and_the_former_definition_is_restored(stack: Stack) -> None:
    imported(stack, a_set("/refused", old={}))
    elsewhere = {"job": {"image": "busybox", "namespace": "elsewhere"}}
    done = imported(stack, a_set("/refused", old=elsewhere, new=elsewhere, fine={}), code=1)
    assert done.stderr.count("rejected: FORBIDDEN\n  job.namespace ") == 2
    assert done.stderr.count("its former definition is in force again") == 1
    assert done.stderr.splitlines()[-1] == "1 created, 2 refused"
    assert sorted(schedules(stack, "/refused")) == ["fine", "old"]
    again = imported(stack, a_set("/refused", old=elsewhere, fine={}), "-o", "json", code=1)
    (refused,) = [document for document in map(json.loads, again.stdout.splitlines()) if "done" in document]
    assert (refused["done"], refused["id"], refused["restored"]) == ("refused", "old", True)
    assert refused["errors"][0]["errorCode"] == "FORBIDDEN"


def test_mistakes_that_import_does_not_check_are_found_by_jobrelay(stack: Stack) -> None:
    text = a_set("/unchecked", wrong={"schedule": "never"})
    assert "jobs[0].schedule" in imported(stack, text, code=2).stderr
    done = imported(stack, text, "--no-check", code=1)
    assert "wrong rejected: INVALID_REQUEST" in done.stderr


def test_the_next_import_completes_an_import_that_timed_out(stack: Stack) -> None:
    imported(stack, a_set("/short", old={}, gone={}))
    text = a_set("/short", old={"schedule": "@yearly"}, new={})
    relay = stack.process("jobrelay").pid
    os.kill(relay, signal.SIGSTOP)
    try:
        late = imported(stack, text, "--prune", "--timeout", "2", code=1)
    finally:
        os.kill(relay, signal.SIGCONT)
    assert "not done within 2 s" in late.stderr
    assert "\n  old: its former CronJob is " in late.stderr
    imported(stack, text, "--prune")
    assert {name: shown["schedule"] for name, shown in schedules(stack, "/short").items()} == {
        "old": "@yearly",
        "new": NEVER,
    }


def test_the_next_import_completes_an_interrupted_import(stack: Stack, tmp_path: Path) -> None:
    imported(stack, a_set("/cut", **{f"cut-{number}": {} for number in range(10)}))
    text = a_set("/cut", **{f"cut-{number}": {"schedule": "@yearly"} for number in range(10)})
    file, output = tmp_path / "cut.json", tmp_path / "output"
    file.write_text(text)
    with started("import", str(file), environ=stack.environ, output=output) as process:
        wait_for(lambda: "update " in output.read_text(), what=output.read_text)
        assert end(process, signal.SIGINT) == 130
    assert "Traceback" not in output.read_text()
    imported(stack, text)
    assert {shown["schedule"] for shown in schedules(stack, "/cut").values()} == {"@yearly"}
    assert len(schedules(stack, "/cut")) == 10


def test_a_run_goes_on_when_its_definition_is_updated(stack: Stack, tmp_path: Path) -> None:
    mark = tmp_path / "go"
    job = {"image": "busybox", "command": ["sh", "-c", waits_for(mark)]}
    often = {"schedule": "@every 1s", "concurrencyPolicy": "Forbid", "job": job}
    imported(stack, a_set("/running", often=often))

    def the_run() -> dict[str, Any]:
        found = [json.loads(line) for line in run(stack, "get", "often", "-o", "json").stdout.splitlines()]
        return next((shown for shown in found if shown["kind"] == "job"), {})

    wait_for(lambda: the_run().get("phase") == "started", what=lambda: str(the_run()))
    before = the_run()["id"]
    imported(stack, a_set("/running", often={}))
    assert (the_run()["id"], the_run()["phase"]) == (before, "started")
    mark.touch()
    wait_for(lambda: the_run().get("phase") == "succeeded", what=lambda: str(the_run()))
    assert the_run()["id"] == before
