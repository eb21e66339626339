"""`pods/<name>/log` over HTTP. How logs are stored is in kubelet/logs.py."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from aiohttp import web

from k8s.devcluster.api.target import flag, number
from k8s.devcluster.errors import bad_request
from k8s.devcluster.kubelet.logs import follow_log, read_log
from k8s.devcluster.resources import Obj
from k8s.devcluster.store.deletion import now


async def respond(request: web.BaseRequest, pod: Obj, directory: Path) -> web.StreamResponse:
    """Answer with the log as text: `tailLines`, `limitBytes`, `sinceSeconds`, `sinceTime`, `previous`, `follow`."""
    query = request.query
    container = _container(pod, query.get("container"))
    uid = pod["metadata"]["uid"]
    tail, since = number(query, "tailLines"), _since(query)
    if not flag(query, "follow"):
        content = read_log(
            directory,
            uid,
            container=container,
            tail=tail,
            limit=number(query, "limitBytes"),
            since=since,
            previous=flag(query, "previous"),
        )
        return web.Response(body=content, content_type="text/plain")
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    async for block in follow_log(directory, uid, container=container, tail=tail, since=since):
        await response.write(block)
    await response.write_eof()
    return response


def _container(pod: Obj, asked: str | None) -> str:
    """ApiError 400: there is no such container, or there are several and none is named."""
    name = pod["metadata"]["name"]
    names = [container["name"] for container in pod["spec"]["containers"]]
    if not asked and len(names) > 1:
        raise bad_request(f"a container name must be specified for pod {name}, choose one of: [{' '.join(names)}]")
    names += [container["name"] for container in pod["spec"].get("initContainers") or []]
    if asked and asked not in names:
        raise bad_request(f"container {asked} is not valid for pod {name}")
    return asked or names[0]


def _since(query: Mapping[str, str]) -> float | None:
    """Seconds since 1970."""
    seconds = number(query, "sinceSeconds")
    if seconds is not None:
        return now().timestamp() - seconds
    text = query.get("sinceTime")
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError as error:
        raise bad_request(f'sinceTime: Invalid value: "{text}"') from error
