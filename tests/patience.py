"""Deadlines of the tests: they catch what is stuck, not what is slow. `make chaos` checks how fast things are."""

import os

from tests.long import LONG

PATIENCE = 100.0
"""Seconds after which what a test waits for is stuck. A busy machine takes ten times as long as a quiet one, and pytest
ends a test that waits for several things after 300 s.
"""


STRICT = LONG or "KUBECONFIG" in os.environ


def within(seconds: float) -> float:
    """The deadline of something that takes at most `seconds` on a quiet machine. Its test is marked `stricter`.

    `make chaos` and tests against another cluster enforce `seconds`; `make test` allows `PATIENCE`.
    """
    return seconds if STRICT else PATIENCE
