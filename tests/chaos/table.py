"""What was done to jobrelay and what the outcome was: rows from the tests' records, as a table."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

KEY = "chaos"
HEAD = ("fault", "where", "what was done", "outcome")
BROKEN = "**does not hold**"

Cells = list[str]


@dataclass(frozen=True, slots=True)
class Rows:
    """The record of a test. A test that fails keeps its rows, and they say so."""

    cells: list[Cells] = field(default_factory=list)

    def add(self, fault: str, where: str, *, done: str, outcome: str = "") -> None:
        """`outcome`: numbers. That all claims hold is added before them."""
        self.cells.append([fault, where, done, outcome])


def judged(name: str, records: Sequence[Cells], *, passed: bool) -> list[Cells]:
    """The rows of a finished test of this name."""
    if passed:
        return [[*row[:3], f"holds; {row[3]}" if row[3] else "holds"] for row in records]
    return [[*row[:3], BROKEN] for row in records] or [[name, "", "", BROKEN]]


def markdown(rows: Iterable[Cells]) -> list[str]:
    """The lines of a table, sorted by fault and place."""
    found = [[cell.replace("|", "\\|") for cell in row] for row in sorted(rows)]
    if not found:
        return []
    widths = [max(len(row[column]) for row in [list(HEAD), *found]) for column in range(len(HEAD))]
    lines = [HEAD, tuple("-" * width for width in widths), *found]
    return [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
