"""Reads a little from an API server, for whoever has less than a second: it tries nothing again and imports little.

What is asked for goes over connections of `k8s.api.http`; aiohttp is imported where there is a proxy only.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from events.names import Annotation, Label
from k8s.api.config import Access, load
from k8s.api.http.message import Heads, request
from k8s.api.http.pool import Pool
from k8s.base import Unavailable

PAGE = 500
"""Objects that are asked for at a time."""
_JSON = "application/json"
_LIST_OF_METADATA = f"{_JSON};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1, {_JSON}"
_SECONDS = 5.0
Get = Callable[[str, str], Awaitable[bytes]]
"""The body of the answer to a GET of this path and query, which are quoted, in this format."""


class Labels(msgspec.Struct, gc=False):
    """Those that say what an object is of."""

    name: str = msgspec.field(name=Label.NAME, default="")
    service: str = msgspec.field(name=Label.SERVICE, default="")


class Notes(msgspec.Struct, gc=False):
    """Annotations, of which all others are skipped."""

    id: str = msgspec.field(name=Annotation.ID, default="")
    source: str = msgspec.field(name=Annotation.SOURCE, default="")
    run: str = msgspec.field(name=Annotation.RUN, default="")


class Metadata(msgspec.Struct, gc=False, rename="camel"):
    """Of a Job, a CronJob, a Pod or a namespace."""

    name: str
    namespace: str = ""
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: Labels = msgspec.field(default_factory=Labels)
    annotations: Notes = msgspec.field(default_factory=Notes)
    finalizers: list[str] = msgspec.field(default_factory=list)


class Container(msgspec.Struct, gc=False):
    name: str


class PodSpec(msgspec.Struct, gc=False, rename="camel"):
    """The containers of a Pod."""

    containers: list[Container] = msgspec.field(default_factory=list)
    init_containers: list[Container] = msgspec.field(default_factory=list)


class Object(msgspec.Struct, gc=False):
    """Of those that are listed as their metadata, `spec` is empty."""

    metadata: Metadata
    spec: PodSpec = msgspec.field(default_factory=PodSpec)


class _ListMeta(msgspec.Struct, gc=False):
    next: str = msgspec.field(name="continue", default="")


class _List(msgspec.Struct, gc=False):
    items: list[Object]
    metadata: _ListMeta = msgspec.field(default_factory=_ListMeta)


_LIST = msgspec.json.Decoder(_List)


class Glance:
    """One API server, which is only asked. Methods raise `Unavailable` for whatever keeps them from an answer."""

    def __init__(self, get: Get, *, default_namespace: str) -> None:
        self._get = get
        self.default_namespace = default_namespace

    def jobs(self, namespace: str, selector: str) -> AsyncIterator[list[Metadata]]:
        """The metadata of the Jobs that the label selector matches, page by page."""
        return self._metadata(f"/apis/batch/v1/namespaces/{quote(namespace, safe='')}/jobs", selector)

    def cron_jobs(self, namespace: str, selector: str) -> AsyncIterator[list[Metadata]]:
        """What `jobs` does, for CronJobs."""
        return self._metadata(f"/apis/batch/v1/namespaces/{quote(namespace, safe='')}/cronjobs", selector)

    def namespaces(self) -> AsyncIterator[list[Metadata]]:
        """What `jobs` does, for all namespaces."""
        return self._metadata("/api/v1/namespaces", "")

    async def containers(self, namespace: str, selector: str) -> list[str]:
        """Names of containers, of init containers first, of the first Pods that the label selector matches."""
        params = {"labelSelector": selector, "limit": "20"}
        page = await self._page(f"/api/v1/namespaces/{quote(namespace, safe='')}/pods", params, accept=_JSON)
        specs = [pod.spec for pod in page.items]
        return [one.name for spec in specs for one in (*spec.init_containers, *spec.containers)]

    async def _metadata(self, path: str, selector: str) -> AsyncIterator[list[Metadata]]:
        params = {"labelSelector": selector, "limit": str(PAGE)}
        while True:
            page = await self._page(path, params, accept=_LIST_OF_METADATA)
            yield [item.metadata for item in page.items]
            if not page.metadata.next:
                return
            params["continue"] = page.metadata.next

    async def _page(self, path: str, params: Mapping[str, str], *, accept: str) -> _List:
        query = urlencode({name: value for name, value in params.items() if value}, quote_via=quote)
        try:
            return _LIST.decode(await self._get(f"{path}?{query}", accept))
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Unavailable(f"GET {path}: {error}") from error


@asynccontextmanager
async def glancing(
    *, kubeconfig: Path | None, context: str | None, environ: Mapping[str, str], user_agent: str
) -> AsyncIterator[Glance]:
    """The cluster that `k8s.api.cluster.connect` connects to. Raises `ConfigError`."""
    access = await load(kubeconfig, context, environ=environ)
    url = urlsplit(access.base_url)
    if access.proxy or url.username or not url.hostname:
        from k8s.api.client import open_client

        async with open_client(access, timeout=_SECONDS, user_agent=user_agent) as client:
            yield Glance(
                lambda target, accept: client.request("GET", target, accept=accept),
                default_namespace=access.namespace,
            )
        return
    port = url.port or (443 if url.scheme == "https" else 80)
    pool = Pool(url.hostname, port, tls=access.tls, server_name=access.server_name)
    heads = Heads(host=url.netloc, user_agent=user_agent)
    try:
        yield Glance(_through(pool, access, heads, url.path), default_namespace=access.namespace)
    finally:
        pool.close()


def _through(pool: Pool, access: Access, heads: Heads, root: str) -> Get:
    async def get(target: str, accept: str) -> bytes:
        asked = request("GET", f"{root}{target}", heads.fields(accept, "", access.authorization), None)
        until = asyncio.get_running_loop().time() + _SECONDS
        answer = await pool.request(asked, until=until, repeat=True)
        if answer.status != 200:
            raise Unavailable(f"GET {target}: {answer.status}")
        return answer.body

    return get
