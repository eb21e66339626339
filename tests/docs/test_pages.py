"""Every page has links that work, can be reached from README, names only what exists, and shows valid examples."""

import json
import re
from functools import cache
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from adapters.base import Kind
from events.contract.schema import schema_of
from events.names import JOB_TYPE, REQUESTED_TYPE
from events.request.container import OUR_ENV
from handler.cli.completing import PATIENCE_VARIABLE
from handler.cli.main import cli
from handler.settings.settings import PREFIX, Settings
from tests.docs import metrics
from tests.docs.pages import Page, pages, slug
from tests.docs.settings import variable_of
from tests.paths import ROOT

PAGES = pages()
README = Page(ROOT / "README.md")
BYTES, WORDS = 10_000, 430
"""As much as a newcomer reads in one sitting: read aloud, this many words take less than three minutes."""
OF_TESTS = frozenset({"JOBRELAY_BENCH_REQUESTS", "JOBRELAY_CHAOS", "JOBRELAY_SOAK_REQUESTS"})
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def test_readme_is_short() -> None:
    assert len(README.path.read_bytes()) <= BYTES
    assert len(README.prose().split()) <= WORDS


@each_page
def test_every_link_leads_to_a_file_or_a_heading(page: Page) -> None:
    assert [str(link) for link in page.links if not leads_somewhere(page, link.path, link.anchor)] == []


def leads_somewhere(page: Page, path: str, anchor: str) -> bool:
    target = (page.path.parent / path).resolve() if path else page.path
    if not target.exists() or not target.is_relative_to(ROOT):
        return False
    return not anchor or (target.suffix == ".md" and anchor in anchors_of(target))


@cache
def anchors_of(path: Path) -> frozenset[str]:
    """Read once, whatever number of links lead there."""
    return Page(path).anchors


def test_every_page_can_be_reached_from_readme() -> None:
    found, waiting = set[Path](), [README.path]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += targets(Page(path))
    assert [page.name for page in PAGES if page.path not in found] == []


def targets(page: Page) -> list[Path]:
    """The pages that this page links to; a folder shows its README."""
    paths = [(page.path.parent / link.path).resolve() for link in page.links if link.path]
    return [file for path in paths for file in (path, path / "README.md") if file.is_file() and file.suffix == ".md"]


@each_page
def test_every_variable_that_is_named_exists(page: Page) -> None:
    settings = {variable_of(name) for name in Settings.model_fields}
    of_containers = {name for name in OUR_ENV if name.startswith(PREFIX)}
    streams = {f"{PREFIX}{kind.upper()}" for kind in Kind}
    named = set(re.findall(r"_?JOBRELAY_[A-Z_]+[A-Z]", page.text))
    assert named <= settings | of_containers | streams | OF_TESTS | {PATIENCE_VARIABLE}


@each_page
def test_every_metric_that_is_named_exists(page: Page) -> None:
    assert set(re.findall(r"\bjobrelay_[a-z_]+\b", page.text)) <= metrics.names()


@each_page
def test_every_command_and_make_target_that_is_shown_exists(page: Page) -> None:
    shown = "\n".join(page.code("sh"))
    made = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"(?:^|-- )jobrelay ([a-z]+)", shown, re.MULTILINE)) <= set(cli.commands)
    assert set(re.findall(r"^make ([a-z0-9]+)", shown, re.MULTILINE)) <= set(made[0].split())


@each_page
def test_every_complete_event_that_is_shown_is_valid(page: Page) -> None:
    for text in page.code("json"):
        event = json.loads(text)
        kind = event.get("type", "")
        if kind == REQUESTED_TYPE:
            Draft202012Validator(schema_of("request")).validate(event)
        elif kind.startswith(JOB_TYPE):
            Draft202012Validator(schema_of("lifecycle")).validate(event)


def test_anchors_are_those_of_github() -> None:
    assert slug("What is guaranteed, and what is not") == "what-is-guaranteed-and-what-is-not"
    assert slug("The way of a pod's change") == "the-way-of-a-pods-change"
    assert slug("`jobrelay_jobs`: Jobs & pods") == "jobrelay_jobs-jobs--pods"


def test_repeated_headings_are_numbered_and_lines_in_code_are_no_headings(tmp_path: Path) -> None:
    page = Page(tmp_path / "page.md")
    page.path.write_text(
        "# A `b`\n\n## A b\n\n```\n# no heading\n```\n\n[x](#a-b-1) [y](https://example.com) ![z](z.png)\n"
    )
    assert page.anchors == {"a-b", "a-b-1"}
    assert [str(link) for link in page.links] == ["#a-b-1", "z.png"]
