"""What is measured, where, and how much of it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.bench.load.processes import Pids, servers_of
from tests.e2e.site import NATS, RABBITMQ, Site, site

API_SERVER = ("tests.bench.apiserver",)
BROKERS = {NATS: "NATS", RABBITMQ: "RabbitMQ"}
"""As the table calls them."""
OURS, BEFORE = "jobrelay", "before"
AT_ONCE = {"metrics_seconds": 0.01}
"""The benchmark sees by the metrics when something is done."""
ROOMY = {"nats_lifecycle_bytes": 1 << 28}
"""Room for the events of 100,000 Jobs, about 100 MB, on a broker of our own. It is reserved for each of the hundred
installations of a run: with much more, the broker would have no room for the last ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured. One request in flight is slow: that level gets a quarter of the events.

    The defaults are chosen for a whole run with another version on two slow cores: 25 minutes, and 20 minutes
    more on a real API server. `rounds`: of what has aims. `step`: of the sizes of events, and of the numbers of
    handlers, each so-many-th. `lease`: the duration of a Lease, `idle`: how long an idle process is left alone, in
    seconds. `rate`: Jobs a second where there is a steady load.
    """

    events: int = 800
    rounds: int = 3
    samples: int = 200
    tracked: int = 100_000
    queued: int = 2000
    starts: int = 5
    step: int = 1
    lease: float = 10.0
    idle: float = 10.0
    rate: float = 300.0

    @property
    def curve_rounds(self) -> int:
        """Of what is measured for its curve."""
        return max(1, self.rounds - 1)

    def __str__(self) -> str:
        return f"{self.events:,} events a round, {self.rounds} rounds, {self.samples} ends of Jobs"


QUICK = Size(
    events=100, rounds=1, samples=20, tracked=200, queued=200, starts=1, step=3, lease=1.0, idle=1.0, rate=50.0
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """One API server and one broker. `before`: the same site, where another version of jobrelay runs."""

    site: Site
    size: Size
    servers: Pids
    before: Site | None = None

    @property
    def relays(self) -> Mapping[str, Site]:
        """The versions of jobrelay that are measured."""
        return {OURS: self.site} if self.before is None else {OURS: self.site, BEFORE: self.before}

    @property
    def broker(self) -> str:
        """As the table calls it."""
        return BROKERS[self.site.broker]

    @asynccontextmanager
    async def anew(self, name: str) -> AsyncIterator["Bench"]:
        """The same on an API server of its own with no Jobs, which ends with them; on a given one, the same."""
        if not self.site.own_cluster:
            yield self
            return
        directory: Path = self.site.directory / name
        async with site(directory, {}, api_server=API_SERVER, broker=None) as cluster:
            there = {name: getattr(cluster, name) for name in ("kubeconfig", "namespace", "cluster", "server")}
            found = replace(self.site, **there)
            before = None if self.before is None else replace(self.before, **there)
            yield await bench(found, self.size, before=before)


async def bench(found: Site, size: Size, *, before: Site | None = None) -> Bench:
    """A bench of this site, with the servers that run for it here."""
    return Bench(site=found, size=size, servers=await servers_of(found), before=before)
