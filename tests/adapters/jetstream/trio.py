"""Three NATS servers that are a cluster, without JetStream, for tests of how they are reached."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from adapters.jetstream.connection import Connection
from adapters.servers.free_port import free_port
from adapters.servers.nats import NatsServer
from tests.adapters.harness import until


@asynccontextmanager
async def trio(directory: Path, *, extras: Sequence[str] = ("", "", "")) -> AsyncIterator[list[NatsServer]]:
    """One for each of `extras`, which are further lines of their configuration. They run on, even if some were stopped
    or frozen.
    """
    ports = [free_port() for _ in extras]
    routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports)
    servers = [
        NatsServer(
            directory / str(number),
            store_bytes=0,
            extra=f'cluster {{ name: trio, listen: "127.0.0.1:{port}", routes: [{routes}] }}\n{extra}',
        )
        for number, (port, extra) in enumerate(zip(ports, extras, strict=True))
    ]
    try:
        await asyncio.gather(*(server.start() for server in servers))
        yield servers
    finally:
        await asyncio.gather(*(server.kill() for server in servers))


def address(server: NatsServer) -> str:
    """As the cluster tells it."""
    return f"127.0.0.1:{server.port}"


async def connected(link: Connection, *servers: NatsServer) -> None:
    """Return once it is connected to one of them."""

    async def there() -> bool:
        return link.connected and link.address in map(address, servers)

    await until(there)
