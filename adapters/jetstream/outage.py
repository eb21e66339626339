"""What is known while there is no connection to NATS: which server was lost and why, and how the others answered."""

import logging
import ssl
from collections.abc import Set

from adapters.base import BrokerUnavailable

logger = logging.getLogger(__name__)


class Outage:
    """From the loss of a connection, or from the start, until there is one. Logs its beginning and its end, once."""

    def __init__(self) -> None:
        self.over = False
        """Whether there is a connection, as far as we know."""
        self._lost = ""
        self._answers: dict[str, str] = {}
        self._hopeless: set[str] = set()

    def begin(self, address: str, error: Exception | None) -> None:
        """The connection to this server is lost. Does nothing if that was known."""
        if self.over:
            self.over, self._answers, self._hopeless = False, {}, set()
            self._lost = f"{address}: {_said(error)}"
            logger.warning("lost the connection to NATS at %s", self._lost)

    def end(self, address: str) -> None:
        """There is a connection again."""
        self.over = True
        logger.info("connected to NATS again, at %s", address)

    def note(self, address: str, error: Exception, *, quiet: bool) -> None:
        """A server that was tried answered so. That it refuses us is logged once, unless `quiet`."""
        said = _said(error)
        news, self._answers[address] = self._answers.get(address) != said, said
        logger.debug("NATS at %s: %s", address, said)
        if isinstance(error, ssl.SSLError) or "authorization" in said.lower():
            self._hopeless.add(address)
            if news and not quiet:
                logger.warning("NATS at %s refuses us: %s", address, said)

    def is_hopeless(self, addresses: Set[str]) -> bool:
        """Whether all of these servers refuse us, so that trying again cannot help."""
        return addresses <= self._hopeless

    def at_start(self, address: str, error: Exception) -> BrokerUnavailable:
        """What to raise if no connection was made. `error`: why it ended, at this server (empty: before any)."""
        if address:
            self._answers.setdefault(address, _said(error))
        return BrokerUnavailable(f"no connection to NATS: {self._tried or _said(error)}")

    def missing(self) -> BrokerUnavailable:
        """What to raise where a connection is needed, and was lost or closed."""
        if not self._lost:
            return BrokerUnavailable("no connection to NATS: it is closed")
        since = f"; since then, {self._tried}" if self._answers else ""
        return BrokerUnavailable(f"no connection to NATS: lost {self._lost}{since}")

    @property
    def _tried(self) -> str:
        return "; ".join(f"{address}: {said}" for address, said in self._answers.items())


def _said(error: Exception | None) -> str:
    if error is None:
        return "closed"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return "no answer in time" if isinstance(error, TimeoutError) else str(error) or repr(error)
