"""An installation of real processes that a test may kill, stop and start again. Nothing of it survives the test."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from adapters.base import Broker
from adapters.connect import connect as connect_broker
from adapters.servers.free_port import free_port
from adapters.servers.nats import NatsServer
from adapters.servers.rabbitmq import RabbitServer
from handler.local import stack as local
from handler.local.processes import Process, spawn
from k8s.api.cluster import Cluster, connect as connect_cluster
from tests.patience import PATIENCE

FAST = {
    "JOBRELAY_LEASE_SECONDS": "2",
    "JOBRELAY_LEASE_RENEW_SECONDS": "1.5",
    "JOBRELAY_LEASE_RETRY_SECONDS": "0.3",
    "JOBRELAY_LEASE_CALL_SECONDS": "1",
    "JOBRELAY_TTL_SECONDS": "3600",
}
"""A killed leader has a successor after three seconds, so that tests with many kills see many leaders."""
GO_SECONDS = 3.0
NATS, RABBITMQ = "nats", "rabbitmq"


async def output_of(process: asyncio.subprocess.Process) -> bytes:
    """What it has written to its standard output once it has ended; it is killed if it does not end in time."""
    try:
        async with asyncio.timeout(PATIENCE):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return output


class Installation:
    """Brokers, a development cluster and any number of `jobrelay run` on them. Use `installation()`."""

    def __init__(self, directory: Path, *, brokers: Sequence[str] = (NATS,), nats: str = "", rabbit: str = "") -> None:
        self.directory = directory
        self.nats = NatsServer(directory / "nats", extra=nats)
        self.rabbit = RabbitServer(directory / "rabbitmq", extra=rabbit)
        both: Mapping[str, NatsServer | RabbitServer] = {NATS: self.nats, RABBITMQ: self.rabbit}
        self.servers = {name: both[name] for name in brokers}
        self.kubeconfig = directory / "cluster" / "kubeconfig"
        self.relays: list[Process] = []
        self._cluster: Process | None = None

    @property
    def server(self) -> NatsServer | RabbitServer:
        """The broker; the first if there are several."""
        return next(iter(self.servers.values()))

    async def start_servers(self) -> None:
        for server in self.servers.values():
            await server.start()

    async def outlives_kill(self) -> None:
        """Wait until RabbitMQ, whose topology was just declared, has stored which queues it has.

        It does that only after a moment of rest. RabbitMQ 3.10, if killed before that, never finds its stream again.
        """
        wanted = {"coordination": b"rabbit_stream_coordinator", "quorum": b"jobrelay.probe"}
        data = self.rabbit.directory / "data"
        while not all(
            any(word in file.read_bytes() for file in data.glob(f"*/{kind}/*/names.dets"))
            for kind, word in wanted.items()
        ):
            await asyncio.sleep(0.05)

    # The cluster

    async def start_cluster(self) -> None:
        """Start the cluster, after the first time with its former state and port."""
        command = [sys.executable, "-P", "-m", "k8s.devcluster", "--directory", str(self.directory / "cluster")]
        command += ["--backoff", "0.5", "--bookmark-interval", "1"]
        if not self.kubeconfig.exists():
            command += ["--port", str(free_port())]
        log = self.directory / "cluster.log"
        process = self._cluster = await spawn("devcluster", command, log=log, environ=local.clean_environ())

        async def announced() -> bool:
            return "kubeconfig: " in process.output()

        await process.ready(announced, within=PATIENCE)

    async def kill_cluster(self) -> None:
        """Kill the cluster like a power cut, except that its containers run on, as on a real node."""
        assert self._cluster is not None
        self._cluster.kill()
        await self._cluster.wait()

    # jobrelay

    def environ(self, settings: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of a jobrelay process; `settings` override the defaults."""
        ours = {
            "JOBRELAY_SOURCES": ",".join(server.url for server in self.servers.values()),
            "JOBRELAY_KUBECONFIG": str(self.kubeconfig),
            "JOBRELAY_HTTP_ADDRESS": f"{local.LOOPBACK}:{free_port()}",
            "JOBRELAY_UI_ADDRESS": f"{local.LOOPBACK}:0",
        }
        return {**local.clean_environ(), **ours, **FAST, **(settings or {})}

    async def start_relay(
        self,
        settings: Mapping[str, str] | None = None,
        *,
        name: str = "jobrelay",
        wait: bool = True,
        command: Sequence[str] | None = None,
    ) -> Process:
        """Another `jobrelay run`, or `command` in its place; ready, unless `wait` is False."""
        environ = self.environ(settings)
        log = self.directory / f"{name}.log"
        process = await spawn(name, command or local.jobrelay("run"), log=log, environ=environ)
        self.relays.append(process)
        if wait:
            await process.ready(lambda: local.is_ready(environ["JOBRELAY_HTTP_ADDRESS"]), within=PATIENCE)
        return process

    # Connections of the test itself

    @asynccontextmanager
    async def broker(self, name: str | None = None) -> AsyncIterator[Broker]:
        """A connection to the broker of that name, or else to the first."""
        async with connect_broker((self.servers[name] if name else self.server).url) as connected:
            yield connected

    @asynccontextmanager
    async def cluster(self) -> AsyncIterator[Cluster]:
        async with connect_cluster(kubeconfig=self.kubeconfig) as connected:
            yield connected

    # The end

    async def stop(self) -> None:
        for relay in self.relays:
            if relay.exit_code is None:
                with suppress(ProcessLookupError):
                    os.kill(relay.pid, signal.SIGCONT)
                relay.kill()
            await relay.stop()
        if self._cluster is not None:
            if self._cluster.exit_code is not None:
                # Only a cluster that is stopped in order stops its containers.
                await self.start_cluster()
            await self._cluster.stop()
        for server in self.servers.values():
            await server.kill()


@asynccontextmanager
async def installation(
    directory: Path, *, brokers: Sequence[str] = (NATS,), nats: str = "", rabbit: str = ""
) -> AsyncIterator[Installation]:
    """Brokers and cluster, running; no jobrelay yet. `nats` and `rabbit` are appended to the brokers' configuration."""
    made = Installation(directory, brokers=brokers, nats=nats, rabbit=rabbit)
    try:
        await made.start_servers()
        await made.start_cluster()
        yield made
    finally:
        try:
            await made.stop()
        finally:
            left = await _left(directory)
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    assert not left, f"processes outlived the installation: {left}"


async def _left(directory: Path) -> Mapping[int, str]:
    """Those that do not end soon: Erlang's helpers end when they notice that their node was killed."""
    with suppress(TimeoutError):
        async with asyncio.timeout(GO_SECONDS):
            while survivors(directory):
                await asyncio.sleep(0.05)
    return survivors(directory)


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def survivors(directory: Path) -> Mapping[int, str]:
    """Processes that run in `directory`, or whose command or environment names it: process id to command line."""
    found = {}
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        with suppress(OSError):
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            here = (process / "cwd").readlink().is_relative_to(directory.resolve())
            named = f"{directory}/".encode() in (process / "environ").read_bytes()
            if here or named or f"{directory}/" in command:
                found[int(process.name)] = command[:200]
    return found
