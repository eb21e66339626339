"""The libraries of the history are an extra: what is named where one is missing, and that nobody else imports them."""

import re
import subprocess
import sys
import tomllib

import pytest

from handler.history.extra import LIBRARIES, missing, require
from tests.paths import ROOT

OTHERS = "handler.cli.main", "handler.app", "handler.commands.run", "handler.commands.check", "handler.commands.jobs"


def test_the_libraries_are_those_of_the_extra() -> None:
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["console"]
    assert sorted(re.split(r"[\[>=<]", line)[0] for line in extra) == sorted(LIBRARIES)


def test_the_extra_is_named_where_a_library_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing() is None
    require()
    monkeypatch.setattr("handler.history.extra.LIBRARIES", ("sqlalchemy_of_nobody",))
    with pytest.raises(
        RuntimeError, match=r"the history needs the extra \[console\]: pip install 'jobrelay\[console\]'"
    ):
        require()


def test_other_roles_and_commands_import_none_of_them() -> None:
    code = f"import sys, importlib; [importlib.import_module(name) for name in {OTHERS!r}]; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not {name.partition(".")[0] for name in done.stdout.split()} & {*LIBRARIES, "greenlet"}
