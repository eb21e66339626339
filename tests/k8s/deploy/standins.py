"""Programs that note how they were called, in place of Docker, kind and kubectl, which are not on this machine."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.paths import ROOT

SYSTEM = "/usr/bin:/bin"


class StandIns:
    """Programs in a directory that comes first in PATH."""

    def __init__(self, directory: Path) -> None:
        self._bin = directory / "bin"
        self._log = directory / "log"
        self._bin.mkdir()
        self._log.touch()

    def add(self, name: str, script: str = "") -> None:
        """A program `name`, which notes its arguments in one line, and goes on with `script`, in sh."""
        path = self._bin / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >>{self._log}\n{script}\n')
        path.chmod(0o755)

    def borrow(self, *names: str) -> None:
        """Programs of this machine, for a PATH without all others."""
        for name in names:
            found = shutil.which(name)
            assert found, name
            (self._bin / name).symlink_to(found)

    def run(self, *command: str, path: str = SYSTEM, **variables: str) -> subprocess.CompletedProcess[str]:
        environ: Mapping[str, str] = {"PATH": f"{self._bin}:{path}", "HOME": str(self._bin.parent), **variables}
        return subprocess.run(
            command,
            cwd=ROOT,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            stdin=subprocess.DEVNULL,
        )

    def calls(self, name: str = "") -> list[str]:
        """How programs were called, in order; all of them or those of `name`."""
        return [line for line in self._log.read_text().splitlines() if line.startswith(name)]
