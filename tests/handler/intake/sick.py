"""A cluster that takes some Jobs and not others, as a webhook, a namespace or a storage may have it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from events.names import Label
from k8s.api.answers import failure
from k8s.api.cluster import Cluster, Created
from k8s.base import Manifest

WEBHOOK = 'Internal error occurred: failed calling webhook "w": Post "https://w": connection refused'
Answer = Callable[[Manifest], Awaitable[None]]


def answer(status: int, message: str) -> Exception:
    """What a client makes of this answer to a create."""
    body = {"kind": "Status", "status": "Failure", "message": message, "code": status}
    return failure("POST", status, headers={}, body=orjson.dumps(body))


class Sick:
    """Creates, dry or not, first go through `treat`, which may raise an error or hang. `tried` counts trials."""

    def __init__(self, real: Cluster) -> None:
        self._real = real
        self.treat: Answer = take
        self.created = 0
        self.tried = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def create_job(self, manifest: Manifest) -> Created:
        self.created += 1
        await self.treat(manifest)
        return await self._real.create_job(manifest)

    async def try_job(self, manifest: Manifest) -> None:
        self.tried += 1
        await self.treat(manifest)
        await self._real.try_job(manifest)


async def take(_: Manifest) -> None:
    """Nothing is wrong with any Job."""


def of_service(service: str, does: Answer) -> Answer:
    """Only Jobs of this service are treated so."""

    async def treat(manifest: Manifest) -> None:
        if manifest["metadata"]["labels"].get(Label.APP) == service:
            await does(manifest)

    return treat


def failing(status: int, message: str) -> Answer:
    async def fail(_: Manifest) -> None:
        raise answer(status, message)

    return fail


async def hang(_: Manifest) -> None:
    await asyncio.Event().wait()
