"""One version for package, chart, manifests and documents; and what is said to be needed is what they ask for."""

import re
import tomllib
from typing import Any

import yaml

from tests.docs.pages import pages
from tests.paths import DEPLOY, ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CHART: dict[str, Any] = yaml.safe_load((DEPLOY / "chart" / "Chart.yaml").read_text())
VERSIONING = (ROOT / "handler" / "VERSIONING.md").read_text()
_NAMED = re.compile(r"(?:newTag: |\bjobrelay(?:-[a-z]+)?[:/]|\bjobrelay-)(\d+\.\d+\.\d+)\b")
"""The version in the tag of an image, in what a role calls itself, in a file's name."""


def test_chart_and_image_have_the_version_of_the_package() -> None:
    assert (CHART["version"], CHART["appVersion"]) == (PROJECT["version"], PROJECT["version"])


def test_every_version_that_is_named_is_that_of_the_package() -> None:
    files = [page.path for page in pages()]
    files += [path for path in DEPLOY.rglob("*") if path.is_file() and path.suffix in {"", ".yaml", ".tpl", ".txt"}]
    named = {path.relative_to(ROOT).as_posix(): {*_NAMED.findall(path.read_text())} for path in files}
    assert named["k8s/deploy/base/kustomization.yaml"], "newTag is found"
    assert {path: versions for path, versions in named.items() if versions - {PROJECT["version"]}} == {}


def needed(program: str) -> str:
    """What the page on versions says is needed of it."""
    found = re.search(rf"^\| {program} \| (\d+\.\d+)", VERSIONING, re.MULTILINE)
    assert found, program
    return found[1]


def test_what_is_needed_is_what_package_and_chart_ask_for() -> None:
    assert f">={needed('Python')}" == PROJECT["requires-python"]
    assert f">={needed('Kubernetes')}.0-0" == CHART["kubeVersion"]
    tried = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if "Python :: 3." in line]
    assert f"| {tried[0]} to {tried[-1]};" in VERSIONING
