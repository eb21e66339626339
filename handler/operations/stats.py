"""What the requests of each service came to, from sums that are kept by the hour."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from events.phases import TERMINAL, Phase
from handler.history.base import Reader, Stat

HOUR, DAY = 3600, 86400


@dataclass(slots=True)
class Sums:
    """What the requests of a service came to in a stretch of time. Seconds of all that ended."""

    counts: Counter[Phase] = field(default_factory=Counter)
    wait: float = 0.0
    run: float = 0.0
    cpu: float = 0.0

    def add(self, stat: Stat) -> None:
        """Count these in."""
        self.counts[stat.phase] += stat.n
        self.wait += stat.wait
        self.run += stat.run
        self.cpu += stat.cpu

    @property
    def ended(self) -> int:
        """How many ended, whatever way."""
        return sum(self.counts[phase] for phase in TERMINAL)

    @property
    def failed(self) -> float | None:
        """The share of those that ended that failed, from 0 to 1; None if none ended."""
        return self._mean(self.counts[Phase.FAILED])

    @property
    def mean_wait(self) -> float | None:
        """Seconds from created to started."""
        return self._mean(self.wait)

    @property
    def mean_run(self) -> float | None:
        """Seconds from started to finished."""
        return self._mean(self.run)

    def _mean(self, total: float) -> float | None:
        return total / self.ended if self.ended else None


async def by_day(store: Reader, since: float, until: float) -> AsyncIterator[Sequence[Stat]]:
    """The sums of each day in UTC that has any, from the hour of `since` on; the last one to the end of its hour.

    Days without any are crossed in leaps that double.
    """
    begin, leap = since // HOUR * HOUR, 1
    while begin <= until:
        end = min((begin // DAY + leap) * DAY, until // HOUR * HOUR + HOUR)
        found = await store.stats(newer=begin, older=end)
        if not found:
            begin, leap = end, 2 * leap
        elif leap > 1:
            leap = 1
        else:
            yield found
            begin = end


def summed(stats: Iterable[Stat], length: int) -> Mapping[tuple[int, str], Sums]:
    """By the beginning of each stretch of `length` seconds and service, in this order."""
    found: defaultdict[tuple[int, str], Sums] = defaultdict(Sums)
    for stat in stats:
        found[stat.hour // length * length, stat.service].add(stat)
    return dict(sorted(found.items()))
