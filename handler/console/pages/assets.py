"""Files that pages refer to, under names that change with what is in them: kept for a year, never stale."""

import gzip
import hashlib
import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from aiohttp import web
from aiohttp.hdrs import ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY

from handler.console.http.problems import Problem

_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
"""By the ending of a name: the files of the folder `static` that are served."""
_FOREVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    """A file. `name`: with the hash of its content, as `console.1a2b3c4d5e.css`. `packed`: in gzip."""

    name: str
    content_type: str
    body: bytes
    packed: bytes
    etag: str


@cache
def assets() -> Mapping[str, Asset]:
    """All files, by their names without hashes."""
    folder = importlib.resources.files("handler.console.pages") / "static"
    files = (file for file in folder.iterdir() if file.name.rpartition(".")[2] in _TYPES)
    return {file.name: _asset(file.name, _terse(file.name, file.read_bytes())) for file in files}


def path_of(name: str) -> str:
    """Where this file is, without the base path. Raises `KeyError` for one that there is not."""
    return f"/static/{assets()[name].name}"


def routes() -> list[web.RouteDef]:
    """The files. Whoever may not see a page may see these: they hold nothing of anybody."""
    return [web.get("/static/{name}", _serve)]


def _terse(name: str, body: bytes) -> bytes:
    """A script without lines that are comments, and without what lines begin with; anything else as it is."""
    if not name.endswith(".js"):
        return body
    lines = (line.strip() for line in body.splitlines())
    return b"\n".join(line for line in lines if not line.startswith(b"//"))


def _asset(name: str, body: bytes) -> Asset:
    stem, _, ending = name.rpartition(".")
    digest = hashlib.sha256(body).hexdigest()[:10]
    packed = gzip.compress(body, compresslevel=9, mtime=0)
    return Asset(f"{stem}.{digest}.{ending}", _TYPES[ending], body, packed, f'"{digest}"')


@cache
def _by_served_name() -> Mapping[str, Asset]:
    return {asset.name: asset for asset in assets().values()}


async def _serve(request: web.Request) -> web.StreamResponse:
    asset = _by_served_name().get(request.match_info["name"])
    if asset is None:
        # A page of another version asked for it, during an update.
        raise Problem(404, "NOT_FOUND", "There is no such file. Reload the page.")
    headers = {CACHE_CONTROL: _FOREVER, ETAG: asset.etag, VARY: ACCEPT_ENCODING}
    if asset.etag in request.headers.get(IF_NONE_MATCH, ""):
        return web.Response(status=304, headers=headers)
    headers[CONTENT_TYPE] = asset.content_type
    if "gzip" not in request.headers.get(ACCEPT_ENCODING, ""):
        return web.Response(body=asset.body, headers=headers)
    return web.Response(body=asset.packed, headers=headers | {CONTENT_ENCODING: "gzip"})
