"""Three nats-servers as a cluster with JetStream."""

import asyncio
import json
import ssl
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

from nats.aio.client import Client
from nats.errors import Error

from adapters.servers.free_port import free_port
from adapters.servers.login import Login
from adapters.servers.nats import NatsServer
from tests.chaos.clusters.nodes import NODES, Certificates, Nodes
from tests.handler.samples import until

_SECONDS = 2


class NatsCluster(Nodes[NatsServer]):
    """Use `nats_cluster()`, or start its nodes one by one."""

    scheme = "nats"

    def __init__(self, directory: Path, *, login: Login | None = None, tls: Certificates | None = None) -> None:
        routes = [f"nats-route://127.0.0.1:{free_port()}" for _ in range(NODES)]
        made = []
        for number, route in enumerate(routes):
            cluster = {"name": "three", "listen": route.removeprefix("nats-route://"), "routes": routes}
            lines = [f"server_name: n{number + 1}", f"cluster: {json.dumps(cluster)}"]
            if tls:
                files = {"cert_file": tls.certificate(number), "key_file": tls.key(number), "ca_file": tls.ca}
                lines.append(f"tls: {json.dumps({name: str(file) for name, file in files.items()})}")
            host = tls.host(number) if tls else "127.0.0.1"
            made.append(
                NatsServer(
                    directory / f"n{number + 1}", host=host, port=free_port(), login=login, extra="\n".join(lines)
                )
            )
        super().__init__(made, login=login, tls=tls)
        if tls:
            self.scheme = "tls"

    def address(self, number: int) -> str:
        return f"{self.tls.host(number) if self.tls else '127.0.0.1'}:{self.servers[number].port}"

    async def complete(self) -> None:
        for number in sorted(self._running):
            await until(lambda number=number: self._takes_part(number))  # type: ignore[misc]

    async def _takes_part(self, number: int) -> bool:
        """Whether the node knows who leads JetStream."""
        return "error" not in await self._heard("INFO", at=number)

    async def version(self) -> str:
        async with self.client(min(self._running)) as client:
            return str(client._server_info["version"])

    async def leader(self, store: str) -> int:
        async def look() -> int | None:
            name = (await self._stream(store)).get("leader", "")
            return int(name.removeprefix("n")) if name else None

        return await until(look) - 1

    async def step_down(self, store: str) -> None:
        answer = await self.api(f"STREAM.LEADER.STEPDOWN.{store}")
        assert answer.get("success"), answer

    async def members(self, store: str) -> int:
        return 1 + len((await self._stream(store)).get("replicas", []))

    async def spare(self) -> None:
        async def look() -> bool:
            answer = await self._heard("STREAM.NAMES")
            streams = [await self._stream(name) for name in answer.get("streams") or []]
            copies = [copy for stream in streams for copy in stream.get("replicas", [])]
            led = all("leader" in stream for stream in streams)
            return "error" not in answer and led and all(copy["current"] for copy in copies)

        await until(look)

    async def _stream(self, name: str) -> dict[str, Any]:
        """What its part `cluster` says; nothing while nobody answers."""
        found: dict[str, Any] = (await self._heard(f"STREAM.INFO.{name}")).get("cluster", {})
        return found

    async def _heard(self, verb: str, *, at: int | None = None) -> dict[str, Any]:
        """The same as `api`; an error while nobody answers, as there is during an election."""
        try:
            return await self.api(verb, at=at)
        except (Error, OSError, ValueError, TimeoutError) as error:
            return {"error": str(error)}

    async def api(self, verb: str, request: object = None, *, at: int | None = None) -> dict[str, Any]:
        """What `$JS.API.<verb>` answers, asked at a node, or at one that runs. Raises what nats-py raises."""
        body = b"" if request is None else json.dumps(request).encode()
        async with self.client(min(self._running) if at is None else at) as client:
            answer: dict[str, Any] = json.loads((await client.request(f"$JS.API.{verb}", body, timeout=_SECONDS)).data)
            return answer

    async def stored(self, stream: str) -> list[tuple[str, bytes]]:
        """Subject and body of each message of a stream."""
        found: list[tuple[str, bytes]] = []
        after = 0
        async with self.client(min(self._running)) as client:
            while True:
                request = json.dumps({"seq": after + 1, "next_by_subj": ">"}).encode()
                answer = json.loads((await client.request(f"$JS.API.STREAM.MSG.GET.{stream}", request)).data)
                if answer.get("error", {}).get("code") == HTTPStatus.NOT_FOUND:
                    return found
                message = answer["message"]
                found.append((str(message["subject"]), b64decode(message["data"])))
                after = message["seq"]

    @asynccontextmanager
    async def client(self, number: int) -> AsyncIterator[Client]:
        """A connection of the test's own to a node."""
        tls = ssl.create_default_context(cafile=str(self.tls.ca)) if self.tls else None
        client = Client()
        await client.connect(self.url(number), tls=tls, allow_reconnect=False, connect_timeout=_SECONDS)
        try:
            yield client
        finally:
            await client.close()


@asynccontextmanager
async def nats_cluster(directory: Path) -> AsyncIterator[NatsCluster]:
    """Running for the length of the block."""
    made = NatsCluster(directory)
    try:
        await made.start()
        yield made
    finally:
        await asyncio.shield(made.end())
