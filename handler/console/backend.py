"""What the page reads from and publishes to, in one process of the role `console`."""

import asyncio
from collections.abc import Callable, Collection, Mapping

from adapters.base import Broker, BrokerUnavailable
from handler.console.sent import Sent
from handler.history.base import Bodies, Reader, StoreUnavailable
from handler.settings.settings import Settings
from handler.telemetry.answers import Answers
from handler.telemetry.metrics import Metrics
from k8s.api.cluster import Cluster


class UnknownBroker(LookupError):
    """There is no broker of this name, connected or not. `names`: of those that there are."""

    def __init__(self, names: Collection[str]) -> None:
        super().__init__("there is no such broker")
        self.names = names


class Backend:
    """`brokers`: those that are connected now, by the name of their adapter; the process keeps it up to date.

    `configured`: names of those that are to be connected, beside them.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        cluster: Cluster,
        brokers: Mapping[str, Broker],
        metrics: Metrics,
        configured: Collection[str] = (),
    ) -> None:
        self.settings = settings
        self.cluster = cluster
        self.brokers = brokers
        self.configured = configured
        self.metrics = metrics
        self.answers = Answers()
        """What is asked of brokers and cluster for everybody who looks."""
        self.lag: Callable[[], float | None] = lambda: None
        """Seconds that the record is behind the brokers; None where another process records."""
        self.bodies: Bodies | None = None
        """Where chunks of logs are; None is the database."""
        self.sent = Sent()
        self.stopping = asyncio.Event()
        """Set when the process begins to stop: streams end then, and their clients go elsewhere."""
        self._reader: Reader | None = None

    @property
    def reader(self) -> Reader:
        """The history. Raises `StoreUnavailable` until it is open."""
        if self._reader is None:
            raise StoreUnavailable("the history is not open yet")
        return self._reader

    def opened(self, reader: Reader, bodies: Bodies | None) -> None:
        """From now on the history can be read."""
        self._reader, self.bodies = reader, bodies

    @property
    def broker_names(self) -> list[str]:
        """All brokers that there are, connected or not."""
        return sorted({*self.configured, *self.brokers})

    def broker(self, name: str | None = None) -> Broker:
        """The connected broker of this name, by default the first. Raises `BrokerUnavailable`, `UnknownBroker`."""
        if name is not None and name not in self.broker_names:
            raise UnknownBroker(self.broker_names)
        found = next(iter(self.brokers.values()), None) if name is None else self.brokers.get(name)
        if found is None:
            raise BrokerUnavailable(
                "no broker was connected so far" if name is None else f"broker {name} was never connected so far"
            )
        return found
