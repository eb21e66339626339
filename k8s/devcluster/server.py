"""The whole development cluster as a single `async with`: store, API over TLS, controllers.

Loopback only: it runs the commands it is sent.
"""

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from k8s.devcluster import loops
from k8s.devcluster.api.api import Api
from k8s.devcluster.api.audit import Handler, audited
from k8s.devcluster.api.identity import Identity, Users, identity, write_kubeconfig, write_private
from k8s.devcluster.api.podmetrics import PodMetrics
from k8s.devcluster.kubelet import processes
from k8s.devcluster.resources import RESOURCES
from k8s.devcluster.store.store import Store

BODY_LIMIT = 3 * 1024 * 1024
COMPACT_EVERY = 5.0
SHUTDOWN_SECONDS = 0.5
BACKLOG = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """Durations in seconds. `history`: changes of each kind kept for watches, for at most `history_age`.

    `metrics`: serve metrics.k8s.io, if the system can tell what processes use. `restricted`: user names by bearer
    token, for users who may do nothing. `running`: options of the controllers. `audit`: a file to log all requests in.
    """

    history: int = 20_000
    history_age: float = 300.0
    bookmark_interval: float = 60.0
    metrics: bool = True
    restricted: Mapping[str, str] = field(default_factory=dict)
    running: loops.Options = field(default_factory=loops.Options)
    audit: Path | None = None


@dataclass(frozen=True, slots=True)
class DevCluster:
    """A running cluster: `url` (https), the administrator's bearer `token`, paths of kubeconfig and CA."""

    url: str
    token: str
    kubeconfig: Path
    ca: Path


@asynccontextmanager
async def serve(
    directory: Path, *, host: str = "127.0.0.1", port: int = 0, options: ServerOptions | None = None
) -> AsyncIterator[DevCluster]:
    """Run the cluster whose state is in `directory` (created if missing), until the block ends.

    `port` 0: the port that it had before, else a free port. ValueError: `host` is not loopback. OSError: `port` is
    taken, or another process serves this directory.
    """
    options = options or ServerOptions()
    if not _is_loopback(host):
        raise ValueError(f"{host} is not a loopback address: this server runs the commands it is sent")
    directory = _prepared(directory)
    store = Store(directory, history=options.history, history_age=options.history_age)
    with contextlib.closing(store):
        who = identity(directory, host=host)
        users = Users(who.token, options.restricted)
        metrics = PodMetrics(store, directory) if options.metrics and processes.available() else None
        api = Api(store, directory, users, bookmark_interval=options.bookmark_interval, metrics=metrics)
        with _bind(directory, host, port) as listener, audited(api, users, options.audit) as handler:
            cluster = _describe(directory, listener, who)
            async with _listening(handler, listener, who), _background(store, directory, options):
                yield cluster


@asynccontextmanager
async def _background(store: Store, directory: Path, options: ServerOptions) -> AsyncIterator[None]:
    """Runs the loops of the cluster. A loop that fails ends the cluster; exceptions of the block pass unchanged."""
    failure: Exception | None = None
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(loops.run(store, directory, options.running)),
            group.create_task(_compact(store, every=min(COMPACT_EVERY, options.history_age))),
        ]
        try:
            yield
        except Exception as error:  # noqa: BLE001 raised again outside the group, which would wrap it
            failure = error
        finally:
            for task in tasks:
                task.cancel()
    if failure is not None:
        raise failure


async def _compact(store: Store, *, every: float) -> None:
    while True:
        await asyncio.sleep(every)
        for name in RESOURCES:
            store.shelf(name).history.compact()


@asynccontextmanager
async def _listening(handler: Handler, listener: socket.socket, who: Identity) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()

    def make_request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=BODY_LIMIT)

    # handler_cancellation: a client that hangs up ends its watch at once.
    server = web.Server(handler, request_factory=make_request, handler_cancellation=True, access_log=None)
    runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        site = web.SockSite(runner, listener, ssl_context=who.context, backlog=BACKLOG)
        await site.start()
        yield
    finally:
        await runner.cleanup()


def _prepared(directory: Path) -> Path:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory.resolve()


def _describe(directory: Path, listener: socket.socket, who: Identity) -> DevCluster:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    cluster = DevCluster(
        url=f"https://{shown}:{port}",
        token=who.token,
        kubeconfig=directory / "kubeconfig",
        ca=directory / "ca.crt",
    )
    write_kubeconfig(cluster.kubeconfig, url=cluster.url, who=who)
    return cluster


def _bind(directory: Path, host: str, port: int) -> socket.socket:
    remembered = directory / "port"
    before = int(remembered.read_text()) if not port and remembered.exists() else 0
    try:
        listener = _listen(host, port or before)
    except OSError:
        if port or not before:
            raise
        listener = _listen(host, 0)  # Somebody else uses that port by now.
    write_private(remembered, str(listener.getsockname()[1]).encode())
    return listener


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
