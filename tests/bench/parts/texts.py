"""Figures in words, as they stand in the table."""

from collections.abc import Callable, Iterator, Sequence

from tests.bench.bench import BEFORE, OURS
from tests.bench.load.processes import CONTROLLER, HANDLER, HERE
from tests.bench.rates.rounds import CLIENT, PLAIN, Rates
from tests.bench.report.rows import Row


def both(what: str, text: Callable[[str], str], rates: Rates, *, aim: str = "") -> Row:
    """A row with what `text` says of jobrelay, and of the version before if that took part."""
    return Row(what=what, result=text(OURS), before=text(BEFORE) if BEFORE in rates else "", aim=aim)


def against_plain(what: str, rates: Rates, *, aim: str = "") -> Row:
    def text(who: str) -> str:
        plainly = f"{rates.ratio(who, PLAIN):.0%} ({rates.rate(who):.0f} of {rates.rate(PLAIN):.0f} Jobs/s)"
        return f"{plainly}, {rates.ratio(who, CLIENT):.0%} of our client's {rates.rate(CLIENT):.0f}"

    return both(f"{what}, against plain aiohttp", text, rates, aim=aim)


def cpu_in(process: str, what: str, rates: Rates, *, aim: str = "") -> Row:
    """CPU per Job of one process of jobrelay's."""
    bare = ", ".join(f"{who} {_ms(rates.cpu(who)[HERE])}" for who in (PLAIN, CLIENT))

    def text(who: str) -> str:
        mine = f"{_ms(rates.cpu(who)[process])} ms"
        return f"{mine} ({bare})" if who == OURS else mine

    return both(f"{what}, CPU per Job in the {process}", text, rates, aim=aim)


def every_process(what: str, rates: Rates) -> Row:
    """CPU per Job of all processes, jobrelay's first, and of those that serve a bare client."""

    def text(who: str) -> str:
        mine = _shares(rates, who)
        return f"{mine}; {PLAIN}: {_shares(rates, PLAIN)}" if who == OURS else mine

    return both(f"{what}, CPU per Job of every process, ms", text, rates)


def _shares(rates: Rates, who: str) -> str:
    cpu = rates.cpu(who)
    order = sorted(cpu, key=lambda name: (name not in (HANDLER, CONTROLLER), name == HERE))
    return f"{', '.join(f'{name} {_ms(cpu[name])}' for name in order)} ({rates.busy(who):.1f} cores busy)"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.2f}"


def percentiles(took: Sequence[float]) -> tuple[float, float]:
    """The median and the 99th percentile of sorted seconds, in milliseconds."""
    middle, late = (took[int((len(took) - 1) * share)] * 1000 for share in (0.5, 0.99))
    return middle, late


def latency(took: Sequence[float]) -> str:
    middle, late = percentiles(took)
    return f"p50 {middle:.2f} ms, p99 {late:.2f} ms"


def lines_of(measured: Sequence[Rates]) -> Iterator[tuple[str, list[float]]]:
    """Of each contender its Jobs a second in each of these measurements."""
    for who in (PLAIN, CLIENT, OURS, BEFORE):
        if all(who in rates for rates in measured):
            yield who, [round(rates.rate(who)) for rates in measured]
