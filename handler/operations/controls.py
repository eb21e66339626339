"""Makes control events."""

import uuid
from datetime import UTC, datetime

from cloudevents.core.v1.event import CloudEvent

from events.cloudevent.event import build
from events.names import CONTROL_TYPE
from handler.operations.documents import default_source


def control_event(verb: str, request_id: str, request_source: str | None, job: str | None = None) -> CloudEvent:
    """A control event about a request. `job`: `[namespace/]name`, of several that its source and id has.

    Raises `InvalidEvent` for an id, source or name that CloudEvents do not allow.
    """
    namespace, slash, name = (job or "").rpartition("/")
    attributes = {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": default_source(),
        "type": f"{CONTROL_TYPE}.{verb}",
        "subject": request_id,
        "time": datetime.now(UTC),
        "requestsource": request_source,
        "jobname": name or None,
        "jobnamespace": namespace if slash else None,
    }
    return build(attributes)
