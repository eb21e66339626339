"""A cluster and a broker to try jobrelay on: those that the environment names, else servers of our own.

On servers that were given, a run changes only what it creates: its namespace (or its Jobs in a given namespace) and its
streams or queues.
"""

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import orjson

from adapters.servers import nats as natsserver, rabbitmq as rabbitmqserver
from adapters.servers.free_port import free_port
from events.names import FINALIZER, Label
from handler.local.processes import Process, running
from handler.local.stack import clean_environ, jobrelay
from k8s.api.cluster import Cluster, connect as connect_cluster
from k8s.base import KubernetesError, NotFound
from k8s.election.lease import prepare_lease
from tests.e2e.observer import Observer
from tests.paths import ROOT
from tests.patience import PATIENCE

T = TypeVar("T")

NATS, RABBITMQ = "nats", "rabbitmq"
VARIABLES = {NATS: "NATS_URL", RABBITMQ: "RABBITMQ_URL"}
DEVCLUSTER = ("k8s.devcluster", "--backoff", "1", "--cron-minute", "3")
CLEAN_SECONDS = 180.0
"""How long deletions may take: pods have a grace period."""
NATS_MAX_BYTES = 64 << 20
"""Less than the default of 1 GiB: for many instances, a broker may not have that much to reserve."""
_ANNOUNCED = "kubeconfig: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """`own_cluster`, `own_broker`: started by us, only for this run. `source` is the URL of `broker`."""

    broker: str
    source: str
    kubeconfig: Path
    namespace: str
    cluster: Cluster
    directory: Path
    own_cluster: bool
    own_broker: bool
    image: str = "busybox:1"
    missing_image: str = "missing/image:1"
    server: Process | None = None
    """The API server, if it is our own."""
    instances: list[str] = field(default_factory=list)
    settings: Mapping[str, object] = field(default_factory=dict)
    """The defaults of every relay."""
    separate: bool = False
    """Handler and controller are separate processes."""
    program: Sequence[str] = field(default_factory=jobrelay)
    """The command `jobrelay`, without arguments."""

    @property
    def patience(self) -> float:
        """The factor by which things may take longer than on our own servers: a real cluster pulls images."""
        return 1.0 if self.own_cluster else 6.0

    @property
    def leading_role(self) -> str:
        """The role of a process that may lead."""
        return "controller" if self.separate else "both"

    @property
    def handling_role(self) -> str:
        """The role of a process that turns requests into Jobs."""
        return "handler" if self.separate else "both"

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that an installation needs."""
        return tuple(dict.fromkeys((self.leading_role, self.handling_role)))

    def new_instance(self) -> str:
        """A new, unique name of an installation. What an installation of that name creates is deleted at the end."""
        name = f"e2e-{secrets.token_hex(4)}"
        self.instances.append(name)
        return name

    @asynccontextmanager
    async def relay(self, instance: str, **settings: object) -> AsyncIterator["Relay"]:
        """A process `jobrelay run` that is ready. `settings`: fields of `Settings`."""
        async with self.starting(instance, **settings) as relay:
            await relay.process.ready(relay.is_ready, within=PATIENCE * self.patience)
            yield relay

    @asynccontextmanager
    async def starting(self, instance: str, **settings: object) -> AsyncIterator["Relay"]:
        """A process `jobrelay run` that may not be ready yet."""
        with suppress(KubernetesError):
            # The first of its leaders need not wait for one before it.
            await prepare_lease(self.cluster, namespace=self.namespace, name=instance)
        http = f"127.0.0.1:{free_port()}"
        given = {
            "sources": self.source,
            "kubeconfig": self.kubeconfig,
            "namespaces": self.namespace,
            "instance": instance,
            "http_address": http,
            "ui_address": "127.0.0.1:0",
            "nats_max_bytes": NATS_MAX_BYTES,
            "nats_lifecycle_bytes": NATS_MAX_BYTES,
            "nats_dead_bytes": NATS_MAX_BYTES // 4,
            # Off: the number of samples during a request depends on chance.
            "progress_seconds": 0,
            **self.settings,
            **settings,
        }
        environ = clean_environ() | {f"JOBRELAY_{name.upper()}": str(value) for name, value in given.items()}
        log = self.directory / "logs" / f"{instance}-{http.rpartition(':')[2]}.log"
        async with running("jobrelay", [*self.program, "run"], log=log, environ=environ) as process:
            yield Relay(process, f"http://{http}")

    @asynccontextmanager
    async def relays(self, instance: str, *roles: str, **settings: object) -> AsyncIterator[list["Relay"]]:
        """A ready process for each of these roles, started in this order: a handler waits for a controller."""
        async with AsyncExitStack() as stack:
            yield [await stack.enter_async_context(self.relay(instance, role=role, **settings)) for role in roles]

    @asynccontextmanager
    async def another_namespace(self, labels: dict[str, str]) -> AsyncIterator[str]:
        """A new namespace, deleted afterwards. Raises `KubernetesError` where we may not create one."""
        name = f"e2e-{secrets.token_hex(4)}"
        metadata = {"name": name, "labels": labels}
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        await self.cluster.client.request("POST", "/api/v1/namespaces", body=body)
        try:
            yield name
        finally:
            if not self.own_cluster:
                await _remove_finalizers(self, name)
                await _delete_namespace(self.cluster, name)

    @asynccontextmanager
    async def observer(self, instance: str) -> AsyncIterator[Observer]:
        """A client of this installation, with its own connection."""
        async with Observer.connected(self.source, instance) as observer:
            yield observer


class Relay:
    """A process `jobrelay run`."""

    def __init__(self, process: Process, url: str) -> None:
        self.process = process
        self.url = url

    async def is_ready(self) -> bool:
        return await self._get("/readyz") is not None

    async def leads(self) -> bool:
        return (await self.metrics()).get("jobrelay_leader") == 1.0

    async def report(self) -> dict[str, Any]:
        """What it says of itself."""
        found: dict[str, Any] = orjson.loads(await self._get("/healthz") or "{}")
        return found

    async def metrics(self) -> dict[str, float]:
        """Every sample, by its name with labels; empty while the process does not answer."""
        lines = (await self._get("/metrics") or "").splitlines()
        samples = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    async def _get(self, path: str) -> str | None:
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session,
                session.get(self.url + path) as answer,
            ):
                return await answer.text() if answer.status == 200 else None
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None


@asynccontextmanager
async def site(
    directory: Path, environ: Mapping[str, str], *, api_server: Sequence[str] = DEVCLUSTER, broker: str | None = NATS
) -> AsyncIterator[Site]:
    """A site by KUBECONFIG, NATS_URL or RABBITMQ_URL, E2E_NAMESPACE, E2E_IMAGE and E2E_MISSING_IMAGE of `environ`, each
    optional.

    `api_server`: module and arguments of our own API server. `broker` None: there is only the cluster. Everything that
    this run created is deleted afterwards.
    """
    async with AsyncExitStack() as stack:
        kubeconfig, server = Path(environ.get("KUBECONFIG") or "none"), None
        if not environ.get("KUBECONFIG"):
            server, kubeconfig = await stack.enter_async_context(_api_server(directory, api_server))
        cluster = await stack.enter_async_context(connect_cluster(kubeconfig=kubeconfig, user_agent="e2e"))
        namespace = await stack.enter_async_context(_namespace(cluster, environ, own=server is not None))
        without = Site(
            broker="",
            source="",
            kubeconfig=kubeconfig,
            namespace=namespace,
            cluster=cluster,
            directory=directory,
            own_cluster=server is not None,
            own_broker=True,
            image=environ.get("E2E_IMAGE") or "busybox:1",
            missing_image=environ.get("E2E_MISSING_IMAGE") or "missing/image:1",
            server=server,
        )
        yield await stack.enter_async_context(on_broker(without, environ, broker)) if broker else without


@asynccontextmanager
async def on_broker(other: Site, environ: Mapping[str, str], broker: str) -> AsyncIterator[Site]:
    """The cluster of `other` with this broker. What is created on it is deleted afterwards."""
    async with _source(other.directory, environ, broker) as source:
        own = not environ.get(VARIABLES[broker])
        found = replace(other, broker=broker, source=source, own_broker=own, instances=[])
        try:
            yield found
        finally:
            for instance in found.instances:
                await _remove(found, instance)


@asynccontextmanager
async def _source(directory: Path, environ: Mapping[str, str], broker: str) -> AsyncIterator[str]:
    if given := environ.get(VARIABLES[broker]):
        yield given
        return
    server = natsserver if broker == NATS else rabbitmqserver
    async with server.run(directory / broker) as started:
        yield started.url


@asynccontextmanager
async def _api_server(directory: Path, module: Sequence[str]) -> AsyncIterator[tuple[Process, Path]]:
    command = [sys.executable, "-P", "-m", *module, "--directory", str(directory / "cluster")]
    log = directory / "logs" / "cluster.log"
    # -P keeps the current directory, and with it tests/, off the path.
    environ = clean_environ() | {"PYTHONPATH": str(ROOT)}
    async with running("api server", command, log=log, environ=environ) as process:

        async def announced() -> bool:
            return _ANNOUNCED in process.output()

        await process.ready(announced, within=PATIENCE)
        line = next(line for line in process.output().splitlines() if line.startswith(_ANNOUNCED))
        yield process, Path(line.removeprefix(_ANNOUNCED).strip())


@asynccontextmanager
async def _namespace(cluster: Cluster, environ: Mapping[str, str], *, own: bool) -> AsyncIterator[str]:
    if given := environ.get("E2E_NAMESPACE"):
        yield given
        return
    name = f"e2e-{secrets.token_hex(4)}"
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    await cluster.client.request("POST", "/api/v1/namespaces", body=manifest)
    try:
        yield name
    finally:
        if not own:
            await _delete_namespace(cluster, name)


async def _delete_namespace(cluster: Cluster, name: str) -> None:
    await cluster.client.request("DELETE", f"/api/v1/namespaces/{name}")

    async def gone() -> bool:
        # A list, because the client takes the 404 of a GET for a namespace that it has to wait for.
        selector = {"labelSelector": f"kubernetes.io/metadata.name={name}"}
        found = orjson.loads(await cluster.client.request("GET", "/api/v1/namespaces", params=selector))
        return not found["items"]

    await until(gone, seconds=CLEAN_SECONDS)


async def _remove(site: Site, instance: str) -> None:
    """Delete what an installation leaves on purpose: Jobs, a Lease, streams. Not needed on servers of our own."""
    if not site.own_broker:
        async with Observer.connected(site.source, instance) as observer:
            await observer.wire.remove()
    if not site.own_cluster:
        await _remove_jobs(site, instance)


async def _remove_finalizers(site: Site, namespace: str, selector: str = "") -> None:
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": [FINALIZER]}}
    for job in await site.cluster.list_jobs(namespace, selector):
        with suppress(NotFound):
            await site.cluster.patch_job(namespace, job["metadata"]["name"], patch)
    for cron_job in await site.cluster.list_cron_jobs(namespace, selector):
        with suppress(NotFound):
            await site.cluster.patch_cron_job(namespace, cron_job["metadata"]["name"], patch)


async def _remove_jobs(site: Site, instance: str) -> None:
    selector = f"{Label.INSTANCE}={instance}"
    # CronJobs first: they would create more Jobs.
    for cron_job in await site.cluster.list_cron_jobs(site.namespace, selector):
        with suppress(NotFound):
            await site.cluster.delete_cron_job(site.namespace, cron_job["metadata"]["name"])
    await _remove_finalizers(site, site.namespace, selector)
    for job in await site.cluster.list_jobs(site.namespace, selector):
        with suppress(NotFound):
            await site.cluster.delete_job(site.namespace, job["metadata"]["name"])

    async def none_left() -> bool:
        return not await site.cluster.list_jobs(site.namespace, selector)

    await until(none_left, seconds=CLEAN_SECONDS)
    lease = f"/apis/coordination.k8s.io/v1/namespaces/{site.namespace}/leases/{instance}"
    with suppress(NotFound):
        await site.cluster.client.request("DELETE", lease)


async def until(look: Callable[[], Awaitable[T | None]], *, seconds: float, every: float = 0.05) -> T:
    """Return what `look` returns as soon as that is true. Raises `TimeoutError`."""
    async with asyncio.timeout(seconds):
        while not (found := await look()):
            await asyncio.sleep(every)
    return found
