"""How seconds are spread: counts in buckets whose bounds grow by a quarter of an octave each. Pure.

So p95 is known of any number of requests to about a tenth of itself, and spreads can be added.
"""

from collections.abc import Mapping
from math import floor, log2

Spread = Mapping[int, int]
"""How many there are in each bucket."""
_PER_OCTAVE = 4
_FIRST = -10 * _PER_OCTAVE
"""What is less than a thousandth of a second is there."""


def bucket_of(seconds: float) -> int:
    """The number of the bucket that has this duration."""
    return _FIRST if seconds <= 2.0 ** (_FIRST / _PER_OCTAVE) else floor(log2(seconds) * _PER_OCTAVE)


def added(one: Spread, other: Spread) -> dict[int, int]:
    """Both together."""
    both = dict(one)
    count_in(both, other)
    return both


def count_in(spread: dict[int, int], more: Spread) -> None:
    """Add these to it."""
    for bucket, count in more.items():
        spread[bucket] = spread.get(bucket, 0) + count


def quantile(spread: Spread, share: float) -> float | None:
    """Seconds that this share of them does not exceed; None if there are none."""
    wanted = share * sum(spread.values())
    for bucket in sorted(spread):
        count = spread[bucket]
        if wanted <= count:
            return _within(bucket, wanted / count) if count else None
        wanted -= count
    return None


def _within(bucket: int, share: float) -> float:
    return 0.0 if bucket <= _FIRST else 2.0 ** ((bucket + share) / _PER_OCTAVE)
