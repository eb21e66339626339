"""Parsed requests, and the options to render them with."""

from typing import Any

from events.cloudevent.event import build
from events.names import REQUESTED_TYPE
from events.request.request import Request
from k8s.base import Manifest
from k8s.manifests.job import Rendered
from k8s.manifests.options import ManifestOptions


def make_request(*, attributes: dict[str, Any] | None = None, **data: Any) -> Request:
    """A request with a minimal `job`, unless the test passes one: `job={...}`."""
    data = {"id": "r1", "job": {"image": "busybox:1", "namespace": "ns"}, **data}
    event = {
        "specversion": "1.0",
        "id": "e1",
        "source": "/shop",
        "type": REQUESTED_TYPE,
        "datacontenttype": "application/json",
        **(attributes or {}),
    }
    return Request.of(build(event, data))


def options(**changes: Any) -> ManifestOptions:
    return ManifestOptions(**{"namespace": "default", "broker": "nats", **changes})


def created(rendered: Rendered, uid: str) -> Manifest:
    """Its Job, as the API server has made it."""
    return {**rendered.job, "metadata": {**rendered.job["metadata"], "uid": uid}}
