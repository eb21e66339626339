"""Writes Kubernetes Events, mostly about failures. It is no error if an Event cannot be written."""

import logging
import time

from k8s.devcluster.errors import ApiError
from k8s.devcluster.resources import RESOURCES, Obj
from k8s.devcluster.store.store import Store
from k8s.devcluster.times import now

logger = logging.getLogger(__name__)


def record(
    store: Store,
    resource: str,
    about: Obj,
    *,
    reason: str,
    message: str,
    component: str,
    field: str = "",
    type_: str = "Warning",
) -> None:
    """Record an Event about the object `about`, or its field `field`. `resource` is its plural."""
    kind = RESOURCES[resource]
    metadata = about["metadata"]
    moment = now()
    event = {
        "metadata": {
            "name": f"{metadata['name']}.{time.time_ns():x}",
            "namespace": metadata["namespace"],
        },
        "involvedObject": {
            "kind": kind.kind,
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
            "apiVersion": kind.api_version,
            "resourceVersion": metadata["resourceVersion"],
            **({"fieldPath": field} if field else {}),
        },
        "reason": reason,
        "message": message,
        "source": {"component": component},
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
        "type": type_,
        "eventTime": None,
        "reportingComponent": component,
        "reportingInstance": "",
    }
    try:
        store.create("events", event)
    except ApiError as error:  # The namespace is being deleted.
        logger.debug("no event %s about %s: %s", reason, metadata["name"], error)
