"""Clients of the API server to compare with: plain aiohttp, and jobrelay's own."""

import ssl
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from io import BytesIO
from typing import Any, Protocol
from urllib.parse import urlencode

import aiohttp
import orjson
from kubernetes_asyncio import client as kubernetes, config

from k8s.api import client as ours
from k8s.api.cluster import METADATA_ONLY
from k8s.background import beside
from k8s.base import Manifest
from tests.e2e.site import Site

JSON = ours.JSON
STRICT = {"fieldManager": "jobrelay", "fieldValidation": "Strict"}
LARGE = 2**20
_QUERY = urlencode(STRICT)


class Client(Protocol):
    """Requests that write carry what jobrelay's carry, and get no more than metadata for an answer."""

    async def write(self, method: str, path: str, body: Manifest, *, content_type: str = JSON) -> bytes:
        """Send a body, and return that of the answer."""
        ...

    def watching(self, path: str, selector: str) -> AbstractAsyncContextManager[None]:
        """Until the block ends, read a watch, and discard what it brings."""
        ...


class Plain:
    """Requests by aiohttp, as anybody would write them."""

    def __init__(self, session: aiohttp.ClientSession, server: str) -> None:
        self._session = session
        self._server = server

    async def write(self, method: str, path: str, body: Manifest, *, content_type: str = JSON) -> bytes:
        url = f"{self._server}{path}?{_QUERY}"
        headers = {"Content-Type": content_type, "Accept": METADATA_ONLY}
        text = orjson.dumps(body)
        # aiohttp warns of more in one piece.
        data = text if len(text) <= LARGE else BytesIO(text)
        async with self._session.request(method, url, data=data, headers=headers) as answer:
            answer.raise_for_status()
            return await answer.read()

    @asynccontextmanager
    async def watching(self, path: str, selector: str) -> AsyncIterator[None]:
        params = {"labelSelector": selector, "watch": "1"}

        async def read() -> None:
            async with self._session.get(f"{self._server}{path}", params=params) as answer:
                async for _ in answer.content.iter_any():
                    pass

        async with beside(read()):
            yield


class Own:
    """Requests by jobrelay's client."""

    def __init__(self, client: ours.Client) -> None:
        self._client = client

    async def write(self, method: str, path: str, body: Manifest, *, content_type: str = JSON) -> bytes:
        return await self._client.request(
            method, path, params=STRICT, body=body, content_type=content_type, accept=METADATA_ONLY
        )

    @asynccontextmanager
    async def watching(self, path: str, selector: str) -> AsyncIterator[None]:
        params = {"labelSelector": selector, "watch": "1"}

        async def read() -> None:
            async with self._client.stream(path, params=params) as pieces:
                async for _ in pieces:
                    pass

        async with beside(read()):
            yield


@asynccontextmanager
async def plain(site: Site) -> AsyncIterator[Plain]:
    """One session, as many connections as there are requests at a time, the credentials of the kubeconfig."""
    found = await configuration_of(site)
    token = await found.get_api_key_with_prefix("BearerToken")
    headers = {"Authorization": token} if token else {}
    connector = aiohttp.TCPConnector(limit=0, ssl=_tls(found))
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        yield Plain(session, found.host.rstrip("/"))


async def configuration_of(site: Site) -> Any:
    """What the kubeconfig of the site says, as the official client reads it."""
    found = kubernetes.Configuration()
    await config.load_kube_config(str(site.kubeconfig), client_configuration=found)
    return found


def _tls(found: Any) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=found.ssl_ca_cert)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not found.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if found.cert_file:
        context.load_cert_chain(found.cert_file, found.key_file)
    return context


@asynccontextmanager
async def own(site: Site) -> AsyncIterator[Own]:
    """The client of the site, whose connections stay open."""
    yield Own(site.cluster.client)
