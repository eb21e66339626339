"""A log as it is: bytes, streamed as text that no browser takes for anything else."""

from contextlib import suppress

from aiohttp import web

from handler.console.http.keys import BACKEND
from handler.console.http.parameters import number_of, query_of
from handler.console.http.problems import Problem
from handler.console.views.logbytes import NONE, opened_log
from handler.console.views.logs import LogQuery, place_of
from handler.history.base import StoreUnavailable
from k8s.base import KubernetesError

BROKE_OFF = b"\n[jobrelay: the log broke off here; try again]\n"


async def stream_log(request: web.Request) -> web.StreamResponse:
    """The whole log of a container, or its last lines. Raises `Problem` where there is none."""
    query, backend = query_of(request, LogQuery), request.app[BACKEND]
    place = await place_of(backend, number_of(request), query)
    if place is None:
        raise Problem(404, "NOT_FOUND", "No pod of the request is known yet.")
    async with opened_log(backend, place, tail=query.tail) as log:
        if log.origin == NONE:
            raise Problem(404, "NOT_FOUND", log.note)
        response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
        await response.prepare(request)
        with suppress(ConnectionError):
            try:
                async for piece in log.pieces:
                    await response.write(piece)
            except (KubernetesError, StoreUnavailable):
                await response.write(BROKE_OFF)
            await response.write_eof()
    return response
