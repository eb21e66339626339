"""How often somebody may try to log in."""

from collections import deque
from collections.abc import Callable

from handler.console.security.addresses import bucket_of

_WINDOW = 60.0
_ADDRESSES = 10_000
"""That are remembered; of more, the one that has not tried for longest is forgotten."""


class Tries:
    """Failed tries of the last minute, by address: `most` from each."""

    def __init__(self, clock: Callable[[], float], *, most: int) -> None:
        self._most = most
        self._clock = clock
        self._failed: dict[str, deque[float]] = {}

    def wait(self, address: str) -> int:
        """Seconds until this address may try again; 0 if it may now."""
        failed, now = self._failed.get(bucket_of(address)), self._clock()
        while failed and now - failed[0] >= _WINDOW:
            failed.popleft()
        return int(failed[0] + _WINDOW - now) + 1 if failed and len(failed) >= self._most else 0

    def failed(self, address: str) -> None:
        """It has tried in vain."""
        bucket = bucket_of(address)
        failed = self._failed.pop(bucket, None) or deque(maxlen=self._most)
        failed.append(self._clock())
        # Again at the end: who tried last is forgotten last.
        self._failed[bucket] = failed
        while len(self._failed) > _ADDRESSES:
            del self._failed[next(iter(self._failed))]
