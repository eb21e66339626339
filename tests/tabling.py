"""Prints what the tests of chaos/ and hostile/ did, and what came of it, as a table. A plugin of pytest."""

from collections.abc import Iterator

import pytest
from _pytest.terminal import TerminalReporter

from tests.chaos.table import KEY, Cells, Rows, judged, markdown
from tests.long import LONG

TABLED = ("tests/chaos/", "tests/hostile/")
"""Folders whose tests tell what they did."""


@pytest.fixture
def rows(request: pytest.FixtureRequest) -> Rows:
    """The test adds here what it did and measured."""
    made = Rows()
    request.node.user_properties.append((KEY, made.cells))
    return made


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    """Print the table; after the long form also into `.jobrelay/chaos.md`."""
    lines = markdown(row for report in _reports(terminalreporter) for row in _rows(report))
    if not lines:
        return
    terminalreporter.section("chaos")
    terminalreporter.write("\n".join([*lines, ""]))
    if LONG:
        file = config.rootpath / ".jobrelay" / "chaos.md"
        file.parent.mkdir(exist_ok=True)
        file.write_text("\n".join([*lines, ""]))


def _reports(terminalreporter: TerminalReporter) -> Iterator[pytest.TestReport]:
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            if isinstance(report, pytest.TestReport) and report.when == "call" and report.nodeid.startswith(TABLED):
                yield report


def _rows(report: pytest.TestReport) -> list[Cells]:
    records = [row for key, cells in report.user_properties if key == KEY and isinstance(cells, list) for row in cells]
    return judged(report.nodeid, records, passed=report.passed)
