"""Whether the long form runs: `make chaos`, for hours, of what `make test` does in a short form or not at all."""

import os

LONG = os.environ.get("JOBRELAY_CHAOS") == "long"
EVERYTHING = ("tests/chaos/", "tests/garbage/")
"""What the long form runs all of; elsewhere it runs what is marked `long`, which nobody else runs, and `timed`."""
