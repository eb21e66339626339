"""The addresses behind the hosts of a URL. It connects to none of them."""

import asyncio
import random
import socket
from dataclasses import dataclass

from adapters.urls import Host

_PORTS = {"amqp": 5672, "amqps": 5671}


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a server listens. `host` is how the URL names it, `ip` one of the addresses of that name."""

    host: Host
    ip: str
    port: int
    server_name: str
    """What its certificate has to be for."""

    def __str__(self) -> str:
        return str(self.host) if self.ip == self.host.bare else f"{self.host} ({self.ip})"


async def resolved(host: Host, *, scheme: str, server_name: str | None) -> list[Address]:
    """All its addresses, in random order. `server_name`: None for the name of the host. Raises `OSError`."""
    port = host.port or _PORTS[scheme]
    found = await asyncio.get_running_loop().getaddrinfo(host.bare, port, type=socket.SOCK_STREAM)
    ips = list({str(place[0]) for *_, place in found})
    random.shuffle(ips)
    return [Address(host=host, ip=ip, port=port, server_name=server_name or host.bare) for ip in ips]
