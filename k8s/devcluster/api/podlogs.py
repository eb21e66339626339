"""`pods/<name>/log` over HTTP. How logs are stored is in kubelet/logs.py."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from aiohttp import web

from k8s.devcluster.api.target import flag, number
from k8s.devcluster.errors import FieldError, bad_request, forbidden_field, invalid, unprocessable
from k8s.devcluster.kubelet.logs import follow_log, read_log, run_of
from k8s.devcluster.resources import Obj, Resource
from k8s.devcluster.store.deletion import now
from k8s.devcluster.times import parse_time

OPTIONS = Resource(plural="podlogoptions", singular="podlogoptions", kind="PodLogOptions", group="", model="")


class Cut(TypedDict):
    """What of a log is asked for."""

    tail: int | None
    limit: int | None
    since: float | None
    timestamps: bool


async def respond(request: web.BaseRequest, pod: Obj, directory: Path) -> web.StreamResponse:
    """Answer with the log as text: `tailLines`, `limitBytes`, `since…`, `timestamps`, `previous`, `follow`."""
    query = request.query
    options = _Options(query, pod["metadata"]["name"])
    container = _container(pod, query.get("container"))
    uid = pod["metadata"]["uid"]
    previous = flag(query, "previous")
    if previous and run_of(directory, uid, container, previous=True) is None:
        raise bad_request(f'previous terminated container "{container}" in pod "{options.pod}" not found')
    if previous or not flag(query, "follow"):
        content = read_log(directory, uid, container=container, previous=previous, **options.cut)
        return web.Response(body=content, content_type="text/plain")
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    async for block in follow_log(directory, uid, container=container, **options.cut):
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


class _Options:
    """What of the log is asked for. ApiError 400: unreadable; 422: not allowed."""

    def __init__(self, query: Mapping[str, str], pod: str) -> None:
        self.pod = pod
        self._tail = number(query, "tailLines", signed=True)
        self._limit = number(query, "limitBytes", signed=True)
        self._seconds = number(query, "sinceSeconds", signed=True)
        self._time = _time(query.get("sinceTime"))
        self._timestamps = flag(query, "timestamps")
        if errors := self._errors():
            raise unprocessable(OPTIONS, pod, errors)

    @property
    def cut(self) -> Cut:
        """Arguments for `read_log` and `follow_log`."""
        since = self._time if self._seconds is None else now().timestamp() - self._seconds
        return {"tail": self._tail, "limit": self._limit, "since": since, "timestamps": self._timestamps}

    def _errors(self) -> list[FieldError]:
        errors = []
        if self._tail is not None and self._tail < 0:
            errors.append(invalid("tailLines", self._tail, "must be greater than or equal to 0"))
        if self._limit is not None and self._limit < 1:
            errors.append(invalid("limitBytes", self._limit, "must be greater than 0"))
        if self._seconds is not None and self._time is not None:
            errors.append(forbidden_field("[]", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
        elif self._seconds is not None and self._seconds < 1:
            errors.append(invalid("sinceSeconds", self._seconds, "must be greater than 0"))
        return errors


def _time(text: str | None) -> float | None:
    """Seconds since 1970. The API server passes no fractions on to the kubelet."""
    if not text:
        return None
    try:
        return float(int(parse_time(text)))
    except ValueError as error:
        raise bad_request(str(error)) from error
