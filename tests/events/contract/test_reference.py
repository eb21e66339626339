"""The generated reference page is complete. That events/REFERENCE.md is this page is tested in tests/docs."""

import re

import pytest

from events.contract.codes import CODES
from events.contract.data import DETAILS
from events.contract.reference import lifecycle_table
from events.phases import Phase
from handler.cli.main import main
from handler.commands.contract import reference_page


def test_command_prints_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reference"]) == 0
    assert capsys.readouterr().out == reference_page()


def test_page_has_every_code_phase_and_topic() -> None:
    page = reference_page()
    assert all(f"| `{code}` |" in page for code in CODES)
    assert all(f"`dev.jobrelay.job.{phase}`" in page for phase in Phase)
    for topic in ("jobrelay.requests.high", "jobrelay.control", "jobrelay.lifecycle.{service}.{id}.{phase}"):
        assert f"| nats | `{topic}` |" in page


def test_table_of_phases_says_of_each_when_it_is_published_and_which_fields_are_its_own() -> None:
    rows = [line.strip("| ").split(" | ") for line in lifecycle_table().splitlines()[2:]]
    assert [row[0].partition("`")[2].partition("`")[0] for row in rows] == list(DETAILS)
    assert all(len(row) == 4 and all(row) for row in rows)


def test_links_resolve_and_tables_are_well_formed() -> None:
    page = reference_page()
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    assert len(set(headings)) == len(headings)
    anchors = {heading.lower().replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\(#([a-z-]+)\)", page)) <= anchors
    width = 0
    for line in page.splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        assert not cells or cells == width or not width, line
        width = cells
