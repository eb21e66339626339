"""The benchmark of the history produces every row, with tiny numbers. Does not judge speed."""

from pathlib import Path

import pytest

from tests.bench.history.__main__ import POSTGRESQL, SQLITE, VARIABLE, arguments, run
from tests.bench.history.lives import AT_ONCE, records
from tests.postgres import need_postgres


@pytest.mark.timeout(300)
async def test_every_row_is_produced_with_the_facts_of_the_machine(tmp_path: Path) -> None:
    need_postgres()
    lines = (await run(60, directory=tmp_path, samples=2)).splitlines()
    rows = [line for line in lines if line.startswith("| ")]
    assert len(rows) == 1 + 2 * (2 + 2 + 14 + 1)
    for title in (SQLITE, POSTGRESQL):
        for wanted in ("recording", "loop", "memory", "on disk", "newest", "number 10,000", "statistics", "deleting"):
            assert any(row.startswith(f"| {title}: ") and wanted in row for row in rows)
    (facts,) = (line for line in lines if "PostgreSQL 1" in line)
    assert "cores" in facts
    assert "SQLite 3" in facts


def test_the_number_of_requests_is_given_by_an_argument_a_variable_or_nobody() -> None:
    assert arguments([], {}).requests == 1_000_000
    assert arguments([], {VARIABLE: "12"}).requests == 12
    assert arguments(["--requests", "7"], {VARIABLE: "12"}).requests == 7


def test_the_events_of_neighbours_mix_and_those_of_a_request_keep_their_order() -> None:
    made = list(records(2 * AT_ONCE, until=2e9))
    assert [record.sequence for record in made] == [*range(1, len(made) + 1)]
    told = [(event.get_subject(), event.get_type().rpartition(".")[2]) for event in (one.event() for one in made)]
    phases: dict[str | None, list[str]] = {}
    for subject, phase in told:
        phases.setdefault(subject, []).append(phase)
    assert len(phases) == 2 * AT_ONCE
    assert all(found[0] == "created" for found in phases.values())
    assert {found[-1] for found in phases.values()} == {"succeeded", "failed", "cancelled"}
    assert len({subject for subject, _ in told[:AT_ONCE]}) > 10
