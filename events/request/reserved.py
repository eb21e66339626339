"""Ids and sources that jobrelay gives itself: no request from outside may have them, or it would take their place."""

import re
from collections.abc import Iterator

from events.problems import FieldError

OURS = r"/failover|@[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"
"""Ends the ids of failovers and of a schedule's runs."""
_ID = re.compile(rf"(?:{OURS})\Z")
_SOURCE = re.compile(r"/namespaces/[^/]+/(?:jobs|cronjobs)/.*|/jobrelay/[^/]+", re.DOTALL)


def reserved(source: str, request_id: str) -> Iterator[FieldError]:
    """What of both is not for requests from outside."""
    if _SOURCE.fullmatch(source):
        yield FieldError(
            "source",
            "is reserved for jobrelay's own events",
            "none of /namespaces/<namespace>/jobs/…, /namespaces/<namespace>/cronjobs/…, /jobrelay/<installation>",
        )
    if _ID.search(request_id):
        yield FieldError(
            "id", "is reserved for failovers and for runs of schedules", "no /failover and no @<time> at its end"
        )
