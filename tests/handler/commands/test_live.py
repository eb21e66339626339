"""The command line against a real broker, a development cluster and a running jobrelay."""

import asyncio
import contextlib
import json
import os
import pty
import re
import signal
import subprocess
from collections.abc import AsyncIterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from cloudevents.core.formats.json import JSONFormat

from adapters.jetstream.connection import connection
from adapters.jetstream.options import JetStreamOptions
from events.names import FINALIZER
from handler.commands import submit
from handler.local.stack import Stack, clean_environ, jobrelay, start
from k8s.base import Manifest
from tests.handler.commandline import Done, asked, end, run, shell, started, terminated, wait_for
from tests.patience import PATIENCE

FAST = {"JOBRELAY_CONTROL_WAIT": "1"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with start(tmp_path_factory.mktemp("stack"), settings=FAST) as running:
        yield running


def submitted(stack: Stack, request_id: str, script: str, *options: str) -> Done:
    done = run(stack, "submit", "--id", request_id, *options, *shell(script))
    assert (done.returncode, done.stdout) == (0, f"{request_id}\n") or "--watch" in options, done.stderr
    return done


def phases(stack: Stack, request_id: str) -> list[str]:
    """The phases that `watch` shows."""
    done = run(stack, "watch", request_id, "--no-follow")
    assert done.returncode == 0, done.stderr
    return [line.split()[2] for line in done.stdout.splitlines()]


def reached(stack: Stack, request_id: str, phase: str) -> None:
    wait_for(lambda: phase in phases(stack, request_id))


def test_submit_with_watch_exits_like_the_container_and_says_why(stack: Stack) -> None:
    done = run(stack, "submit", "--watch", *shell("echo hi; exit 3"))
    assert done.returncode == 3
    assert [line.split()[2] for line in done.stdout.splitlines()] == ["created", "started", "failed"]
    assert "exit code 3" in done.stderr
    assert done.stderr.splitlines()[-1].strip() == "hi"


def test_submit_with_watch_names_a_program_that_is_not_there(stack: Stack) -> None:
    done = run(stack, "submit", "--watch", "--image", "busybox", "--", "nosuchprog")
    assert done.returncode == 128
    assert 'exec: "nosuchprog": executable file not found in $PATH' in done.stderr


def test_submit_with_watch_exits_with_0_after_a_success(stack: Stack) -> None:
    script = "echo '{\"sum\": 7}' >$JOBRELAY_RESULT_PATH"
    done = run(stack, "submit", "--watch", "-o", "json", *shell(script))
    assert (done.returncode, done.stderr) == (0, "")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["type"].rpartition(".")[2] for event in events] == ["created", "started", "succeeded"]
    assert events[-1]["data"]["detail"]["result"] == {"sum": 7}


def test_events_are_printed_so_that_the_sdk_can_read_them(stack: Stack) -> None:
    submitted(stack, "sdk", "true", "--watch")
    done = run(stack, "watch", "sdk", "--no-follow", "-o", "json")
    for line in done.stdout.splitlines():
        event = JSONFormat().read(None, line.encode())
        assert event.get_subject() == "sdk"


def test_on_a_terminal_one_line_per_request_is_kept_up_to_date(stack: Stack) -> None:
    terminal, side = pty.openpty()
    command = jobrelay("submit", "--watch", "--id", "live", *shell("sleep 1; exit 3"))
    environ = {**clean_environ(), **stack.environ, "TERM": "xterm", "COLUMNS": "90", "LINES": "24"}
    process = subprocess.Popen(command, env=environ, stdout=side, stderr=side)
    os.close(side)
    text = ""
    with contextlib.suppress(OSError):  # raised by the read once the other side is closed
        while piece := os.read(terminal, 65536):
            text += piece.decode()
    os.close(terminal)
    assert process.wait(PATIENCE) == 3
    assert "\x1b[" in text
    assert -1 < text.find("started") < text.rfind("exit 3"), text
    assert re.search(r"live failed with exit code 3", text)


def test_submit_of_several_requests_exits_with_1_if_any_fails(stack: Stack) -> None:
    text = yaml.safe_dump_all(
        {"id": f"several-{code}", "job": {"image": "busybox", "command": ["sh", "-c", f"exit {code}"]}}
        for code in (0, 4)
    )
    done = run(stack, "submit", "-", "--watch", text=text)
    assert done.returncode == 1
    assert "several-4 failed" in done.stderr
    assert "several-0" not in done.stderr


def test_settings_of_a_request_reach_its_container(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_text(
        json.dumps({"job": {"image": "nothing", "command": ["sh", "-c", "echo $WHO >$JOBRELAY_RESULT_PATH"]}})
    )
    done = run(stack, "submit", str(file), "--set", "image=busybox", "--set", "env.WHO=me", "--watch")
    assert done.returncode == 0
    assert done.stdout.rstrip().endswith("result me")


def test_a_request_that_was_submitted_before_is_recalled(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit, "RECALL_SECONDS", 0.5)
    text = json.dumps({"id": "again", "job": {"image": "busybox", "command": ["sh", "-c", "exit 6"]}})
    first = run(stack, "submit", "-", "--watch", text=text)
    second = run(stack, "submit", "-", "--watch", text=text)
    assert (first.returncode, second.returncode) == (6, 6)
    assert first.stdout == second.stdout
    assert "was submitted before" in second.stderr


def test_an_invalid_request_is_refused_before_it_is_published(stack: Stack) -> None:
    done = run(stack, "submit", "-", text="{id: unsent, job: {image: busybox, comand: [x]}, retries: -1}")
    assert done.returncode == 2
    assert "job.comand" in done.stderr
    assert "retries" in done.stderr
    assert phases(stack, "unsent") == []


def test_a_rejected_request_exits_with_1_and_is_a_dead_letter(stack: Stack) -> None:
    done = run(stack, "submit", "-", "--no-check", "--watch", text="{id: wrong, job: {image: busybox, comand: [x]}}")
    assert done.returncode == 1
    assert "INVALID_REQUEST" in done.stderr
    letters = [json.loads(line) for line in run(stack, "dead", "list", "-o", "json").stdout.splitlines()]
    (letter,) = [letter for letter in letters if "job.comand" in letter["reason"]]
    assert letter["code"] == "INVALID_REQUEST"
    assert letter["id"] == "wrong"
    assert any(line.split()[0] == str(letter["number"]) for line in run(stack, "dead", "list").stdout.splitlines())
    shown = run(stack, "dead", "show", str(letter["number"]))
    assert shown.returncode == 0
    assert '"comand":["x"]' in shown.stdout
    whole = yaml.safe_load(run(stack, "dead", "show", str(letter["number"]), "-o", "yaml").stdout)
    assert json.loads(whole["body"])["data"]["id"] == "wrong"


def test_an_unknown_dead_letter_is_an_error(stack: Stack) -> None:
    done = run(stack, "dead", "show", "99999")
    assert done.returncode == 1
    assert done.stderr == "jobrelay: no dead letter 99999\n"


def test_watch_shows_past_events_and_goes_on(stack: Stack, tmp_path: Path) -> None:
    submitted(stack, "watched-1", "true", "--service", "live", "--watch")
    output = tmp_path / "output"
    with started("watch", "--service", "live", environ=stack.environ, output=output) as process:
        wait_for(lambda: "watched-1  succeeded" in output.read_text(), what=output.read_text)
        submitted(stack, "unwatched", "true", "--watch")
        submitted(stack, "watched-2", "true", "--service", "live", "--watch")
        wait_for(lambda: "watched-2  succeeded" in output.read_text(), what=output.read_text)
        assert end(process, signal.SIGINT) == 130
    assert "unwatched" not in output.read_text()
    assert "Traceback" not in output.read_text()


def test_watch_new_skips_past_events(stack: Stack, tmp_path: Path) -> None:
    submitted(stack, "old", "true", "--service", "fresh", "--watch")
    output = tmp_path / "output"
    with started("watch", "--service", "fresh", "--new", environ=stack.environ, output=output):
        for number in range(100):
            submitted(stack, f"new-{number}", "true", "--service", "fresh", "--watch")
            if "new-" in output.read_text():
                break
    assert "new-" in output.read_text()
    assert "old" not in output.read_text()


def test_get_lists_jobs_and_shows_a_job_with_all_details(stack: Stack) -> None:
    submitted(stack, "listed", "exit 5", "--service", "lists", "--watch")
    row = next(line.split() for line in run(stack, "get").stdout.splitlines() if line.startswith("listed "))
    assert row[:2] == ["listed", "lists"]
    assert row[3] == "failed"
    assert row[6] == "5"

    def released() -> dict[str, Any] | None:
        (found,) = [json.loads(line) for line in run(stack, "get", "listed", "-o", "json").stdout.splitlines()]
        return None if found["job"]["held"] else found

    # Its finalizer goes after the event that `--watch` waits for.
    found = wait_for(released)
    assert (found["id"], found["phase"], found["verdict"]) == ("listed", "failed", None)
    assert [one["exitCode"] for pod in found["pods"] for one in pod["containers"]] == [5]
    assert yaml.safe_load(run(stack, "get", "listed", "-o", "yaml").stdout) == found


def test_get_shows_that_a_cancelled_job_is_ending_while_it_uses_its_grace_period(stack: Stack, tmp_path: Path) -> None:
    mark = tmp_path / "go"
    submitted(stack, "graceful", f"trap '' TERM; until [ -e {mark} ]; do sleep 0.1; done")
    reached(stack, "graceful", "started")
    assert run(stack, "cancel", "graceful").returncode == 0

    def ending() -> bool:
        return "  ending  " in run(stack, "get", "graceful").stdout

    wait_for(ending)
    assert "CANCELLED" in run(stack, "get", "graceful").stdout
    (found,) = [json.loads(line) for line in run(stack, "get", "graceful", "-o", "json").stdout.splitlines()]
    assert (found["phase"], found["detail"]["error"]["errorCode"]) == ("ending", "CANCELLED")
    assert phases(stack, "graceful")[-1] == "started"
    mark.touch()
    reached(stack, "graceful", "cancelled")
    assert "  cancelled  " in run(stack, "get", "graceful").stdout


def test_get_shows_what_a_running_job_uses(stack: Stack) -> None:
    submitted(stack, "using", "sleep 600")

    def row() -> str:
        return next((line for line in run(stack, "get").stdout.splitlines() if line.startswith("using ")), "")

    wait_for(lambda: re.search(r", cpu 0\.\d\d, memory [\d.]+ [KM]iB$", row()) is not None, what=row)
    (found,) = [json.loads(line) for line in run(stack, "get", "using", "-o", "json").stdout.splitlines()]
    assert found["usage"]["memory"] > 0
    assert run(stack, "cancel", "using").returncode == 0


@pytest.mark.parametrize("arguments", [["get", "nobody"], ["logs", "nobody"], ["logs", "-f", "nobody"]])
def test_an_unknown_request_exits_with_1(stack: Stack, arguments: list[str]) -> None:
    done = run(stack, *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("jobrelay: no Job of request nobody. Once a Job has gone, only a history can tell:")


def test_logs_are_those_of_the_request(stack: Stack) -> None:
    submitted(stack, "logged", "echo one; echo two; echo three", "--watch")
    assert run(stack, "logs", "logged").stdout == "one\ntwo\nthree\n"
    assert run(stack, "logs", "logged", "--tail", "1").stdout == "three\n"


def test_logs_follow_until_the_job_is_over(stack: Stack, tmp_path: Path) -> None:
    mark = tmp_path / "go"
    submitted(stack, "followed", f"echo first; until [ -e {mark} ]; do sleep 0.1; done; printf last")
    output = tmp_path / "output"
    with started("logs", "-f", "followed", environ=stack.environ, output=output) as process:
        wait_for(lambda: "first" in output.read_text(), what=output.read_text)
        mark.touch()
        assert process.wait(PATIENCE) == 0
    assert output.read_text() == "first\nlast\n"


def test_logs_follow_later_pods_and_name_every_pod(stack: Stack, tmp_path: Path) -> None:
    mark = tmp_path / "go"
    script = f"echo part; until [ -e {mark} ]; do sleep 0.1; done"
    job = {"image": "busybox", "command": ["sh", "-c", script], "parallelism": 1, "completions": 2}
    assert run(stack, "submit", "-", text=json.dumps({"id": "in-turn", "job": job})).returncode == 0
    reached(stack, "in-turn", "created")
    output = tmp_path / "output"
    with started("logs", "-f", "in-turn", environ=stack.environ, output=output) as process:
        wait_for(lambda: "part" in output.read_text(), what=output.read_text)
        mark.touch()
        assert process.wait(PATIENCE) == 0
    lines = output.read_text().splitlines()
    assert [line.partition(": ")[2] for line in lines] == ["part", "part"]
    assert len({line.partition(": ")[0] for line in lines}) == 2


def test_logs_follow_until_a_job_that_never_ran_is_over(stack: Stack, tmp_path: Path) -> None:
    text = "{id: never, job: {image: 'missing/tool:1', command: ['true']}, startTimeout: 1}"
    assert run(stack, "submit", "-", text=text).returncode == 0
    reached(stack, "never", "created")
    output = tmp_path / "output"
    with started("logs", "-f", "never", environ=stack.environ, output=output) as process:
        assert process.wait(PATIENCE) == 0
    assert output.read_text() == "request never is over, and no pod of it ran\n"


def test_logs_follow_ends_when_the_job_is_gone(stack: Stack, tmp_path: Path) -> None:
    submitted(stack, "removed", "echo begun; sleep 600")
    reached(stack, "removed", "started")
    output = tmp_path / "output"
    with started("logs", "-f", "removed", environ=stack.environ, output=output) as process:
        wait_for(lambda: "begun" in output.read_text(), what=output.read_text)
        assert run(stack, "cancel", "removed").returncode == 0
        assert process.wait(PATIENCE) == 0
    assert output.read_text() == "begun\n"


def test_logs_of_several_pods_name_them(stack: Stack) -> None:
    text = "{id: parts, job: {image: busybox, command: [echo, part], parallelism: 2, completions: 2}}"
    assert run(stack, "submit", "-", "--watch", text=text).returncode == 0
    lines = run(stack, "logs", "parts").stdout.splitlines()
    assert [line.partition(": ")[2] for line in lines] == ["part", "part"]
    assert len({line.partition(": ")[0] for line in lines}) == 2


def test_cancel_ends_a_running_request(stack: Stack) -> None:
    submitted(stack, "stopped", "sleep 600")
    reached(stack, "stopped", "started")
    done = run(stack, "cancel", "stopped")
    assert done.returncode == 0, done.stderr
    assert "cancel accepted" in done.stdout
    reached(stack, "stopped", "cancelled")
    again = run(stack, "cancel", "stopped", "-o", "json")
    assert again.returncode == 1
    assert "FINISHED" in again.stderr
    assert json.loads(again.stdout)["type"] == "dev.jobrelay.control.rejected"


def test_suspend_and_resume_take_effect(stack: Stack) -> None:
    submitted(stack, "paused", "sleep 600")
    reached(stack, "paused", "started")
    assert run(stack, "suspend", "paused").returncode == 0
    reached(stack, "paused", "suspended")
    assert run(stack, "resume", "paused").returncode == 0
    reached(stack, "paused", "resumed")
    assert run(stack, "cancel", "paused", "--no-wait").returncode == 0
    reached(stack, "paused", "cancelled")


def test_a_command_for_an_unknown_request_is_refused(stack: Stack) -> None:
    done = run(stack, "cancel", "nobody")
    assert done.returncode == 1
    assert "UNKNOWN" in done.stderr


def test_check_connects(stack: Stack) -> None:
    done = run(stack, "check", "--connect")
    assert done.returncode == 0, done.stderr
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["nats", "cluster"]
    wrong = run(stack, "check", "--connect", "--instance", "other")
    assert wrong.returncode == 1
    assert "OTHER_REQUESTS" in wrong.stderr


def test_a_paused_consumer_is_reported_by_check_and_readyz_until_it_is_resumed(stack: Stack) -> None:
    def pause(until: str) -> None:
        async def paused() -> None:
            async with connection(stack.source, JetStreamOptions()) as link:
                await link.api("CONSUMER.PAUSE.JOBRELAY_REQUESTS.jobrelay-low", {"pause_until": until} if until else {})

        asyncio.run(paused())

    def ready() -> str:
        with contextlib.closing(HTTPConnection(stack.http.removeprefix("http://"))) as http:
            http.request("GET", "/readyz")
            return http.getresponse().read().decode()

    said = "consumer jobrelay-low of JOBRELAY_REQUESTS is paused until 2999-01-01T00:00:00Z"
    pause("2999-01-01T00:00:00Z")
    done = run(stack, "check", "--connect")
    assert (done.returncode, said in done.stderr.splitlines()[0]) == (1, True)
    wait_for(lambda: said in ready())
    wait_for(lambda: said in stack.process("jobrelay").output())
    submitted(stack, "meanwhile", "true", "--watch")
    pause("")
    wait_for(lambda: ready() == "ok\n")
    wait_for(lambda: "broker nats: as it should be again" in stack.process("jobrelay").output())
    assert run(stack, "check", "--connect").returncode == 0


@pytest.fixture
async def other(tmp_path: Path) -> AsyncIterator[Stack]:
    """A stack of its own, for a test that ends jobrelay."""
    async with start(tmp_path / "stack") as running:
        yield running


def test_uninstall_removes_the_finalizers_of_unfinished_jobs(other: Stack) -> None:
    def jobs() -> list[Manifest]:
        return asked(other.environ, lambda cluster: cluster.list_jobs("default", ""))

    submitted(other, "held", "sleep 600")
    wait_for(jobs)
    terminated(other.process("jobrelay"))
    assert run(other, "uninstall", text="n\n").returncode == 1
    (job,) = jobs()
    assert FINALIZER in job["metadata"]["finalizers"]
    done = run(other, "uninstall", "--yes")
    assert done.returncode == 0, done.stderr
    assert "removed from 1 Jobs" in done.stdout
    assert "Lease jobrelay deleted" in done.stdout
    assert "JOBRELAY_REQUESTS" in done.stdout
    (job,) = jobs()
    assert FINALIZER not in job["metadata"].get("finalizers", [])
    assert "Lease jobrelay was not there" in run(other, "uninstall", "--yes").stdout
