"""The benchmark of the page produces every row, with tiny numbers. Does not judge speed."""

from pathlib import Path

from tests.bench.page.__main__ import VARIABLE, arguments, run
from tests.browser.chromium import need_chromium


async def test_every_row_is_produced_with_the_facts_of_the_machine(tmp_path: Path) -> None:
    need_chromium()
    text = await run(requests=200, streams=3, rate=400, seconds=1.0, directory=tmp_path, loads=1)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 1 + 4 + 4
    for wanted in ("first paint", "the page", "files", "CPU", "late", "sent"):
        assert any(wanted in row for row in rows)
    assert "at most 50 rows" in rows[-1]
    assert "Chromium" in text


def test_the_number_of_requests_is_given_by_an_argument_a_variable_or_nobody() -> None:
    assert arguments([], {}).requests == 1_000_000
    assert arguments([], {VARIABLE: "12"}).requests == 12
    assert arguments(["--requests", "7"], {VARIABLE: "12"}).requests == 7
