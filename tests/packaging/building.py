"""Builds wheel and sdist as `make dist` does, and looks into them."""

import os
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Built:
    wheel: Path
    sdist: Path

    @property
    def in_wheel(self) -> set[str]:
        with zipfile.ZipFile(self.wheel) as archive:
            return set(archive.namelist())

    @property
    def in_sdist(self) -> dict[str, tarfile.TarInfo]:
        """By path within the folder that it unpacks to."""
        with tarfile.open(self.sdist) as archive:
            return {member.name.partition("/")[2]: member for member in archive}

    @property
    def metadata(self) -> str:
        (name,) = (name for name in self.in_wheel if name.endswith(".dist-info/METADATA"))
        with zipfile.ZipFile(self.wheel) as archive:
            return archive.read(name).decode()

    def unpack(self, into: Path) -> Path:
        """Unpack the sdist. Returns the folder that it makes."""
        with tarfile.open(self.sdist) as archive:
            # Python 3.11.2, which Debian has, knows no filters.
            archive.extraction_filter = getattr(tarfile, "data_filter", None)
            archive.extractall(into)
        (folder,) = into.iterdir()
        return folder


def build(source: Path, into: Path, *, umask: int = 0o022, **environ: str) -> Built:
    """The sdist of `source`, and the wheel that follows from it; `environ` comes on top."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(into), str(source)]
    # What a distribution sets for its own builds would be in both.
    inherited = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    done = subprocess.run(
        command, env={**inherited, **environ}, umask=umask, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,), (sdist,) = into.glob("*.whl"), into.glob("*.tar.gz")
    return Built(wheel, sdist)
