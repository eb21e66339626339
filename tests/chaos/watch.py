"""A watch of the test's own, which sees every state of every Job of an installation."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol

import orjson

from events.names import Label
from k8s.api.cluster import Cluster
from k8s.background import beside
from k8s.base import Manifest, Unavailable


class Noting(Protocol):
    """Who wants to know."""

    def note(self, job: Manifest, *, at: float, gone: bool) -> None:
        """`at`: seconds of the monotonic clock."""
        ...


@asynccontextmanager
async def watching(cluster: Cluster, namespace: str, instance: str, books: Noting) -> AsyncIterator[None]:
    """Tell `books` of each state from now on until the block ends. There must be no Job yet."""
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    selector = {"labelSelector": f"{Label.INSTANCE}={instance}"}
    listed = orjson.loads(await cluster.client.request("GET", path, params=selector))
    assert listed["items"] == []
    async with beside(_follow(cluster, path, selector, listed["metadata"]["resourceVersion"], books)):
        yield


async def _follow(cluster: Cluster, path: str, selector: Mapping[str, str], version: str, books: Noting) -> None:
    while True:
        # A server ends its watches from time to time. A gap would leave claims unproved, so a 410 fails the test.
        params = {**selector, "watch": "1", "resourceVersion": version}
        with suppress(Unavailable):
            async with cluster.client.stream(path, params=params) as pieces:
                rest = b""
                async for piece in pieces:
                    *lines, rest = (rest + piece).split(b"\n")
                    for line in lines:
                        version = _note(orjson.loads(line), books)
        await asyncio.sleep(0.1)


def _note(event: dict[str, Any], books: Noting) -> str:
    job, kind = event["object"], event["type"]
    assert kind in ("ADDED", "MODIFIED", "DELETED"), event
    books.note(job, at=time.monotonic(), gone=kind == "DELETED")
    return str(job["metadata"]["resourceVersion"])
