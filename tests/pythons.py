"""The Pythons of this machine that jobrelay supports: one of each version, but that which runs this.

`python -m tests.pythons` prints their paths for make, and what was found on standard error.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tests.paths import ROOT

ANSWER_SECONDS = 20.0
_ASK = "import sys, ssl, sqlite3, venv; print('%d.%d.%d' % sys.version_info[:3])"
"""A shim of pyenv may be there for a version that is not, and a Python may lack what Debian has in other packages."""
_CLASSIFIER = re.compile(r"Programming Language :: Python :: (3\.\d+)")


def supported() -> list[str]:
    """The versions that pyproject.toml names: `3.11`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [found[1] for text in project["classifiers"] if (found := _CLASSIFIER.fullmatch(text))]


def found(version: str) -> tuple[str, str] | None:
    """Path and full version of the first that answers, on PATH or among those of pyenv."""
    for path in _candidates(version):
        said = _answer(path)
        if said.startswith(f"{version}."):
            return path, said
    return None


def _candidates(version: str) -> Iterator[str]:
    name = f"python{version}"
    for directory in os.get_exec_path():
        if (path := shutil.which(name, path=directory)) is not None:
            yield path
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from map(str, sorted(pyenv.glob(f"versions/{version}*/bin/{name}"), reverse=True))


def _answer(path: str) -> str:
    try:
        asked = subprocess.run([path, "-Ic", _ASK], capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stdout.strip() if asked.returncode == 0 else ""


def main() -> None:
    ours = "{}.{}".format(*sys.version_info)
    others = {version: found(version) for version in supported() if version != ours}
    there = [said for answer in others.values() if answer for said in answer[1:]]
    absent = [version for version, answer in others.items() if answer is None]
    here, lacking = ", ".join(there) or "none", ", ".join(absent) or "none"
    print(f"Pythons besides {ours}: {here}; not found: {lacking}", file=sys.stderr)
    print(*[answer[0] for answer in others.values() if answer])


if __name__ == "__main__":
    main()
