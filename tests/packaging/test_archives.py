"""What is published: the same bytes wherever they are built, all that git has in the sdist, what runs in the wheel."""

import email
import os
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from tests.packaging.building import Built, build
from tests.paths import ROOT

PACKAGES = ("adapters", "events", "handler", "k8s")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DOCUMENTS = f"https://jobrelay.dev/docs/{PROJECT['version']}/"
QUICK = (
    "tests/docs/test_pages.py::test_every_page_can_be_reached_from_readme",
    "tests/events/test_phases.py",
    "tests/events/test_problems.py",
    "tests/k8s/deploy/test_image.py::test_copied_paths_exist_and_are_neither_tests_nor_ignored",
    "tests/k8s/deploy/test_image.py::test_the_makefile_writes_every_requirements_file_that_the_image_uses",
)
"""Tests of the code, and tests that read what lies beside it."""


@pytest.fixture(scope="module")
def unpacked(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built.unpack(tmp_path_factory.mktemp("sdist"))


def test_another_build_elsewhere_later_and_by_somebody_else_has_the_same_bytes(
    built: Built, unpacked: Path, tmp_path: Path
) -> None:
    for path in unpacked.rglob("*"):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & 0o700)
        os.utime(path, (1_000_000_000, 1_000_000_000), follow_symlinks=False)
    again = build(unpacked, tmp_path, umask=0o077, TZ="Asia/Tokyo", LC_ALL="C", PYTHONHASHSEED="7")
    assert again.sdist.read_bytes() == built.sdist.read_bytes()
    assert again.wheel.read_bytes() == built.wheel.read_bytes()


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="only git knows what belongs to the project")
def test_the_sdist_has_all_that_git_has_and_nothing_else(built: Built) -> None:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    ours = {name for name in listed.split("\0") if name and os.path.lexists(ROOT / name)}
    members = built.in_sdist
    assert members.pop("PKG-INFO").isfile()
    assert members.keys() == ours
    for name, member in members.items():
        path = ROOT / name
        assert member.linkname == (os.readlink(path) if path.is_symlink() else ""), name
        if not path.is_symlink():
            assert member.mode == (0o755 if os.access(path, os.X_OK) else 0o644), name
            assert member.size == path.stat().st_size, name


def test_the_wheel_has_what_runs_and_nothing_to_read_or_to_deploy(built: Built, unpacked: Path) -> None:
    files = {path.relative_to(unpacked).as_posix() for top in PACKAGES for path in (unpacked / top).rglob("*")}
    left_out = {name for name in files if name.endswith(".md") or name.startswith(("events/examples", "k8s/deploy"))}
    ours = {name for name in files - left_out if (unpacked / name).is_file() and "__pycache__" not in name}
    assert {"handler/cli/main.py", "handler/console/pages/static/console.css", "k8s/devcluster/server.py"} <= ours
    described = {name for name in built.in_wheel if ".dist-info/" in name}
    assert built.in_wheel - described == ours
    assert {name.partition("/")[2] for name in described} == {
        *("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")
    }


def test_every_package_says_that_it_is_typed(built: Built) -> None:
    assert "Typing :: Typed" in PROJECT["classifiers"]
    assert {f"{package}/py.typed" for package in PACKAGES} <= built.in_wheel


def test_the_metadata_says_who_where_and_under_which_licence(built: Built) -> None:
    found = email.message_from_string(built.metadata)
    assert (found["Author"], found["License-Expression"]) == ("The jobrelay maintainers", "Apache-2.0")
    urls = dict(line.split(", ") for line in found.get_all("Project-URL", []))
    assert urls.keys() == {"Homepage", "Documentation", "Source", "Issues", "Changelog", "Security"}
    assert all(url.startswith("https://jobrelay.dev") for url in urls.values())
    assert set(found.get_all("Provides-Extra", [])) == {"console", "local", "nats", "otlp", "rabbitmq"}
    # Indexes refuse it beside an expression.
    assert not [line for line in found.get_all("Classifier", []) if line.startswith("License")]


class Targets(HTMLParser):
    """What a page of HTML leads to or shows."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("href", "src", "srcset")]


def test_an_index_shows_readme_with_links_and_pictures_that_lead_to_this_version(built: Built) -> None:
    shown = built.metadata.partition("\n\n")[2]
    targets, originals = (
        Targets(MarkdownIt("commonmark").enable("table").render(text)).found
        for text in (shown, (ROOT / "README.md").read_text())
    )
    assert len(targets) == len(originals) > 20
    for target, original in zip(targets, originals, strict=True):
        if original.startswith(("https:", "#")):
            assert target == original
        else:
            assert target == DOCUMENTS + original
            assert (ROOT / original.partition("#")[0]).exists()
    assert shown.replace(DOCUMENTS, "") == (ROOT / "README.md").read_text()


def test_the_sdist_runs_its_own_tests(built: Built, tmp_path: Path) -> None:
    tree = built.unpack(tmp_path)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "PYTHON", "COV"))}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *QUICK]
    done = subprocess.run(command, cwd=tree, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout.splitlines()[-1]
    assert "skipped" not in done.stdout
    compiled = {path.relative_to(tree).parts[0] for path in tree.rglob("*.pyc")}
    assert {"events", "tests"} <= compiled, "imported from there, not from this checkout"
