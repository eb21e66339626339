"""Three nodes of a broker on loopback, as processes: killed, stopped, frozen and started again by their number."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import trustme

from adapters.servers.login import Login

NODES = 3
LOGIN = Login(user="jobrelay", password="p-w_1")


class Node(Protocol):
    """A server of adapters/servers."""

    port: int

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def kill(self) -> None: ...

    def freeze(self) -> None: ...

    def thaw(self) -> None: ...


S = TypeVar("S", bound=Node)


@dataclass(frozen=True, slots=True)
class Certificates:
    """An authority, and a certificate for each node, good for that node's address only. In `directory`."""

    directory: Path

    @property
    def ca(self) -> Path:
        """The authority's, which clients trust."""
        return self.directory / "ca.pem"

    def key(self, number: int) -> Path:
        return self.directory / f"n{number + 1}.key"

    def certificate(self, number: int) -> Path:
        return self.directory / f"n{number + 1}.pem"

    def host(self, number: int) -> str:
        """The address of a node. Linux has all of 127.0.0.0/8 on its loopback."""
        return f"127.0.0.{number + 1}"


def issued(directory: Path) -> Certificates:
    """Make the authority and the certificates."""
    made, authority = Certificates(directory), trustme.CA()
    directory.mkdir(parents=True)
    authority.cert_pem.write_to_path(made.ca)
    for number in range(NODES):
        certificate = authority.issue_cert(made.host(number))
        certificate.private_key_pem.write_to_path(made.key(number))
        certificate.cert_chain_pems[0].write_to_path(made.certificate(number))
    return made


class Nodes(Generic[S]):
    """Numbered from 0, named n1, n2 and n3. The subclasses say how they become a cluster, and who leads."""

    scheme = ""

    def __init__(self, servers: Sequence[S], *, login: Login | None = None, tls: Certificates | None = None) -> None:
        self.servers: Sequence[S] = tuple(servers)
        self.login = login
        self.tls = tls
        self._running: set[int] = set()

    # The nodes

    async def start(self, *numbers: int) -> None:
        """Start these, or all, at the same time. Returns once they take part in the cluster. Raises `ServerFailed`."""
        chosen = numbers or range(NODES)
        async with asyncio.TaskGroup() as group:
            for number in chosen:
                group.create_task(self.servers[number].start())
        self._running |= {*chosen}
        await self.complete()

    async def kill(self, *numbers: int) -> None:
        """End them as a power cut would, at the same time."""
        self._running -= {*numbers}
        await asyncio.gather(*(self.servers[number].kill() for number in numbers))

    async def stop(self, number: int) -> None:
        """End it in order."""
        self._running.discard(number)
        await self.servers[number].stop()

    def freeze(self, number: int) -> None:
        """Let it stand still with its connections open, until `thaw`."""
        self._running.discard(number)
        self.servers[number].freeze()

    def thaw(self, number: int) -> None:
        self._running.add(number)
        self.servers[number].thaw()

    async def end(self) -> None:
        """Kill whatever runs."""
        await self.kill(*range(NODES))

    @property
    def one(self) -> S:
        """A node that runs."""
        return self.servers[min(self._running)]

    # How to reach them

    def address(self, number: int) -> str:
        """`host:port`."""
        return f"127.0.0.1:{self.servers[number].port}"

    def url(self, *numbers: int) -> str:
        """With the addresses of these nodes in this order, or of all."""
        where = ",".join(self.address(number) for number in numbers or range(NODES))
        return f"{self.scheme}://{self._before_host}{where}"

    @property
    def _before_host(self) -> str:
        return self.login.in_url if self.login else ""

    # What the subclasses know

    async def complete(self) -> None:
        """Return once all that run take part in the cluster."""
        raise NotImplementedError

    async def version(self) -> str:
        """As the broker says it: `3.10.8`."""
        raise NotImplementedError

    async def leader(self, store: str) -> int:
        """The number of the node that leads a stream or queue."""
        raise NotImplementedError

    async def step_down(self, store: str) -> None:
        """Have another node lead it."""
        raise NotImplementedError

    async def members(self, store: str) -> int:
        """How many nodes have a copy of it."""
        raise NotImplementedError

    async def spare(self) -> None:
        """Return once the loss of any one node leaves a majority of every stream and queue."""
        raise NotImplementedError
