"""jobrelay whose unsettled messages NATS redelivers after two seconds instead of eight. Run as a script."""

import sys
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from adapters.base import Broker
from adapters.descriptor import Adapter
from adapters.jetstream.descriptor import ADAPTER
from adapters.registry import adapter_of
from events.names import DEFAULT_INSTANCE
from handler.cli.main import main
from handler.settings import connections
from handler.settings.settings import Settings

ACK_SECONDS = 2.0
COMMAND = (sys.executable, "-P", __file__, "run")


def connect(url: str, *, instance: str = DEFAULT_INSTANCE) -> AbstractAsyncContextManager[Broker]:
    """A broker whose consumers are those of such a process."""
    adapter = _impatient(url)
    return adapter.connect(url, instance=instance, options=adapter.options(Settings.from_env({}).model_dump()))


def _impatient(url: str) -> Adapter:
    adapter = adapter_of(url)
    if adapter is not ADAPTER:
        return adapter
    return replace(adapter, options=lambda settings: replace(adapter.options(settings), ack_wait=ACK_SECONDS))


if __name__ == "__main__":
    vars(connections)["adapter_of"] = _impatient
    sys.exit(main())
