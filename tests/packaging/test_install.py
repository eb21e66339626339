"""The wheel, installed as people install it, where nothing but uv and a Python is there.

What else is installed comes from the package index, in the versions that are tested.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from uv import find_uv_bin

from tests.docs.pages import Page
from tests.packaging.building import Built
from tests.paths import ROOT

CODE = "\n".join(Page(ROOT / "README.md").code("sh"))
EXPORT, DEMO, INSTALL = (
    next(line.partition("#")[0].strip() for line in CODE.splitlines() if line.startswith(begin))
    for begin in ("export UV_FIND_LINKS", "uvx ", "pipx install ")
)
"""README's lines, word for word."""
INSTALLED = """
from importlib.metadata import files
print(next(file for file in files("jobrelay") if file.name == "RECORD").read_text(), end="")
"""
RUN_EACH = """
import contextlib, io, json, sys
import click
from handler.cli.main import cli, main

def leaves(group, path=()):
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            required = [item for item in command.params if isinstance(item, click.Argument) and item.required]
            yield [*path, name, *("x" for _ in required)]

def told(arguments):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = main(arguments)
    return [" ".join(arguments), code, out.getvalue(), err.getvalue()]

json.dump([told(arguments) for arguments in [*json.loads(sys.argv[1]), *leaves(cli)]], sys.stdout)
"""
"""Runs command lines, then each command once, in one process: exceptions that nobody catches end it."""
NOWHERE = "127.0.0.1:1"
KUBECONFIG = f"""
clusters: [{{name: a, cluster: {{server: "http://{NOWHERE}"}}}}]
contexts: [{{name: a, context: {{cluster: a, user: a}}}}]
users: [{{name: a, user: {{}}}}]
current-context: a
"""


@dataclass(frozen=True, slots=True)
class Machine:
    """A home directory without anything, and on PATH what every machine has, and uv."""

    root: Path
    built: Built

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def path(self) -> str:
        return f"{self.root / 'bin'}:/usr/local/bin:/usr/bin:/bin"

    def run(self, *command: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the home directory."""
        given = {**_index(), **self._environ(), **environ}
        return subprocess.run(
            command, cwd=self.home, env=given, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )

    def _environ(self) -> dict[str, str]:
        return {
            "HOME": str(self.home),
            "PATH": self.path,
            "UV_FIND_LINKS": str(self.built.wheel.parent),
            "UV_CONSTRAINT": str(ROOT / ".ci" / "requirements.txt"),
            "UV_CACHE_DIR": str(self.root / "cache"),
            "UV_PYTHON": sys.executable,
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_SYSTEM_CERTS": "1",
        }


def _index() -> dict[str, str]:
    """How this machine reaches a package index."""
    kept = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_HTTP_TIMEOUT")
    return {
        name: value for name, value in os.environ.items() if name.startswith(kept) or name.upper().endswith("_PROXY")
    }


@pytest.fixture(scope="module")
def machine(built: Built) -> Iterator[Machine]:
    # Pytest would keep 200 MB of several runs.
    with tempfile.TemporaryDirectory(prefix="jobrelay-install-") as directory:
        root = Path(directory)
        for name in ("home", "bin"):
            (root / name).mkdir()
        for name in ("uv", "uvx"):
            (root / "bin" / name).symlink_to(Path(find_uv_bin()).with_name(name))
        (root / "dist").symlink_to(built.wheel.parent)
        yield Machine(root, built)


@pytest.fixture(scope="module")
def bare(machine: Machine) -> Path:
    """The Python of an environment with jobrelay, and none of its extras."""
    place = machine.root / "bare"
    for command in (["uv", "venv", str(place)], ["uv", "pip", "install", "--python", str(place), "jobrelay"]):
        done = machine.run(*command)
        assert done.returncode == 0, done.stderr
    return place / "bin" / "python"


@pytest.mark.slow
def test_the_demo_runs_from_the_wheel_alone(machine: Machine) -> None:
    assert shutil.which("jobrelay", path=machine.path) is None
    done = machine.run("sh", "-c", f"cd {machine.root} && {EXPORT} && cd && {DEMO}", UV_FIND_LINKS="")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"All as expected, \d+ s\. Nothing is left running\.", lines[-1])
    assert len([line for line in lines if line.startswith("ok  ")]) == 9
    assert any(line.startswith("The history holds 9 requests") for line in lines)
    for only_in_a_clone in (str(ROOT), "make ", "events/", ".venv", "k8s/"):
        assert only_in_a_clone not in done.stdout
    assert {path.name for path in machine.home.iterdir()} <= {".cache", ".config", ".local"}, "uv's own"


def test_an_installation_for_nats_has_what_it_needs_for_that(machine: Machine) -> None:
    # uv in place of pipx, which would bring pip.
    install = INSTALL.replace("pipx install", "uv tool install")
    assert install != INSTALL
    done = machine.run("sh", "-c", f"{install} && ~/.local/bin/jobrelay check --broker nats://{NOWHERE}")
    assert done.returncode == 0, done.stderr
    assert "JOBRELAY_SOURCES" in done.stdout


def test_what_ran_is_the_wheel_that_was_built(machine: Machine) -> None:
    done = machine.run("uvx", "--from", "jobrelay[local]", "python", "-c", INSTALLED)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(machine.built.wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/RECORD"))
        packed = archive.read(name).decode().splitlines()
    assert len(packed) > 500
    assert set(packed) - set(done.stdout.splitlines()) == set()


def test_without_extras_every_command_says_which_is_missing(machine: Machine, bare: Path) -> None:
    (machine.home / "kubeconfig").write_text(KUBECONFIG)
    given = {
        "JOBRELAY_SOURCES": f"nats://{NOWHERE}",
        "JOBRELAY_HISTORY": f"sqlite://{machine.root}/history.db",
        "KUBECONFIG": str(machine.home / "kubeconfig"),
    }
    lacking = {
        "demo": "local",
        "demo --broker rabbitmq": "local",
        "dev": "local",
        "run": "nats",
        "run --role console": "nats",
        "check": "nats",
        "check --connect": "nats",
        "submit --image a": "nats",
        "watch x": "nats",
        "cancel x": "nats",
        "dead list": "nats",
        "history list": "console",
        f"check --broker amqp://{NOWHERE}": "rabbitmq",
        f"watch --broker amqp://{NOWHERE}": "rabbitmq",
        f"dead list --broker amqp://{NOWHERE}": "rabbitmq",
    }
    lines = [line.split() for line in lacking]
    done = machine.run(str(bare), "-P", "-c", RUN_EACH, json.dumps(lines), **given)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert len(results) > len(lacking) + 20, "each command once"
    for (line, extra), (ran, code, out, err) in zip(lacking.items(), results, strict=False):
        assert (ran, code, out) == (line, 2, ""), (out, err)
        (sentence,) = err.splitlines()
        assert sentence.endswith(f"pip install 'jobrelay[{extra}]'")
    assert {code for _, code, _, _ in results} <= {0, 1, 2}
    assert not [result for result in results if "Traceback" in result[3]]
