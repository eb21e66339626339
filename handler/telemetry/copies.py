"""What there is to say of the replicas of brokers that are clusters: notes, log lines and metrics."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence

from adapters.base import Replicas
from handler.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

NAMED = 3
"""Stores, and remedies, that a line names. Where there are more, it says how many."""


class Copies:
    """The replicas of each broker's streams and queues, as last seen."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._short: dict[str, list[str]] = {}
        self._notes: dict[str, list[str]] = {}
        self._shown: dict[str, set[str]] = {}

    @property
    def notes(self) -> list[str]:
        """Lines about what has fewer replicas than it should, or fewer that are up than it has."""
        return [f"broker {name}: {line}" for name, lines in self._notes.items() for line in lines]

    def seen(self, broker: str, replicas: Sequence[Replicas]) -> None:
        """These are all that the broker tells of."""
        few = short(replicas)
        if few != self._short.get(broker, []):
            for line in few:
                logger.warning("broker %s: %s", broker, line)
            if not few:
                logger.info("broker %s: its streams and queues have as many replicas as they should", broker)
        self._short[broker] = few
        self._notes[broker] = [*few, *away(replicas)]
        self._measure(broker, replicas)

    def unknown(self, broker: str, why: str) -> None:
        """They cannot be had now."""
        self._notes[broker] = [*self._short.get(broker, []), f"its replicas are not known now: {why}"]

    def _measure(self, broker: str, replicas: Sequence[Replicas]) -> None:
        members, online = self._metrics.broker_members, self._metrics.broker_members_online
        wanted = self._metrics.broker_members_wanted
        stores = {one.store for one in replicas}
        for gone in self._shown.get(broker, set()) - stores:
            for gauge in (members, online, wanted):
                gauge.remove(broker, gone)
        for one in replicas:
            members.labels(broker, one.store).set(one.members)
            online.labels(broker, one.store).set(one.online)
            wanted.labels(broker, one.store).set(one.wanted)
        self._shown[broker] = stores


def short(replicas: Iterable[Replicas]) -> list[str]:
    """A line for all that have the same number of members, which is fewer than wanted, with what to run."""
    groups: dict[tuple[int, int], list[Replicas]] = defaultdict(list)
    for one in replicas:
        if one.members < one.wanted:
            groups[one.members, one.wanted].append(one)
    return [_few(members, wanted, group) for (members, wanted), group in sorted(groups.items())]


def away(replicas: Iterable[Replicas]) -> list[str]:
    """A line for all that have the same number of members, of which the same number is up, which is fewer."""
    groups: dict[tuple[int, int], list[str]] = defaultdict(list)
    for one in replicas:
        if one.online < one.members:
            groups[one.online, one.members].append(one.store)
    return [
        f"{online} of {members} replicas are up: {_some(stores)}"
        for (online, members), stores in sorted(groups.items())
    ]


def _few(members: int, wanted: int, group: Sequence[Replicas]) -> str:
    have = "1 replica" if members == 1 else f"{members} replicas"
    remedies = list(dict.fromkeys(one.remedy for one in group if one.remedy))
    line = f"{have} where there should be {wanted}: {_some([one.store for one in group])}"
    return f"{line}; run: {_some(remedies)}" if remedies else line


def _some(names: Sequence[str]) -> str:
    # One more is as short as saying that there is one more.
    if len(names) <= NAMED + 1:
        return ", ".join(names)
    return f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more"
