"""Rows of a table, curves, and a line about the machine they were taken on."""

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`what` was measured, and the result; `before`: that of the other version; `aim`: the budget, if there is one."""

    what: str
    result: str
    before: str = ""
    aim: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A picture: what each of `lines` is at each of `points`. `name`: of its file."""

    name: str
    title: str
    across: str
    points: Sequence[str]
    lines: Mapping[str, Sequence[float]]
    logarithmic: bool = False


def hardware(*servers: str) -> str:
    """A line about this machine, what ran on it, and the date."""
    cores = len(os.sched_getaffinity(0))
    return (
        f"{_cpu_model()}, {cores} cores for everything together, {_memory_gib():.0f} GiB, "
        f"{platform.system()} {platform.release().partition('-')[0]}; "
        f"Python {platform.python_version()}, {', '.join(servers)}; {datetime.now(UTC).date().isoformat()}."
    )


def markdown(rows: Sequence[Row], machine: Sequence[str]) -> str:
    """One table, and what is to be said about it."""
    lines = table(("what", "measured", "aim"), ((row.what, row.result, row.aim) for row in rows))
    return "\n".join([*lines, "", *machine])


def table(columns: Sequence[str], lines: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table in Markdown."""
    return [_line(columns), f"|{'---|' * len(columns)}", *map(_line, lines)]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Hardware")))
    return next(names, platform.machine())


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
