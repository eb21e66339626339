"""Whether the long form runs: `make chaos` runs for hours what `make test` runs in a short form or not at all."""

import os

LONG = os.environ.get("JOBRELAY_CHAOS") == "long"
EVERYTHING = ("tests/chaos/", "tests/garbage/", "tests/hostile/")
"""Folders that the long form runs whole; elsewhere it runs tests marked `long`, which only it runs, and `stricter`."""


def examples(count: int) -> int:
    """How many examples hypothesis tries: `count` in the long form, half in `make test`, which runs far more often."""
    return count if LONG else count // 2
