"""A clock that goes on while the machine is suspended, the API server's clock, and backoff. Starts no timers."""

import random
import time
from email.utils import parsedate_to_datetime

_JITTER = random.Random()  # noqa: S311 - spreads retries, guards nothing


def boottime() -> float:
    """Seconds since some fixed point. On Linux, time in which the machine was suspended counts."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def backoff(attempt: int, *, retry_after: float | None = None, rng: random.Random = _JITTER) -> float:
    """Seconds to wait after failed attempt number `attempt` (from 1): from 0.1 doubling to 10, half of it random.

    The server's `retry_after` is a minimum, capped at 60 s: a wrong answer must not stop us for hours.
    """
    ceiling = min(10.0, 0.1 * 2.0 ** min(attempt, 10))
    wait = max(0.1, ceiling * (0.5 + 0.5 * rng.random()))
    return max(wait, min(retry_after, 60.0) * (1 + 0.1 * rng.random())) if retry_after else wait


class ServerClock:
    """The API server's clock, estimated from `Date` headers, which have whole seconds.

    When an answer arrives, the server's clock shows its date or later; when the request was sent, it showed less than
    a second after that date. The best lower bound is kept, so after many answers it is exact to milliseconds. An answer
    that contradicts it replaces it: the server's clock was set back, or another server answered.
    """

    def __init__(self) -> None:
        self._offset = time.time() - boottime()
        self._known = False
        self._last: tuple[str, float] = ("", 0.0)

    def heard(self, date: str, *, sent: float, received: float) -> None:
        """Learn from the `Date` header of an answer, if it has one. `sent` and `received` are `boottime()`."""
        if not date:
            return
        if date != self._last[0]:
            try:
                self._last = (date, parsedate_to_datetime(date).timestamp())
            except ValueError:
                return
        epoch = self._last[1]
        if not self._known or self._offset < epoch - received or self._offset > epoch + 1 - sent:
            self._offset = epoch - received
            self._known = True

    def now(self) -> float:
        """Epoch seconds, by this machine's clock until the first answer."""
        return boottime() + self._offset
