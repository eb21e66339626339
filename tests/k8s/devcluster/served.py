"""A served development cluster and a client that speaks plain HTTP to it. Support for tests."""

import asyncio
import io
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from k8s.devcluster.server import DevCluster, ServerOptions, serve
from tests.patience import PATIENCE

JOBS = "/apis/batch/v1/namespaces/default/jobs"
PODS = "/api/v1/namespaces/default/pods"
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
SECRETS = "/api/v1/namespaces/default/secrets"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Any
    body: Any


@dataclass(frozen=True)
class Client:
    cluster: DevCluster
    session: aiohttp.ClientSession

    async def __call__(
        self, method: str, path: str, body: Any = None, *, kind: str = "application/json", **headers: str
    ) -> Answer:
        sent = {"Content-Type": kind, "Authorization": f"Bearer {self.cluster.token}"} | headers
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        data = None if body is None else io.BytesIO(raw)
        async with self.session.request(method, self.cluster.url + path, data=data, headers=sent) as response:
            text = await response.text()
            parsed = json.loads(text) if response.content_type == "application/json" else text
            return Answer(response.status, response.headers, parsed)

    async def made(self, path: str, body: Any) -> Any:
        answer = await self("POST", path, body)
        assert answer.status == 201, answer.body
        return answer.body

    async def pods(self) -> list[Any]:
        return list((await self("GET", PODS)).body["items"])

    async def finished(self, job: str) -> Any:
        """The Job's status, once it is Complete or Failed."""

        async def over() -> Any:
            status = (await self("GET", f"{JOBS}/{job}")).body["status"]
            kinds = {condition["type"] for condition in status.get("conditions") or []}
            return status if kinds & {"Complete", "Failed"} else None

        return await until(over)

    async def watched(self, path: str) -> list[tuple[str, Any]]:
        """The events of a watch that ends by itself."""
        async with self._watch(path) as response:
            return [_event(line) async for line in response.content]

    @asynccontextmanager
    async def watching(self, path: str) -> AsyncIterator[AsyncIterator[tuple[str, Any]]]:
        """Events as they come; each must come before the deadline."""
        async with self._watch(path) as response:

            async def events() -> AsyncIterator[tuple[str, Any]]:
                while True:
                    async with asyncio.timeout(PATIENCE):
                        line = await response.content.readline()
                    if not line:
                        return
                    yield _event(line)

            yield events()

    @asynccontextmanager
    async def _watch(self, path: str) -> AsyncIterator[aiohttp.ClientResponse]:
        separator = "&" if "?" in path else "?"
        url = f"{self.cluster.url}{path}{separator}watch=1"
        async with self.session.get(url, headers={"Authorization": f"Bearer {self.cluster.token}"}) as response:
            assert response.status == 200, await response.text()
            yield response


def _event(line: bytes) -> tuple[str, Any]:
    event = json.loads(line)
    return event["type"], event["object"]


@asynccontextmanager
async def served(directory: Path, *, options: ServerOptions | None = None, port: int = 0) -> AsyncIterator[Client]:
    async with serve(directory, options=options, port=port) as cluster, connected(cluster) as client:
        yield client


@asynccontextmanager
async def connected(cluster: DevCluster) -> AsyncIterator[Client]:
    context = ssl.create_default_context(cafile=str(cluster.ca))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, limit=0)) as session:
        yield Client(cluster, session)


async def until(claim: Callable[[], Awaitable[Any]]) -> Any:
    """The first truthy result of `claim`."""
    async with asyncio.timeout(PATIENCE):
        while not (found := await claim()):
            await asyncio.sleep(0.02)
    return found


def make_job(name: str, *, suspend: bool = True, **metadata: Any) -> dict[str, Any]:
    container = {"name": "main", "image": "busybox:1", "command": ["true"]}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    spec = {"suspend": suspend, "backoffLimit": 0, "template": template}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, **metadata}, "spec": spec}


def make_config(name: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **metadata}, "data": {"key": "value"}}
