"""Clocks and waits: one that counts while the machine sleeps, the API server's, and backoff. Starts no timers."""

import random
import time
from email.utils import parsedate_to_datetime

_JITTER = random.Random()  # noqa: S311 - spreads retries, guards nothing


def boottime() -> float:
    """Seconds since some fixed point, where Linux offers it those too in which the machine was suspended."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def backoff(attempt: int, *, retry_after: float | None = None, rng: random.Random = _JITTER) -> float:
    """Seconds to wait after the failed attempt number `attempt` (from 1): 0.1 doubling to 10, half of it random.

    The server's `retry_after` is a minimum, but at most 60 s of it: a wrong answer must not stop us for hours.
    """
    ceiling = min(10.0, 0.1 * 2.0 ** min(attempt, 10))
    wait = max(0.1, ceiling * (0.5 + 0.5 * rng.random()))
    return max(wait, min(retry_after, 60.0) * (1 + 0.1 * rng.random())) if retry_after else wait


class ServerClock:
    """The API server's clock, kept from `Date` headers, which name whole seconds.

    An answer says that when it was received, that clock showed its date or later, and when it was sent for, less than
    a second more than its date. The best lower bound is kept, so many answers make it exact to milliseconds, and given
    up once an answer contradicts it: the server's clock was set back, or another server answers.
    """

    def __init__(self) -> None:
        self._offset = time.time() - boottime()
        self._known = False
        self._last: tuple[str, float] = ("", 0.0)

    def heard(self, date: str, *, sent: float, received: float) -> None:
        """Take in the `Date` header of an answer; `sent` and `received` are `boottime()`. No date: ignored."""
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
        """Epoch seconds; this machine's own clock until the first answer."""
        return boottime() + self._offset
