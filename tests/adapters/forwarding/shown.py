"""The blocks of adapters/FORWARDING.md, and the events of a shop that knows nothing of jobrelay. No tests here."""

import json
from collections.abc import Mapping
from typing import Any

from adapters.base import Delivery
from tests.docs.pages import Page
from tests.paths import ROOT

PAGE = Page(ROOT / "adapters" / "FORWARDING.md")
DATA = {"url": "https://images.example/4711.jpg"}
BODY = json.dumps(DATA).encode()


def block(language: str, holding: str) -> str:
    """The only block in this language that has `holding` in it."""
    (found,) = (text for text in PAGE.code(language) if holding in text)
    return found


def document(holding: str) -> dict[str, Any]:
    """A JSON block, read."""
    read: dict[str, Any] = json.loads(block("json", holding))
    return read


def binary(number: int | str, **more: str) -> dict[str, str]:
    """Headers of an event in binary mode."""
    attributes = {"specversion": "1.0", "type": "com.example.image.uploaded", "source": "/shop", "id": str(number)}
    return {f"ce-{name}": value for name, value in (attributes | more).items()} | {"Content-Type": "application/json"}


def structured(number: int | str) -> bytes:
    """An event in structured mode."""
    attributes = {name.removeprefix("ce-"): value for name, value in binary(number).items() if name.startswith("ce-")}
    return json.dumps({**attributes, "datacontenttype": "application/json", "data": DATA}).encode()


def read(delivery: Delivery) -> Mapping[str, object]:
    """Lane, identity and data of what jobrelay gets."""
    event = delivery.event()
    return {
        "lane": delivery.topic.key,
        "id": event.get_id(),
        "source": event.get_source(),
        "type": event.get_type(),
        "data": event.get_data(),
    }


def expected(number: int | str, *, lane: str = "") -> Mapping[str, object]:
    """What `read` says of an event of the shop."""
    return {
        "lane": lane,
        "id": str(number),
        "source": "/shop",
        "type": "com.example.image.uploaded",
        "data": DATA,
    }
