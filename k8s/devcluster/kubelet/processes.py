"""What sessions of processes use, from a single pass over /proc. Knows neither pods nor containers."""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
# Fields of /proc/<pid>/stat after the name, counted from 0.
_SESSION, _TIMES, _RESIDENT = 3, slice(11, 15), 21


@dataclass(frozen=True, slots=True)
class Reading:
    """CPU seconds since the session began, and current resident bytes. Shared pages count for each process."""

    cpu: float
    memory: int


def available() -> bool:
    """Whether this system has /proc: Linux does."""
    return (PROC / "self" / "stat").exists()


def read_sessions(leaders: Collection[int]) -> dict[int, Reading]:
    """Readings by the process id of each session's leader. Leaders do not count: they only wait.

    Children that have ended, and were waited for, count with their parents. Sessions without processes are left out.
    """
    found: dict[int, Reading] = {}
    for name in os.listdir(PROC):
        if not name.isdigit() or int(name) in leaders:
            continue
        fields = _fields(name)
        if fields is None or (leader := int(fields[_SESSION])) not in leaders:
            continue
        before = found.get(leader, Reading(0.0, 0))
        ticks = sum(int(value) for value in fields[_TIMES])
        found[leader] = Reading(before.cpu + ticks / _TICKS, before.memory + int(fields[_RESIDENT]) * _PAGE)
    return found


def _fields(pid: str) -> list[str] | None:
    try:
        line = (PROC / pid / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    return line.rpartition(")")[2].split()
