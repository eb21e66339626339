"""jobrelay with a bug: a certain event ends its process. Run as a script."""

import os
import sys

from cloudevents.core.v1.event import CloudEvent

from events.functions.functions import Asked
from handler.cli.main import main
from handler.effects.deliveries import Rejection
from handler.intake.requests import Requests

POISON = "event-poison"
EXIT_CODE = 9
COMMAND = (sys.executable, "-P", __file__, "run")
_of = Requests.of


def _fall(requests: Requests, event: CloudEvent) -> list[Asked | Rejection]:
    if event.get_id() == POISON:
        os._exit(EXIT_CODE)
    return _of(requests, event)


if __name__ == "__main__":
    Requests.of = _fall  # type: ignore[assignment, method-assign]
    sys.exit(main())
