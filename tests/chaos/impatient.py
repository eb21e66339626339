"""jobrelay whose unsettled messages NATS redelivers after two seconds instead of thirty. Run as a script."""

import sys
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

from adapters.base import Broker
from adapters.connect import connect as connect_broker
from adapters.descriptor import Adapter
from adapters.jetstream.options import JetStreamOptions
from adapters.options import ConnectionOptions
from events.names import DEFAULT_INSTANCE
from handler.cli.main import main
from handler.settings import connections
from handler.settings.settings import Settings

ACK_SECONDS = 2.0
COMMAND = (sys.executable, "-P", __file__, "run")
_usual = connections.adapter_of


def connect(url: str, *, instance: str = DEFAULT_INSTANCE) -> AbstractAsyncContextManager[Broker]:
    """A broker whose consumers are those of such a process."""
    return connect_broker(url, instance=instance, options=_impatient(url).options(dict(Settings.from_env({}))))


def _impatient(url: str) -> Adapter:
    adapter = _usual(url)

    def options(settings: Mapping[str, Any]) -> ConnectionOptions:
        usual = adapter.options(settings)
        return replace(usual, ack_wait=ACK_SECONDS) if isinstance(usual, JetStreamOptions) else usual

    return replace(adapter, options=options)


if __name__ == "__main__":
    connections.adapter_of = _impatient
    sys.exit(main())
