"""The examples of every stored format so far."""

from tests.paths import ROOT

ALL = sorted((ROOT / "tests" / "formats").glob("*.json"))
OF_SCHEDULES = [path for path in ALL if path.stem.endswith("-schedule")]
OF_JOBS = [path for path in ALL if path not in OF_SCHEDULES]
