"""An installation on this machine: broker, development cluster and jobrelay as processes. Not for production."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from adapters.connect import missing as missing_client
from adapters.registry import BY_NAME
from adapters.servers.free_port import free_port
from adapters.servers.local import SERVERS
from adapters.servers.login import login_in
from adapters.servers.process import ServerFailed
from events.names import DEFAULT_INSTANCE
from handler.local.page import LocalPage, page_in
from handler.local.processes import Process, StartFailed, running, spawn
from handler.settings.connections import cluster_of, namespaces_of
from handler.settings.settings import Settings
from k8s.election.lease import prepare_lease

START_SECONDS = 30.0
LOOPBACK = "127.0.0.1"
_READY_LINE = "kubeconfig: "
_GRACE = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The ports to try first. If a port is in use, or 0, any free port is taken."""

    broker: int = 0
    http: int = 0
    cluster: int = 0
    page: int = 0


def usual_ports(broker: str) -> Ports:
    """The ports that people expect."""
    return Ports(broker=BY_NAME[broker].port, http=8080, page=8081)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A running installation. `environ`: the settings by which `jobrelay` commands reach it.

    `console`: the address of the process that keeps the history, `history` the URL of its database, `page` what it
    serves; None where there is none.
    """

    directory: Path
    source: str
    kubeconfig: Path
    http: str
    instance: str
    processes: tuple[Process, ...]
    history: str | None = None
    console: str | None = None
    page: LocalPage | None = None

    @property
    def environ(self) -> dict[str, str]:
        found = {
            "JOBRELAY_SOURCES": self.source,
            "JOBRELAY_KUBECONFIG": str(self.kubeconfig),
            "JOBRELAY_INSTANCE": self.instance,
        }
        return found if self.history is None else {**found, "JOBRELAY_HISTORY": self.history}

    def process(self, name: str) -> Process:
        """A process by its name: `nats-server` or `rabbitmq-server`, `devcluster`, `jobrelay`, `console`."""
        return next(process for process in self.processes if process.name == name)

    async def records(self) -> None:
        """Wait until the console, if there is one, records. Raises `StartFailed`."""
        if self.console is not None:
            address = self.console
            await self.process("console").ready(lambda: _records(address), within=START_SECONDS)

    async def first_end(self) -> Process:
        """Wait until any of the processes ends. Returns that process."""
        waiting = {asyncio.ensure_future(process.wait()): process for process in self.processes}
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
        return waiting[done.pop()]


def missing(broker: str) -> str | None:
    """What has to be installed for `start`; None for nothing. The production image lacks the development cluster."""
    if find_spec("k8s.devcluster") is not None and find_spec("trustme") is not None:
        return missing_client(BY_NAME[broker])
    return "the development cluster needs the extra [local], not in the image: pip install 'jobrelay[local]'"


@asynccontextmanager
async def start(
    directory: Path,
    *,
    broker: str = "nats",
    ports: Ports = Ports(),
    settings: Mapping[str, str] | None = None,
    instance: str = DEFAULT_INSTANCE,
    console: bool = False,
) -> AsyncIterator[Stack]:
    """A running installation with its state below `directory`; its parts are stopped in reverse order at the end.

    `broker`: a key of `SERVERS`. `settings`: further settings of jobrelay. `console`: keep the history, too, and serve
    the page, which needs the extra [console]; nothing waits until that is ready. Raises `StartFailed`.
    """
    directory = _created(directory)
    async with AsyncExitStack() as stack:
        server, source = await _broker(stack, directory, broker, free_port(ports.broker))
        cluster, kubeconfig = await _cluster(stack, directory, ports.cluster)
        http = f"{LOOPBACK}:{free_port(ports.http)}"
        so_far = Stack(
            directory=directory,
            source=source,
            kubeconfig=kubeconfig,
            http=f"http://{http}",
            instance=instance,
            processes=(server, cluster),
            history=f"sqlite://{directory / 'history.db'}" if console else None,
            console=f"{LOOPBACK}:{free_port(0)}" if console else None,
            page=page_in(directory / "page", address=f"{LOOPBACK}:{free_port(ports.page)}") if console else None,
        )
        environ = {**clean_environ(), **so_far.environ, **(settings or {})}
        await _prepare(so_far)
        ours = await _jobrelay(stack, so_far, environ, http)
        yield replace(so_far, processes=(server, cluster, *ours))


def _created(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    # Whoever can talk to the broker or the cluster runs commands as this user: what is in it is nobody else's affair.
    directory.chmod(0o700)
    return directory.absolute()


def clean_environ() -> dict[str, str]:
    """The environment of this process without the user's settings of jobrelay, which mean another installation."""
    ours = ("JOBRELAY_", "KUBECONFIG")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "PYTHONUNBUFFERED": "1"}


def jobrelay(*arguments: str) -> list[str]:
    """The command line that runs the jobrelay of this process."""
    return [sys.executable, "-P", "-c", "import sys; from handler.cli.main import main; sys.exit(main())", *arguments]


async def _broker(stack: AsyncExitStack, directory: Path, broker: str, port: int) -> tuple[Process, str]:
    server = SERVERS[broker](directory / broker, port=port, login=login_in(directory / broker, user="jobrelay"))
    try:
        *others, main = server.prepare()
    except ServerFailed as error:
        raise StartFailed(str(error)) from error
    logs = directory / "logs"
    for program in others:
        log = logs / f"{program.name}.log"
        await stack.enter_async_context(running(program.name, program.command, log=log, environ=program.environ))
    log = logs / f"{broker}.log"
    process = await stack.enter_async_context(running(main.name, main.command, log=log, environ=main.environ))
    await process.ready(lambda: server.answers(process.pid), within=server.start_seconds)
    return process, server.url


async def _cluster(stack: AsyncExitStack, directory: Path, port: int) -> tuple[Process, Path]:
    command = [sys.executable, "-P", "-m", "k8s.devcluster", "--directory", str(directory / "cluster")]
    if port:
        command += ["--port", str(port)]
    log = directory / "logs" / "cluster.log"
    process = await stack.enter_async_context(running("devcluster", command, log=log, environ=clean_environ()))
    stack.push_async_callback(_stop_cluster, process, command, log)
    await process.ready(lambda: _is_serving(process), within=START_SECONDS)
    kubeconfig = _kubeconfig(process)
    if kubeconfig is None:
        raise StartFailed(f"devcluster took back its kubeconfig:\n{process.tail()}")
    return process, kubeconfig


async def _is_serving(process: Process) -> bool:
    return _kubeconfig(process) is not None


def _kubeconfig(process: Process) -> Path | None:
    """Where the cluster says that its kubeconfig is; None until it serves."""
    for line in process.output().splitlines(keepends=True):
        if line.startswith(_READY_LINE) and line.endswith("\n"):
            return Path(line.removeprefix(_READY_LINE).strip())
    return None


async def _stop_cluster(process: Process, command: list[str], log: Path) -> None:
    """Stop the cluster. If it crashed, its containers still run, as on a real node: start it once more to end them."""
    crashed = process.exit_code is not None
    await process.stop(grace=_GRACE)
    if not crashed and process.exit_code == 0:
        return
    again = await spawn("devcluster", command, log=log, environ=clean_environ())
    try:
        with suppress(StartFailed):
            await again.ready(lambda: _is_serving(again), within=_GRACE)
    finally:
        await again.stop(grace=_GRACE)


async def _prepare(stack: Stack) -> None:
    """Nobody has led an installation whose cluster has no Lease: jobrelay need not wait for a former leader."""
    settings = Settings.from_env(stack.environ)
    async with cluster_of(settings) as cluster:
        await prepare_lease(cluster, namespace=namespaces_of(settings, cluster)[0], name=settings.instance)


async def _jobrelay(stack: AsyncExitStack, so_far: Stack, environ: Mapping[str, str], http: str) -> tuple[Process, ...]:
    """What turns requests into events, ready, and what keeps the history and shows it, where that is so."""

    page = {} if so_far.page is None else so_far.page.environ

    async def run(name: str, address: str, *arguments: str) -> Process:
        log = so_far.directory / "logs" / f"{name}.log"
        given = {**environ, "JOBRELAY_HTTP_ADDRESS": address, **page}
        return await stack.enter_async_context(running(name, jobrelay("run", *arguments), log=log, environ=given))

    # Begun first, so that it ends last and records what the others do at their end.
    consoles = () if so_far.console is None else (await run("console", so_far.console, "--role", "console"),)
    relay = await run("jobrelay", http)
    await relay.ready(lambda: _leads(http), within=START_SECONDS)
    return relay, *consoles


async def is_ready(http: str) -> bool:
    """Whether jobrelay at `host:port` is ready, leading or not."""
    return (await _report(http)).get("ready") is True


async def _leads(http: str) -> bool:
    """Whether it is ready and leads: before that, requests would wait."""
    report = await _report(http)
    return report.get("ready") is True and report.get("leading") is True


async def _records(http: str) -> bool:
    """Whether it is ready and records: before that, it would miss logs of pods that are gone at once."""
    report = await _report(http)
    return report.get("ready") is True and report.get("recording") is True


async def _report(http: str) -> dict[str, object]:
    answer = await _exchange(http, f"GET /healthz HTTP/1.0\r\nHost: {http}\r\n\r\n".encode())
    try:
        report = json.loads(answer.rpartition(b"\r\n\r\n")[2])
    except ValueError:
        return {}
    return report if isinstance(report, dict) else {}


async def _exchange(address: str, request: bytes) -> bytes:
    """Send a request. Returns all that the server answers; nothing if no server listens, or it takes over 2 s."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                writer.write(request)
                return await reader.read()
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
    except OSError:  # TimeoutError is an OSError, too
        return b""
