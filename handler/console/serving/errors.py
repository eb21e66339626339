"""What goes wrong while a request is served, as an answer: JSON for programs (RFC 9457), a page for people."""

import logging
import uuid
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from adapters.base import BrokerUnavailable, TopicRefused
from handler.console.backend import UnknownBroker
from handler.console.http.problems import Fault, Problem
from handler.console.pages.errors import error_page
from handler.console.serving.headers import is_api
from handler.history.base import BadCursor, StoreUnavailable
from k8s.base import KubernetesError

logger = logging.getLogger(__name__)
CONTENT_TYPE = "application/problem+json"
RETRY_SECONDS = 5
"""After this long, whoever found something away may try again."""


@web.middleware
async def translate_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error as a `Problem`; one that nobody expected is logged with a reference that the answer has."""
    try:
        return await handler(request)
    except ConnectionError:  # whoever asked has gone
        raise
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        problem = _of_aiohttp(error)
        allowed = error.headers.get(hdrs.ALLOW)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is answered and logged
        problem, allowed = problem_of(error), None
    response = answer(request, problem)
    if allowed:
        response.headers[hdrs.ALLOW] = allowed
    return response


def problem_of(error: Exception) -> Problem:
    """What is wrong, in the words of the page. Logs what nobody expected."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, StoreUnavailable):
        return Problem(
            503, "HISTORY_UNAVAILABLE", f"The history cannot be read now: {error}", retry_after=RETRY_SECONDS
        )
    if isinstance(error, BrokerUnavailable):
        return Problem(
            503, "BROKER_UNAVAILABLE", f"The broker cannot be reached now: {error}", retry_after=RETRY_SECONDS
        )
    if isinstance(error, UnknownBroker):
        fault = Fault(path="broker", message="is none of ours", allowed=", ".join(error.names) or None)
        return Problem(404, "NOT_FOUND", "There is no broker of this name.", errors=[fault])
    if isinstance(error, TopicRefused):
        return Problem(422, "TOPIC_REFUSED", f"The broker does not take this: {error}")
    if isinstance(error, KubernetesError):
        detail = f"The cluster does not answer as it should: {error}"
        return Problem(503, "CLUSTER_UNAVAILABLE", detail, retry_after=RETRY_SECONDS)
    if isinstance(error, BadCursor):
        return Problem(400, "BAD_CURSOR", "The page token is not one of ours, or was made for other filters.")
    reference = uuid.uuid4().hex[:12]
    logger.error("a request to the page failed, reference %s", reference, exc_info=error)
    return Problem(500, "INTERNAL", f"Something went wrong that should not. The log says what, at {reference}.")


def answer(request: web.Request, problem: Problem) -> web.Response:
    """As JSON or as a page, whichever whoever asks can read."""
    headers = {} if problem.retry_after is None else {hdrs.RETRY_AFTER: str(problem.retry_after)}
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
    if is_api(request):
        body = orjson.dumps(document_of(problem))
        return web.Response(status=problem.status, body=body, content_type=CONTENT_TYPE, headers=headers)
    response = error_page(request, problem)
    response.headers.update(headers)
    return response


def document_of(problem: Problem) -> dict[str, Any]:
    """As RFC 9457 has it, with our `code` and `errors`."""
    found: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
    }
    if problem.errors:
        found["errors"] = [_fault(fault) for fault in problem.errors]
    return found


def _fault(fault: Fault) -> dict[str, str]:
    allowed = {} if fault.allowed is None else {"allowed": fault.allowed}
    return {"path": fault.path, "message": fault.message, **allowed}


def _of_aiohttp(error: web.HTTPException) -> Problem:
    if error.status == HTTPStatus.NOT_FOUND:
        return Problem(404, "NOT_FOUND", "There is nothing at this address.")
    if error.status == HTTPStatus.METHOD_NOT_ALLOWED:
        return Problem(405, "METHOD_NOT_ALLOWED", f"Only {error.headers.get(hdrs.ALLOW, 'GET')} can be asked here.")
    if error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return Problem(413, "TOO_LARGE", "The body is larger than 1 MiB.")
    return Problem(error.status, HTTPStatus(error.status).name, f"{error.reason}.")
