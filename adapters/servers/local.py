"""Which broker servers can be started on this machine, by the name of their adapter."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from adapters.servers.login import Login
from adapters.servers.nats import NatsServer
from adapters.servers.process import Program
from adapters.servers.rabbitmq import RabbitServer


class LocalServer(Protocol):
    """A server whose programs the caller runs. Its data are in a directory, and outlive it."""

    @property
    def url(self) -> str:
        """How to reach it, once it is prepared; with user and password."""
        ...

    @property
    def start_seconds(self) -> float:
        """If the server does not answer within this time, its start has failed."""
        ...

    def prepare(self) -> Sequence[Program]:
        """Choose ports and write files. Returns what to run, the server itself last. Raises `ServerFailed`."""
        ...

    async def answers(self, pid: int) -> bool:
        """Whether the server, which has this pid, takes connections."""
        ...


class _Make(Protocol):
    def __call__(self, directory: Path, *, port: int, login: Login) -> LocalServer: ...


SERVERS: Mapping[str, _Make] = {"nats": NatsServer, "rabbitmq": RabbitServer}
