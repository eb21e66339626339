"""HTTP answers: objects, rows of tables, and errors as Status bodies."""

from collections.abc import Callable

import msgspec
import orjson
from aiohttp import web
from multidict import CIMultiDict

from k8s.devcluster.api.call import Call
from k8s.devcluster.api.tables import partial, table
from k8s.devcluster.api.target import Target, verb
from k8s.devcluster.errors import ApiError
from k8s.devcluster.store.history import Version


class _Object(msgspec.Struct):
    metadata: msgspec.Raw


_OBJECT = msgspec.json.Decoder(_Object)


def row_renderer(call: Call) -> Callable[[Version], bytes]:
    include = call.request.query.get("includeObject", "Metadata")

    def render(version: Version) -> bytes:
        metadata = {"resourceVersion": str(version.number)}
        return orjson.dumps(table(call.target.kind.kind, [version.obj], metadata=metadata, include=include))

    return render


def metadata_of(version: Version) -> bytes:
    """The object as a PartialObjectMetadata."""
    return orjson.dumps(partial(orjson.Fragment(bytes(_OBJECT.decode(version.data).metadata))))


def json_answer(body: bytes, *, status: int = 200, warnings: list[str] | None = None) -> web.Response:
    headers: CIMultiDict[str] = CIMultiDict()
    for warning in warnings or []:
        quoted = warning.replace("\\", "\\\\").replace('"', '\\"')
        headers.add("Warning", f'299 - "{quoted}"')
    return web.Response(body=body, status=status, content_type="application/json", headers=headers)


def failure(error: ApiError) -> web.Response:
    response = json_answer(orjson.dumps(error.status()), status=error.code)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def refusal(user: str, target: Target | None, request: web.BaseRequest) -> ApiError:
    if target is None:
        message = f'forbidden: User "{user}" cannot {request.method.lower()} path "{request.path}"'
        return ApiError(403, "Forbidden", message, details={})
    kind = target.kind
    what = verb(target, request.method, request.query)
    place = f'in the namespace "{target.namespace}"' if target.namespace else "at the cluster scope"
    named = f' "{target.name}"' if target.name else ""
    message = (
        f'{kind.qualified}{named} is forbidden: User "{user}" cannot {what} resource "{kind.plural}" '
        f'in API group "{kind.group}" {place}'
    )
    details = {"name": target.name, "group": kind.group, "kind": kind.plural}
    return ApiError(403, "Forbidden", message, details={name: told for name, told in details.items() if told})
