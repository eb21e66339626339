"""Deadlines of the tests: for what is stuck, not for what is slow. How fast something is `make chaos` judges."""

import os

from tests.long import LONG

PATIENCE = 100.0
"""Seconds after which what a test waits for is stuck. A busy machine takes ten times as long as a quiet one, and pytest
ends a test that waits for several things after 300 s.
"""


STRICT = LONG or "KUBECONFIG" in os.environ


def within(seconds: float) -> float:
    """How long something may take that takes at most so many seconds on a quiet machine. The test is marked `stricter`.

    `make chaos` holds it to that, and so do tests against a cluster of somebody else's; `make test` only waits.
    """
    return seconds if STRICT else PATIENCE
