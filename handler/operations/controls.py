"""Makes control events."""

import uuid
from datetime import UTC, datetime

from cloudevents.core.v1.event import CloudEvent

from events.cloudevent.event import build
from events.names import CONTROL_TYPE
from handler.operations.documents import default_source


def control_event(
    verb: str,
    subject: str,
    request_source: str | None = None,
    job: str | None = None,
    *,
    source: str | None = None,
    event_id: str | None = None,
    actor: str | None = None,
    letter_digest: str | None = None,
    expiry: datetime | None = None,
) -> CloudEvent:
    """A control event about a request, a schedule or, of the verbs `replay` and `drop`, a dead letter.

    `subject`: the request's id, or the letter's number as `jobrelay dead list` has it. `job`: `[namespace/]name`, of
    several that its source and id has. `source`, `event_id`: those of the event itself; by default the user's and a new
    one. Two events of the same source and id are one command. `actor`: who asks. `letter_digest`: `digest_of` the
    letter's body in hexadecimal digits, so that no other letter is meant. `expiry`: after it, with an offset from UTC,
    nothing is done any more.

    Raises `InvalidEvent` for an id, source or name that CloudEvents do not allow.
    """
    namespace, slash, name = (job or "").rpartition("/")
    attributes = {
        "specversion": "1.0",
        "id": str(uuid.uuid4()) if event_id is None else event_id,
        "source": default_source() if source is None else source,
        "type": f"{CONTROL_TYPE}.{verb}",
        "subject": subject,
        "time": datetime.now(UTC),
        "expirytime": expiry,
        "requestsource": request_source,
        "jobname": name or None,
        "jobnamespace": namespace if slash else None,
        "actor": actor,
        "letterdigest": letter_digest,
    }
    return build(attributes)
