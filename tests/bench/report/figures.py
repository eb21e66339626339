"""The last figures of each API server, as they are stored, and what BENCHMARKS.md makes of them.

A run without a real API server leaves the figures of the last run with one as they are, with their machine and date.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.bench.report.method import METHOD
from tests.bench.report.pictures import draw
from tests.bench.report.rows import Curve, Row, table as in_markdown
from tests.docs.marks import put
from tests.paths import ROOT

PAGE = ROOT / "tests" / "BENCHMARKS.md"
PLACE = ROOT / "tests" / "bench" / "figures"
OWN, REAL = "own", "real"
SERVERS = {OWN: "own API server", REAL: "a real one"}
"""Names of the columns."""


@dataclass(slots=True, kw_only=True)
class Figures:
    """What one API server gave. `machine`: a sentence about the machine, the servers, and the other version if any.

    `missing`: the parts of which not all rows are there, each with the reason.
    """

    machine: str = ""
    rows: list[Row] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)

    def add(self, found: Row | Curve) -> None:
        """A curve takes the place of that with its name, which has fewer points."""
        if isinstance(found, Row):
            self.rows.append(found)
        else:
            self.curves = [*(curve for curve in self.curves if curve.name != found.name), found]


def stored() -> dict[str, Figures]:
    """By API server, in the order of the columns."""
    return {name: _read(path) for name in SERVERS if (path := PLACE / f"{name}.json").exists()}


def _read(path: Path) -> Figures:
    found = json.loads(path.read_text())
    rows, curves = [Row(**one) for one in found["rows"]], [Curve(**one) for one in found["curves"]]
    return Figures(machine=found["machine"], rows=rows, curves=curves, missing=found["missing"])


def write(measured: Mapping[str, Figures]) -> None:
    """Store these in place of what was measured with the same API server before; write the page and its pictures."""
    for name, figures in measured.items():
        (PLACE / f"{name}.json").write_text(json.dumps(asdict(figures), ensure_ascii=False, indent=1) + "\n")
    known = stored()
    put(PAGE, "bench", page(known))
    for old in PLACE.glob("*.svg"):
        old.unlink()
    for server, figures in known.items():
        for curve in figures.curves:
            picture(server, curve).write_text(draw(curve))


def picture(server: str, curve: Curve) -> Path:
    """The file of a curve."""
    return PLACE / f"{server}-{curve.name}.svg"


def page(known: Mapping[str, Figures]) -> str:
    """The table, the machines and what is missing, what is measured, and the pictures."""
    machines = [
        f"{SERVERS[server][0].upper()}{SERVERS[server][1:]}: {figures.machine}{_missing(figures)}\n"
        for server, figures in known.items()
    ]
    pictures = [
        f"![{curve.title}: {SERVERS[server]}]({picture(server, curve).relative_to(PAGE.parent)})"
        for server, figures in known.items()
        for curve in figures.curves
    ]
    return "\n".join([*table(known), "", *machines, METHOD, *([""] if pictures else []), *pictures])


def _missing(figures: Figures) -> str:
    parts = "; ".join(f"{part}: {reason}" for part, reason in figures.missing.items())
    return f" Incomplete: {parts}." if parts else ""


def table(known: Mapping[str, Figures]) -> list[str]:
    """The rows of all API servers side by side; a column `before` only where there is a figure in it."""
    columns: dict[str, dict[str, str]] = {}
    for server, figures in known.items():
        columns[SERVERS[server]] = {row.what: row.result for row in figures.rows}
        if any(row.before for row in figures.rows):
            columns[f"{SERVERS[server]}, before"] = {row.what: row.before for row in figures.rows}
    aims = {row.what: row.aim for figures in known.values() for row in figures.rows}
    lines = ([what, *(column.get(what, "") for column in columns.values()), aim] for what, aim in aims.items())
    return in_markdown(["what", *columns, "aim"], lines)
