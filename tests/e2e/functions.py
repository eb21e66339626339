"""A scene: events of a foreign producer, in binary mode, for a function."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import yaml
from cloudevents.core.bindings import http, rabbitmq
from cloudevents.core.v1.event import CloudEvent

from tests.e2e.observer import Observer
from tests.e2e.site import NATS, Site
from tests.patience import PATIENCE

UPLOADED = "com.example.image.uploaded"
WIDTH, HEIGHT = 640, 480
SIZES = {"small": 100, "large": 200 << 10, "huge": 700 << 10}
"""Bytes of the content, by the id of the event."""
BY_HAND = "huge"
COMPUTES = r"""
number() { sed -n "s/.*\"$1\": *\([0-9]*\).*/\1/p" "$JOBRELAY_EVENT_PATH"; }
bytes=$(wc -c < "$JOBRELAY_EVENT_PATH")
printf '{"pixels": %d, "bytes": %d, "from": "%s", "type": "%s"}' \
  $(($(number width) * $(number height))) $bytes "$CAMERA" "$CE_TYPE" > "$JOBRELAY_RESULT_PATH"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Functions:
    """`observer` has every lifecycle event."""

    observer: Observer


async def functions(site: Site) -> Functions:
    """Three images are uploaded, of which only the first is small enough to be stored in its Job."""
    instance, patience = site.new_instance(), PATIENCE * site.patience
    path = site.directory / f"{instance}.yaml"
    container = {"name": "main", "image": site.image, "command": ["sh", "-c", COMPUTES]}
    function = {
        "name": "measure",
        "filters": [{"exact": {"type": UPLOADED}}, {"prefix": {"source": "/e2e/"}}],
        "env": {"CAMERA": "{data.camera.name}"},
        "job": {"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"spec": {"containers": [container]}}}},
    }
    path.write_text(yaml.safe_dump({"functions": [function]}))
    async with site.observer(instance) as observer, site.relays(instance, *site.roles, functions=path):
        for event_id, size in SIZES.items():
            headers, body = _message(site.broker, event_id, size, source=observer.source)
            await observer.publish_raw(body, headers)
        for event_id in SIZES:
            await observer.ended(f"measure/{event_id}", seconds=patience)
    return Functions(observer=observer)


def _message(broker: str, event_id: str, size: int, *, source: str) -> tuple[Mapping[str, str], bytes]:
    data = {"camera": {"name": "hall"}, "width": WIDTH, "height": HEIGHT, "content": "x" * size}
    attributes = {"id": event_id, "source": source, "type": UPLOADED, "specversion": "1.0"}
    if event_id == BY_HAND:
        prefix = "ce-" if broker == NATS else "cloudEvents:"
        headers = {f"{prefix}{name}": value for name, value in attributes.items()}
        return headers | {"Content-Type": "application/json"}, json.dumps(data).encode()
    event = CloudEvent({**attributes, "datacontenttype": "application/json"}, data)
    if broker == NATS:
        # The headers of the HTTP binding: percent-encoded, with the prefix ce-.
        sent = http.to_binary_event(event)
        named = {"content-type": "Content-Type"}
        return {named.get(name, name): value for name, value in sent.headers.items()}, sent.body
    message = rabbitmq.to_binary_event(event)
    return message.headers | {"Content-Type": str(message.content_type)}, message.body
