"""Whether the long form runs: `make chaos`, for hours, of what `make test` does in a short form or not at all."""

import os

LONG = os.environ.get("JOBRELAY_CHAOS") == "long"
EVERYTHING = ("tests/chaos/", "tests/garbage/")
"""What the long form runs all of; elsewhere it runs what is marked `long`, which nobody else runs, and `stricter`."""


def examples(count: int) -> int:
    """How many hypothesis tries: so many in the long form, half of them in `make test`, which runs far more often."""
    return count if LONG else count // 2
