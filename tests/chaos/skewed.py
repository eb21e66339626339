"""A clock that a test can set: the time of day that a child process sees, moved by the seconds in a file.

Only the wall clock of Python moves (`time.time` and the like), neither monotonic clocks nor the machine itself.
"""

import os
from collections.abc import Mapping
from pathlib import Path

SITE = """
import os, time

def moved():
    with open(os.environ["CHAOS_CLOCK"]) as file:
        return float(file.read() or 0)

def over(real, unit, *, only=None):
    return lambda *which: real(*which) + (unit(moved()) if only is None or which == (only,) else 0)

time.time = over(time.time, float)
time.time_ns = over(time.time_ns, lambda seconds: int(seconds * 1e9))
time.clock_gettime = over(time.clock_gettime, float, only=time.CLOCK_REALTIME)
"""


class Skew:
    """The clock of every process that is started with `environ`; at first it is right."""

    def __init__(self, directory: Path) -> None:
        self._site = directory / "skewed"
        self._site.mkdir()
        (self._site / "sitecustomize.py").write_text(SITE)
        self._file = self._site / "seconds"
        self.step(0.0)

    @property
    def environ(self) -> Mapping[str, str]:
        """Environment variables that give a process this clock."""
        path = os.pathsep.join(filter(None, (str(self._site), os.environ.get("PYTHONPATH", ""))))
        return {"CHAOS_CLOCK": str(self._file), "PYTHONPATH": path}

    def step(self, seconds: float) -> None:
        """Set the clock so many seconds ahead of the real time."""
        new = self._file.with_suffix(".new")
        new.write_text(str(seconds))
        new.replace(self._file)
