"""jobrelay whose deliveries NATS takes back from the dead after two seconds instead of thirty. Run as a script."""

import sys
from dataclasses import replace

from adapters.jetstream.options import JetStreamOptions
from handler.cli.main import main
from handler.settings import connections
from handler.settings.settings import Settings

ACK_SECONDS = 2.0
COMMAND = (sys.executable, "-P", __file__, "run")
_usual = connections._nats


def _impatient(settings: Settings) -> JetStreamOptions:
    return replace(_usual(settings), ack_wait=ACK_SECONDS)


if __name__ == "__main__":
    connections._nats = _impatient
    sys.exit(main())
