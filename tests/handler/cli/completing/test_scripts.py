"""The scripts themselves: what they say to old shells, and what they call."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import BashComplete

from handler.cli.completing import PATIENCE_VARIABLE, VARIABLE
from handler.cli.completion import SHELLS as NAMED
from handler.cli.main import cli
from handler.cli.shells import SHELLS, script_of
from tests.handler.cli.completing.terminals import terminal
from tests.handler.commandline import call

BASH = shutil.which("bash") or "bash"
# Without readline, as `complete -F` would call it.
CALLED = "COMP_WORDS=({words}); COMP_CWORD={place}; _jobrelay_completion {program}; printf '[%s]' \"${{COMPREPLY[@]}}\""


def bash(script: str, directory: Path) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": f"{directory}/bin:{os.environ['PATH']}", "HOME": str(directory), PATIENCE_VARIABLE: "60"}
    return subprocess.run(
        [BASH, "--norc", "-c", script], env=environ, cwd=directory, capture_output=True, text=True, check=False
    )


@pytest.fixture
def script() -> str:
    return script_of("bash", cli, "jobrelay", VARIABLE)


@pytest.mark.parametrize("shell", sorted(SHELLS))
def test_each_shell_has_a_script_of_its_own(shell: str) -> None:
    done = call("completion", shell, environ={})
    assert done.returncode == 0
    assert f"{VARIABLE}={shell}_complete" in done.stdout
    assert "2>/dev/null" in done.stdout
    assert tuple(SHELLS) == NAMED


def test_a_bash_that_is_too_old_is_told_so_and_gets_nothing(script: str, tmp_path: Path) -> None:
    assert "< 404" in script
    done = bash(script.replace("< 404", "< 99999") + "\ncomplete -p jobrelay", tmp_path)
    first, second = done.stderr.splitlines()
    assert first.startswith("jobrelay: completion needs bash 4.4 or newer, and this is ")
    assert "no completion specification" in second


def test_who_makes_a_script_beside_an_old_bash_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "bash"
    old.write_text("#!/bin/sh\necho '3.2.57(1)-release'\n")
    old.chmod(0o755)
    done = call("completion", "bash", environ={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert "older than 4.4" in done.stderr
    assert done.stdout.startswith("if ((BASH_VERSINFO")


def test_a_program_that_is_not_on_the_path_is_pointed_out(tmp_path: Path) -> None:
    done = call("completion", "fish", environ={"PATH": str(tmp_path)})
    assert done.stderr == "jobrelay: no jobrelay on PATH: nothing is completed until there is\n"
    assert done.returncode == 0


def test_it_calls_what_was_typed_and_says_nothing_of_what_is_gone(script: str, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "jobrelay").symlink_to(Path(sys.executable).with_name("jobrelay"))
    for program in ("jobrelay", "bin/jobrelay", "'~/bin/jobrelay'"):
        called = CALLED.format(words="jobrelay tri", place=1, program=program)
        done = bash(f"{script}\n{called}", tmp_path)
        assert (done.stdout, done.stderr) == ("[trigger]", "")
    gone = bash(f"{script}\n{CALLED.format(words='jobrelay tri', place=1, program='/nowhere/jobrelay')}", tmp_path)
    assert (gone.stdout, gone.stderr) == ("[]", "")


def test_the_rest_is_clicks_own(script: str) -> None:
    names = {"complete_func": "_jobrelay_completion", "complete_var": VARIABLE, "prog_name": "jobrelay"}
    body = script.partition("else\n")[2].removesuffix("fi\n")
    assert body.replace('"${1/#\\~\\//$HOME/}" 2>/dev/null', "$1") == BashComplete.source_template % names


@pytest.mark.parametrize("name", ["jobrelay-next", "jobrelay@1"])
def test_it_completes_a_program_of_another_name(name: str, tmp_path: Path) -> None:
    with terminal("bash", tmp_path, {}, name=name) as shown:
        assert shown.words("trig") == ["trigger"]
