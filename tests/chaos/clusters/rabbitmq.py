"""Three RabbitMQ nodes as a cluster, with a port mapper of their own."""

import asyncio
import json
import os
import re
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from adapters.servers.free_port import free_port
from adapters.servers.login import Login
from adapters.servers.process import Processes, Program, ServerFailed, listens
from adapters.servers.rabbitmq import Member, RabbitServer
from adapters.servers.release import Release, chosen
from tests.chaos.clusters.nodes import NODES, Certificates, Nodes
from tests.handler.samples import until

NAMES = tuple(f"n{number + 1}@localhost" for number in range(NODES))
_START_SECONDS = 10.0


class RabbitCluster(Nodes[RabbitServer]):
    """`release`: None for the one that the environment chooses.

    With the plugin `rabbitmq_management`, `management` is the port of its API on each node.
    """

    scheme = "amqp"

    def __init__(
        self,
        directory: Path,
        *,
        login: Login | None = None,
        tls: Certificates | None = None,
        release: Release | None = None,
        plugins: Sequence[str] = (),
    ) -> None:
        self._release = release or chosen()
        self._peers: list[str] = []
        self._mapper_port, cookie = free_port(), secrets.token_hex(10)
        self._tls_ports = [free_port() for _ in range(NODES)] if tls else []
        self.management = [free_port() for _ in range(NODES)] if "rabbitmq_management" in plugins else []
        made = []
        for number, node in enumerate(NAMES):
            member = Member(node=node, peers=self._peers, mapper=self._mapper_port, cookie=cookie)
            made.append(
                RabbitServer(
                    directory / f"n{number + 1}",
                    port=free_port(),
                    login=login,
                    extra="\n".join(self._listeners(number, tls)),
                    listeners=[(tls.host(number), self._tls_ports[number])] if tls else [],
                    release=self._release,
                    plugins=plugins,
                    member=member,
                )
            )
        super().__init__(made, login=login, tls=tls)
        if tls:
            self.scheme = "amqps"
        self._mapper = Processes(directory / "epmd.log")

    def _listeners(self, number: int, tls: Certificates | None) -> list[str]:
        """Lines of rabbitmq.conf for what it listens on besides plain AMQP."""
        lines = []
        if tls:
            lines = [
                f"listeners.ssl.1 = {tls.host(number)}:{self._tls_ports[number]}",
                f"ssl_options.cacertfile = {tls.ca}",
                f"ssl_options.certfile = {tls.certificate(number)}",
                f"ssl_options.keyfile = {tls.key(number)}",
                "ssl_options.verify = verify_none",
                "ssl_options.fail_if_no_peer_cert = false",
            ]
        if self.management:
            lines += ["management.tcp.ip = 127.0.0.1", f"management.tcp.port = {self.management[number]}"]
        return lines

    async def start(self, *numbers: int) -> None:
        if self._mapper.pid is None:
            await self._start_mapper()
        # RabbitMQ 4 looks for each that is not there for half a minute.
        self._peers[:] = [NAMES[number] for number in sorted({*numbers} | self._running)] if numbers else NAMES
        await super().start(*numbers)

    async def _start_mapper(self) -> None:
        self.servers[0].directory.parent.mkdir(parents=True, exist_ok=True)
        environ = {"ERL_EPMD_ADDRESS": "127.0.0.1", "ERL_EPMD_PORT": str(self._mapper_port)}
        mapper = Program(name="epmd", command=(self._release.port_mapper(),), environ={**os.environ, **environ})
        await self._mapper.start([mapper], answers=lambda _: listens(self._mapper_port), within=_START_SECONDS)

    async def end(self) -> None:
        await super().end()
        await self._mapper.kill()

    def address(self, number: int) -> str:
        if self.tls:
            return f"{self.tls.host(number)}:{self._tls_ports[number]}"
        return super().address(number)

    @property
    def _before_host(self) -> str:
        return super()._before_host or "guest:guest@"

    async def complete(self) -> None:
        await self.one.ctl("await_online_nodes", str(len(self._running)))

    async def version(self) -> str:
        # Each tool takes a second or two.
        found = re.search(r"Starting RabbitMQ (\S+)", self.one.log.read_text(errors="replace"))
        assert found, "the node says its version when it starts"
        return found[1]

    async def leader(self, store: str) -> int:
        return NAMES.index((await self._queues("leader"))[store])

    async def members(self, store: str) -> int:
        return (await self._queues("members"))[store].count("@")

    async def _queues(self, column: str) -> dict[str, str]:
        """What `list_queues` says of each queue in this column."""
        rows: list[dict[str, object]] = json.loads(
            await self.one.ctl("list_queues", "--formatter", "json", "name", column)
        )
        return {str(row["name"]): str(row[column]) for row in rows}

    async def step_down(self, store: str) -> None:
        """Of a quorum queue."""
        target = NAMES[(await self.leader(store) + 1) % NODES]
        lookup = f'{{ok, Q}} = rabbit_amqqueue:lookup({{resource, <<"/">>, queue, <<"{store}">>}})'
        await self.one.ctl("eval", f"{lookup}, rabbit_quorum_queue:transfer_leadership(Q, '{target}').")

    async def spare(self) -> None:
        async def look() -> bool:
            try:
                for number in sorted(self._running):
                    await self.servers[number].ctl("check_if_node_is_quorum_critical", program="rabbitmq-diagnostics")
            except ServerFailed:
                return False
            return True

        await until(look)


@asynccontextmanager
async def rabbit_cluster(directory: Path, *, release: Release | None = None) -> AsyncIterator[RabbitCluster]:
    """Running for the length of the block."""
    made = RabbitCluster(directory, release=release)
    try:
        await made.start()
        yield made
    finally:
        await asyncio.shield(made.end())
