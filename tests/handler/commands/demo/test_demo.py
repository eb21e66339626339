"""`jobrelay demo` and `jobrelay dev` as a user runs them: what they show, and that they leave nothing behind."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from handler.commands.demo.cases import CASES
from handler.commands.environment import DEV_DIRECTORY, Local
from handler.commands.showing.progress import Progress
from handler.local.stack import clean_environ
from tests.adapters.conftest import need_rabbit
from tests.handler.commandline import call, call_beside, end, started, wait_for
from tests.handler.console.test_process import WITHOUT
from tests.patience import PATIENCE, within
from tests.processes import survivors


# Only in `make chaos` on RabbitMQ: that it is started and ended with the rest, tests/handler/local claims too.
@pytest.mark.stricter
@pytest.mark.parametrize("broker", ["nats", pytest.param("rabbitmq", marks=pytest.mark.long)])
def test_demo_shows_every_case_as_expected_and_leaves_nothing(tmp_path: Path, broker: str) -> None:
    if broker == "rabbitmq":
        need_rabbit()
    output = tmp_path / "output"
    began = time.monotonic()
    with started("demo", "--broker", broker, environ={"TMPDIR": str(tmp_path)}, output=output) as process:
        code = process.wait(PATIENCE)
    text = output.read_text()
    assert code == 0, text
    assert time.monotonic() - began < within(60)
    table = text.partition("EXPECTED")[2].splitlines()
    assert sum(line.startswith("ok ") for line in table) == len(CASES) == 9
    assert "failed" not in {line.partition(" ")[0] for line in table}
    assert re.search(r"The history holds 9 requests and \d\d events; ", text)
    shown = re.findall(r"^  (/\S*) +(.+)$", text.partition("The page would show ")[2], re.MULTILINE)
    assert [re.sub(r"\d+", "N", path) for path, _ in shown] == ["/", "/requests/N", "/dead"]
    assert shown[0][1] == "9 requests: 1 cancelled, 3 failed, 1 rejected, 4 succeeded"
    assert list(tmp_path.iterdir()) == [output]
    assert not survivors(tmp_path)


# In `make test`, signals are sent to `dev` only: both commands handle them in the same way.
@pytest.mark.long
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_demo_that_is_interrupted_leaves_nothing(tmp_path: Path, number: signal.Signals, code: int) -> None:
    output = tmp_path / "output"
    with started("demo", environ={"TMPDIR": str(tmp_path)}, output=output) as process:
        wait_for(lambda: "long-run  started" in output.read_text(), what=output.read_text)
        assert end(process, number) == code
    assert "Traceback" not in output.read_text()
    assert list(tmp_path.iterdir()) == [output]
    assert not survivors(tmp_path)


def test_a_demo_whose_broker_dies_fails_with_the_logs(tmp_path: Path) -> None:
    output = tmp_path / "output"
    with started("demo", environ={"TMPDIR": str(tmp_path)}, output=output) as process:
        wait_for(lambda: "long-run  started" in output.read_text(), what=output.read_text)
        for pid, command in survivors(tmp_path).items():
            if "nats-server" in command:
                os.kill(pid, signal.SIGKILL)
        assert process.wait(PATIENCE) == 1
    text = output.read_text()
    assert "nats-server ended with" in text
    assert "--- jobrelay.log" in text
    assert "Traceback" not in text
    assert list(tmp_path.iterdir()) == [output]
    assert not survivors(tmp_path)


def test_a_difference_from_the_expected_outcome_is_noticed() -> None:
    case = CASES[0]
    progress = Progress(id=case.id, phases=["created", "started", "succeeded"], detail={"result": {"words": 9}})
    assert case.observed(progress, jobs=1) == case.expected
    assert case.observed(progress, jobs=2) != case.expected
    assert case.observed(None, jobs=1) != case.expected
    progress.phases.append("succeeded")
    assert case.observed(progress, jobs=1) != case.expected


async def test_dev_is_found_by_other_commands_until_it_is_stopped(tmp_path: Path) -> None:
    output = tmp_path / "output"
    directory = tmp_path / DEV_DIRECTORY
    with started("dev", environ={}, output=output, cwd=tmp_path) as process:
        wait_for(lambda: Local.find(directory), what=output.read_text)
        assert directory.stat().st_mode & 0o077 == 0, "others could run commands as this user"
        assert (directory / "running.json").stat().st_mode & 0o077 == 0
        submit = ("submit", "--image", "busybox", "--id", "kept", "--watch", "--", "sh", "-c", "echo hi; exit 3")
        done = await call_beside(*submit, environ={}, cwd=tmp_path)
        assert done.returncode == 3, done.stderr
        shown = await call_beside("history", "logs", "kept", environ={}, cwd=tmp_path)
        assert (shown.returncode, shown.stdout) == (0, "hi\n"), shown.stderr
        assert [row["id"] for row in await asyncio.to_thread(rows_of_the_page, directory)] == ["kept"]
        second = await call_beside("dev", environ={}, cwd=tmp_path)
        assert (second.returncode, len(second.stderr.splitlines())) == (1, 1)
        wait_for(lambda: "failed job_id=kept" in output.read_text(), what=output.read_text)
        assert end(process, signal.SIGINT) == 130
    text = output.read_text()
    assert re.findall(r"^  (\w+) +\S+://", text, re.MULTILINE)[0] == "page"
    local = next(line for line in text.splitlines() if "export JOBRELAY_SOURCES=" in line)
    assert re.search(r"nats://jobrelay:[\w-]{20,}@127\.0\.0\.1:", local)
    assert Local.find(directory) is None
    assert not survivors(directory)


def rows_of_the_page(directory: Path) -> list[dict[str, Any]]:
    """The requests that the page of this `dev` shows to whoever knows its token, and to nobody else."""
    local = Local.find(directory)
    assert local is not None
    url = f"{local.page}api/v1/requests"
    with pytest.raises(HTTPError, match="401") as refused:
        urlopen(url, timeout=PATIENCE)
    refused.value.close()
    asked = Request(url, headers={"Authorization": f"Bearer {local.token}"})
    with urlopen(asked, timeout=PATIENCE) as answer:
        found: list[dict[str, Any]] = json.loads(answer.read())["requests"]
    return found


@pytest.mark.slow
def test_dev_keeps_its_state_until_clean_and_leaves_nothing_running_however_it_ends(tmp_path: Path) -> None:
    directory, output = tmp_path / DEV_DIRECTORY, tmp_path / "output"
    found = []
    for options, ends in (([], _is_told), ([], _is_killed), (["--clean"], _loses_its_broker)):
        with started("dev", *options, environ={}, output=output, cwd=tmp_path) as process:
            local = wait_for(lambda: Local.find(directory), what=output.read_text)
            found.append("kept" in call("get", environ=local.environ()).stdout)
            if not any(found):
                submit = ("submit", "--image", "busybox", "--id", "kept", "--watch", "--", "true")
                assert call(*submit, environ=local.environ()).returncode == 0
            ends(process, directory)
        wait_for(lambda: not survivors(directory), what=lambda: str(survivors(directory)))
        assert Local.find(directory) is None
    assert found == [False, True, False]
    assert "nats-server ended with -9" in output.read_text()


def _is_told(process: subprocess.Popen[bytes], _directory: Path) -> None:
    assert end(process, signal.SIGTERM) == 143


def _is_killed(process: subprocess.Popen[bytes], _directory: Path) -> None:
    assert end(process, signal.SIGKILL) == -signal.SIGKILL


def _loses_its_broker(process: subprocess.Popen[bytes], directory: Path) -> None:
    (pid,) = (pid for pid, command in survivors(directory).items() if "nats-server" in command)
    os.kill(pid, signal.SIGKILL)
    assert process.wait(PATIENCE) == 1


@pytest.mark.long
def test_dev_runs_without_the_extra_of_the_history_and_says_so(tmp_path: Path) -> None:
    output = tmp_path / "output"
    with output.open("wb") as file:
        command = [sys.executable, "-c", WITHOUT, "dev"]
        process = subprocess.Popen(command, env=clean_environ(), cwd=tmp_path, stdout=file, stderr=file)
        try:
            local = wait_for(lambda: Local.find(tmp_path / DEV_DIRECTORY), what=output.read_text)
            assert end(process, signal.SIGTERM) == 143
        finally:
            process.kill()
            process.wait()
    assert (local.history, local.page) == (None, None)
    assert "no history is kept, and there is no page: the history needs the extra [console]" in output.read_text()


@pytest.mark.long
def test_dev_that_is_killed_ends_a_broker_of_several_processes(tmp_path: Path) -> None:
    need_rabbit()
    output = tmp_path / "output"
    directory = tmp_path / DEV_DIRECTORY
    with started("dev", "--broker", "rabbitmq", environ={}, output=output, cwd=tmp_path) as process:
        wait_for(lambda: Local.find(directory), what=output.read_text)
        assert any("beam" in command for command in survivors(directory).values())
        assert end(process, signal.SIGKILL) == -signal.SIGKILL
    wait_for(lambda: not survivors(directory), what=lambda: str(survivors(directory)))
    assert Local.find(directory) is None
