"""On which Pythons the tests run, and which of them on each."""

import sys
from pathlib import Path

import pytest

from tests.alone import _is_alone
from tests.paths import ROOT
from tests.pythons import found, supported

OURS = "{}.{}".format(*sys.version_info)


def shim(directory: Path, script: str) -> Path:
    directory.mkdir(parents=True)
    path = directory / f"python{OURS}"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_every_version_that_can_be_installed_is_looked_for() -> None:
    assert OURS in supported()
    assert f'requires-python = ">={supported()[0]}"' in (ROOT / "pyproject.toml").read_text()


def test_python_is_one_that_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shim(tmp_path / "shims", "echo command not found >&2; exit 127")
    shim(tmp_path / "other", "echo 2.7.18")
    good = shim(tmp_path / "pyenv" / "versions" / f"{OURS}.0" / "bin", f'exec {sys.executable} "$@"')
    monkeypatch.setenv("PATH", f"{tmp_path / 'shims'}:{tmp_path / 'other'}")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    assert found(OURS) == (str(good), "{}.{}.{}".format(*sys.version_info))
    assert found("3.99") is None


@pytest.mark.parametrize(
    ("file", "alone"),
    [
        ("events/cloudevent/test_timestamp.py", True),
        ("adapters/test_memory.py", True),
        ("adapters/conftest.py", False),
        ("e2e/test_requests.py", False),
        ("test_pythons.py", False),
    ],
)
def test_what_runs_on_each_needs_no_other_process(file: str, alone: bool) -> None:
    assert _is_alone(ROOT / "tests" / file) is alone
