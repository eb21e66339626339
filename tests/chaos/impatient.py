"""jobrelay whose unsettled messages NATS redelivers after two seconds instead of thirty. Run as a script."""

import sys
from dataclasses import replace

from adapters.descriptor import Adapter
from handler.cli.main import main
from handler.settings import connections

ACK_SECONDS = 2.0
COMMAND = (sys.executable, "-P", __file__, "run")
_usual = connections.adapter_of


def _impatient(url: str) -> Adapter:
    adapter = _usual(url)
    return replace(adapter, options=lambda settings: replace(adapter.options(settings), ack_wait=ACK_SECONDS))


if __name__ == "__main__":
    connections.adapter_of = _impatient
    sys.exit(main())
