"""The broker of a test, and the table of what was done and what the outcome was."""

from collections.abc import Iterator

import pytest
from _pytest.terminal import TerminalReporter

from tests.adapters.conftest import need_rabbit
from tests.chaos.table import KEY, Cells, Rows, judged, markdown
from tests.long import LONG
from tests.processes import RABBITMQ


@pytest.fixture
def broker(request: pytest.FixtureRequest) -> str:
    """The broker that the test is parametrised with."""
    name = str(request.param)
    if name == RABBITMQ:
        need_rabbit()
    return name


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
            if isinstance(report, pytest.TestReport) and report.when == "call" and "/chaos/" in report.nodeid:
                yield report


def _rows(report: pytest.TestReport) -> list[Cells]:
    records = [row for key, cells in report.user_properties if key == KEY and isinstance(cells, list) for row in cells]
    return judged(report.nodeid, records, passed=report.passed)
