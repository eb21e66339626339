"""Shells at a terminal, with a program whose words they complete: what stands on the line after Tab."""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pexpect

from handler.cli.completing import PATIENCE_VARIABLE
from tests.patience import PATIENCE

READY = "READY> "
_TYPED = "REA''DY> "
"""As a shell puts it together, so that the line that sets it is not taken for it."""
SHELLS = ("bash", "zsh", "fish")
_START = {
    "bash": ["--norc", "--noprofile"],
    "zsh": ["-f"],
    "fish": ["--no-config"],
}
# Then the program is not run: each of its words is printed.
_PREPARED = {
    "bash": "bind 'set enable-bracketed-paste off'; source <({name} completion bash); PS1='{ready}'; "
    "{name}() {{ printf 'GOT[%s]\\n' \"$@\"; }}",
    "zsh": "unset zle_bracketed_paste; unsetopt prompt_cr prompt_sp; autoload -Uz compinit && compinit -u -D; "
    "source <({name} completion zsh); PS1='{ready}'; {name}() {{ printf 'GOT[%s]\\n' \"$@\"; }}",
    "fish": "{name} completion fish | source; function fish_prompt; echo -n '{ready}'; end; "
    "function {name}; printf 'GOT[%s]\\n' $argv; end",
}


class Terminal:
    """A shell that waits for a line."""

    def __init__(self, child: "pexpect.spawn[str]", name: str) -> None:
        self._child = child
        self._name = name

    def words(self, typed: str, *, keys: str = "\t") -> list[str]:
        """The words of the program's line, after this was typed and the keys were pressed."""
        return [line[4:-1] for line in self.shown(typed, keys=keys) if line.startswith("GOT[")]

    def shown(self, typed: str, *, keys: str = "\t") -> list[str]:
        """The lines that the terminal shows until the line is run and the shell waits again."""
        self._child.send(f"{self._name} {typed}{keys}")
        self._child.send("\r")
        self._child.expect_exact("GOT[")
        before = self._child.before or ""
        self._child.expect_exact(READY)
        text = f"{before}GOT[{self._child.before or ''}"
        return [line.strip() for line in text.replace("\r", "\n").split("\n") if line.strip()]


@contextmanager
def terminal(shell: str, directory: Path, environ: Mapping[str, str], *, name: str = "jobrelay") -> Iterator[Terminal]:
    """A shell in this directory, with the program by this name on its PATH."""
    programs = directory / "bin"
    programs.mkdir(exist_ok=True)
    (programs / name).symlink_to(Path(sys.executable).with_name("jobrelay"))
    kept = {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "TERM": "dumb",
        "LC_ALL": "C.UTF-8",
        "HOME": str(directory),
        "COLUMNS": "200",
        # What a machine does that runs other tests as well is no measure: how fast it is, another test says.
        PATIENCE_VARIABLE: "30",
    }
    executable = shutil.which(shell)
    assert executable is not None
    child = pexpect.spawn(
        executable,
        _START[shell],
        env={**kept, **environ},
        cwd=directory,
        encoding="utf-8",
        timeout=PATIENCE,
        dimensions=(50, 200),
        echo=False,
    )
    try:
        child.sendline(_PREPARED[shell].format(name=name, ready=_TYPED))
        child.expect_exact(READY)
        yield Terminal(child, name)
    finally:
        child.close(force=True)
