"""What commands say about URLs of brokers, on standard output and standard error, at every log level."""

import os
import subprocess
from pathlib import Path

import pytest

from handler.cli.main import main
from handler.local.stack import clean_environ, jobrelay
from tests.handler.commandline import make_environ
from tests.patience import PATIENCE

RAW = "zq0/zq1?zq2#zq3@zq4"
ESCAPED = "zq0%2Fzq1%3Fzq2%23zq3%40zq4"
"""No word of ours has the letters zq, which are in the users, too."""
FORMS = ("amqp://zquser:{}@127.0.0.1:1/v", "nats://zquser:{}@127.0.0.1:1,localhost:1", "nats://{}@127.0.0.1:1")
COMMANDS = (["run"], ["check"], ["check", "--connect"], ["submit", "--image", "a"], ["watch"], ["cancel", "x"], ["get"])


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("JOBRELAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_commands_refuse_a_raw_password_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: list[str], form: str
) -> None:
    monkeypatch.setenv("JOBRELAY_SOURCES", form.format(RAW))
    assert main(command) == 2
    printed = capsys.readouterr()
    _, line = printed.err.splitlines()
    assert line.startswith("  JOBRELAY_SOURCES: in the user and password of the ")
    assert "# is written %23, / is written %2F, ? is written %3F, @ is written %40" in line
    assert "zq" not in line
    assert not printed.out


def test_an_option_is_refused_like_the_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--broker", FORMS[0].format(RAW)]) == 2
    assert "/ is written %2F" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["dev", "--broker"], ["demo", "--broker"], ["check"], ["get", "x"]], ids=" ".join
)
def test_a_url_in_the_wrong_place_is_not_repeated(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    for text in (RAW, ESCAPED):
        assert main([*arguments, FORMS[0].format(text)]) == 2
        assert "zq" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "form"),
    list(zip((["check", "--connect"], ["watch", "-v"], ["check", "--connect"]), FORMS, strict=True)),
    ids=["check-user", "watch-user", "check-token"],
)
def test_nothing_is_shown_of_an_escaped_password_when_no_broker_answers(
    tmp_path: Path, command: list[str], form: str
) -> None:
    environ = clean_environ() | make_environ(tmp_path, JOBRELAY_SOURCES=form.format(ESCAPED))
    done = subprocess.run(jobrelay(*command), env=environ, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stdout + done.stderr
    assert "zq" not in done.stdout + done.stderr


@pytest.mark.parametrize("form", FORMS[:2])
def test_the_service_logs_nothing_of_an_escaped_password(tmp_path: Path, form: str) -> None:
    environ = make_environ(tmp_path, JOBRELAY_SOURCES=form.format(ESCAPED), JOBRELAY_LOG_LEVEL="DEBUG")
    with subprocess.Popen(
        jobrelay("run"),
        env=clean_environ() | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "no connection to" in line and "127.0.0.1:1" in line:
                process.terminate()
    assert any("no connection to" in line for line in lines)
    assert not [line for line in lines if "zq" in line]
