"""How long to wait before connecting again. Pure."""

import random

LASTING_SECONDS = 10.0
"""A connection that was lost sooner did not last."""
SHORTEST_SECONDS, LONGEST_SECONDS = 0.5, 10.0


class Pauses:
    """After a connection that lasted there is none. Each after one that did not is about twice as long as the last.

    `longest`: in seconds.
    """

    def __init__(self, longest: float = LONGEST_SECONDS) -> None:
        self._longest = longest
        self._next = SHORTEST_SECONDS

    def after(self, lasted: float) -> float:
        """Seconds to wait, once a connection is lost that lasted for so long."""
        if lasted >= LASTING_SECONDS:
            self._next = SHORTEST_SECONDS
            return 0.0
        pause, self._next = self._next, min(self._next * 2, self._longest)
        # Servers that come back are not met by all of their clients at once.
        return pause * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
