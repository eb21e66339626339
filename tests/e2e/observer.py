"""A client for both brokers as any user could write it: with the CloudEvents SDK, and without code of jobrelay."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.formats.json import JSONFormat

from tests.e2e.wires import Letter, Wire, wire
from tests.patience import PATIENCE

STRUCTURED = "application/cloudevents+json"
SOURCE = "/e2e"
TERMINAL = frozenset({"succeeded", "failed", "cancelled"})


class Observer:
    """Publishes to an installation, and keeps every lifecycle event since its own start, in order of arrival."""

    def __init__(self, instance: str) -> None:
        self._wire: Wire | None = None
        self._news = asyncio.Event()
        self.instance = instance
        self.source = f"{SOURCE}/{instance}"
        self.events: list[BaseCloudEvent] = []

    @classmethod
    @asynccontextmanager
    async def connected(cls, url: str, instance: str) -> AsyncIterator["Observer"]:
        observer = cls(instance)
        async with wire(url, instance, observer._take) as connected:
            observer._wire = connected
            yield observer

    @property
    def wire(self) -> Wire:
        assert self._wire is not None
        return self._wire

    def _take(self, body: bytes) -> None:
        self.events.append(JSONFormat().read(None, body))
        self._news.set()

    # Publishing

    async def publish(self, event: Mapping[str, Any], *, to: str = "requests", message_id: str | None = None) -> None:
        """Publish a structured event. Its source is the observer's own: others in the namespace publish equal ids."""
        headers = {"Content-Type": STRUCTURED}
        await self.wire.publish(
            to, json.dumps({**event, "source": self.source}).encode(), headers, message_id=message_id
        )

    async def publish_raw(self, body: bytes, headers: Mapping[str, str], *, to: str = "requests") -> None:
        await self.wire.publish(to, body, headers, message_id=None)

    async def command(self, verb: str, subject: str) -> None:
        await self.publish(
            {
                "specversion": "1.0",
                "type": f"dev.jobrelay.control.{verb}",
                "source": SOURCE,
                "id": f"{verb}-{subject}",
                "subject": subject,
            },
            to="control",
        )

    # What came

    def of(self, subject: str) -> list[BaseCloudEvent]:
        """The events of this request, in order of arrival, without repeats of an id."""
        found: dict[str, BaseCloudEvent] = {}
        for event in self.events:
            if event.get_subject() == subject:
                found.setdefault(str(event.get_id()), event)
        return list(found.values())

    def phases(self, subject: str) -> list[str]:
        return [phase(event) for event in self.of(subject)]

    async def reached(self, subject: str, wanted: str, *, seconds: float = PATIENCE) -> BaseCloudEvent:
        """The first event of this phase of the request, once it is there."""
        return await self._wait(subject, frozenset({wanted}), seconds)

    async def ended(self, subject: str, *, seconds: float = PATIENCE) -> BaseCloudEvent:
        """The terminal event of the request, once it is there."""
        return await self._wait(subject, TERMINAL, seconds)

    async def _wait(self, subject: str, wanted: frozenset[str], seconds: float) -> BaseCloudEvent:
        def look() -> BaseCloudEvent | None:
            return next((event for event in self.of(subject) if phase(event) in wanted), None)

        try:
            async with asyncio.timeout(seconds):
                while (found := look()) is None:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            seen = self.phases(subject)
            raise AssertionError(f"{subject}: none of {sorted(wanted)} in {seconds:g} s, but {seen}") from None
        return found

    # The broker's side

    async def dead_letters(self) -> list[Letter]:
        """All dead letters, read without consuming them."""
        return await self.wire.dead_letters()

    async def waiting(self) -> int:
        """How many requests in the broker no handler has taken."""
        return await self.wire.waiting()

    async def repeated(self) -> int:
        """How many deliveries were not the first of their request, as far as the broker counts them."""
        return await self.wire.repeated()


def phase(event: BaseCloudEvent) -> str:
    return str(event.get_type()).rpartition(".")[2]


def data(event: BaseCloudEvent) -> dict[str, Any]:
    found = event.get_data()
    assert isinstance(found, dict)
    return found


def detail(event: BaseCloudEvent) -> dict[str, Any]:
    found: dict[str, Any] = data(event)["detail"]
    return found


def request(request_id: str, script: str = "true", *, image: str, **given: Any) -> dict[str, Any]:
    """A request whose container runs `script`; `job` and all other fields go into the data."""
    job = {"image": image, "command": ["sh", "-c", script], **given.pop("job", {})}
    attributes = given.pop("attributes", {})
    return {
        "specversion": "1.0",
        "type": "dev.jobrelay.job.requested",
        "source": SOURCE,
        "id": f"event-{request_id}",
        "datacontenttype": "application/json",
        **attributes,
        "data": {"id": request_id, "service": "e2e", "job": job, **given},
    }
