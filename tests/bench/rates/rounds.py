"""Who takes turns in a measurement, and what their rounds say of each against the others."""

import statistics
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager

from tests.bench.load.clients import Client, own, plain
from tests.bench.load.processes import Round
from tests.e2e.site import Site

PLAIN, CLIENT = "plain aiohttp", "our client"
CLIENTS: Mapping[str, Callable[[Site], AbstractAsyncContextManager[Client]]] = {PLAIN: plain, CLIENT: own}

Turn = Callable[[], Awaitable[Round]]


class Rates:
    """The rounds of each contender, in the order of time."""

    def __init__(self) -> None:
        self._rounds: dict[str, list[Round]] = {}

    def add(self, who: str, taken: Round) -> None:
        self._rounds.setdefault(who, []).append(taken)

    def __contains__(self, who: str) -> bool:
        return who in self._rounds

    def rate(self, who: str) -> float:
        """Jobs a second: the median."""
        return statistics.median(taken.rate for taken in self._rounds[who])

    def ratio(self, who: str, to: str) -> float:
        """The rate of one against that of another: the median over neighbouring rounds."""
        pairs = zip(self._rounds[who], self._rounds[to], strict=True)
        return statistics.median(one.rate / other.rate for one, other in pairs)

    def cpu(self, who: str) -> Mapping[str, float]:
        """CPU seconds per Job of each process that took part: medians."""
        rounds = self._rounds[who]
        return {name: statistics.median(taken.cpu[name] for taken in rounds) for name in rounds[0].cpu}

    def busy(self, who: str) -> float:
        """How many cores all processes together kept busy: the median."""
        return statistics.median(taken.busy for taken in self._rounds[who])


async def alternate(turns: Mapping[str, Turn], *, rounds: int) -> Rates:
    """Each takes its turn in each round. Every second round goes backwards: whatever drifts then favours nobody."""
    rates = Rates()
    for number in range(rounds):
        for who in list(turns) if number % 2 == 0 else reversed(list(turns)):
            rates.add(who, await turns[who]())
    return rates
