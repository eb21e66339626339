"""Asks the program for completions, as the script of a shell does, in a process of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from click.shell_completion import ShellComplete

from handler.cli.completing import PATIENCE_VARIABLE, VARIABLE
from handler.cli.main import cli
from handler.cli.program import NAME
from handler.local.stack import clean_environ


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`items`: pairs of a value and what is said of it, `_` for nothing."""

    returncode: int
    items: list[tuple[str, str]]
    stderr: str
    seconds: float

    @property
    def values(self) -> list[str]:
        return [value for value, _ in self.items]


def ask_here(line: str, environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """The items that `ask` answers with, found in this process. Not for use within an event loop."""
    words = line.split(" ")
    with (
        mock.patch.dict(os.environ, {**clean_environ(), PATIENCE_VARIABLE: "60", **environ}, clear=True),
        mock.patch("handler.cli.completing._age", return_value=0.0),
    ):
        found = ShellComplete(cli, {}, NAME, VARIABLE).get_completions(words[1:-1], words[-1])
    return [(item.value, item.help or "_") for item in found]


def ask(line: str, environ: Mapping[str, str], *, cwd: Path | None = None, patience: float | None = 60.0) -> Answer:
    """What the last word of this line may become, by the answer that zsh gets. `patience`: seconds; None for a shell's.

    Where the line ends with a space, the last word is empty.
    """
    words = line.split(" ")
    given = {VARIABLE: "zsh_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    if patience is not None:
        given[PATIENCE_VARIABLE] = str(patience)
    began = time.monotonic()
    done = subprocess.run(
        [Path(sys.executable).with_name("jobrelay")],
        env={**clean_environ(), "PATH": os.environ["PATH"], **environ, **given},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - began
    lines = done.stdout.splitlines()
    items = list(zip(lines[1::3], lines[2::3], strict=True))
    return Answer(returncode=done.returncode, items=items, stderr=done.stderr, seconds=seconds)
