"""The store over HTTP: a single handler for all paths. The store applies the rules, controllers act on changes."""

import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

import orjson
from aiohttp import web
from multidict import CIMultiDict

from k8s.devcluster import discovery
from k8s.devcluster.api import podlogs
from k8s.devcluster.api.bodies import check_patched, check_place, parse_json, parse_object
from k8s.devcluster.api.eviction import evict
from k8s.devcluster.api.identity import ADMIN, Users
from k8s.devcluster.api.lists import read_page, write_page
from k8s.devcluster.api.patch import apply_patch
from k8s.devcluster.api.podmetrics import PodMetrics
from k8s.devcluster.api.selectors import Selector, compile_selector
from k8s.devcluster.api.tables import table
from k8s.devcluster.api.target import DeleteOptions, Target, dry_run, flag, number, parse_path, verb
from k8s.devcluster.api.watch import Watch, WatchOptions
from k8s.devcluster.errors import ApiError, bad_request, invalid, unprocessable
from k8s.devcluster.resources import POD_METRICS, Obj
from k8s.devcluster.rules import pod_admission
from k8s.devcluster.store.history import Version
from k8s.devcluster.store.store import Store

logger = logging.getLogger(__name__)

HEALTH = ("/healthz", "/livez", "/readyz")
DEFAULT_WATCH_SECONDS = 3000.0


@dataclass(frozen=True, slots=True)
class Call:
    """A request for a resource, parsed: what the verbs below need of it."""

    request: web.BaseRequest
    target: Target
    warnings: list[str] = field(default_factory=list)

    @property
    def query(self) -> dict[str, str]:
        return dict(self.request.query)

    def selector(self) -> Selector | None:
        query = self.request.query
        return compile_selector(self.target.kind, query.get("labelSelector"), query.get("fieldSelector"))

    @property
    def content_type(self) -> str:
        return self.request.headers.get("Content-Type", "").partition(";")[0].strip()

    @property
    def as_table(self) -> bool:
        return "as=Table" in self.request.headers.get("Accept", "")


class Api:
    """`await api(request)` answers any request. Errors become Status bodies."""

    def __init__(
        self, store: Store, directory: Path, users: Users, *, bookmark_interval: float, metrics: PodMetrics | None
    ) -> None:
        """`metrics` None: metrics.k8s.io is not served, which is so on a cluster without a metrics server."""
        self._store = store
        self._directory = directory
        self._users = users
        self._bookmark_interval = bookmark_interval
        self._metrics = metrics
        self._verbs: dict[str, Callable[[Call], Awaitable[web.StreamResponse]]] = {
            "create": self._create,
            "delete": self._delete,
            "deletecollection": self._delete_collection,
            "get": self._get,
            "list": self._list,
            "patch": self._patch,
            "update": self._update,
            "watch": self._watch,
        }

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            response = await self._answer(request)
            # Before answering: a crash must not take back what a client has been told.
            await self._store.committed()
        except ApiError as error:
            return _failure(error)
        except web.HTTPRequestEntityTooLarge:
            return _failure(ApiError(413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728"))
        except ConnectionError:
            raise
        except Exception as error:
            logger.exception("request failed: %s %s", request.method, request.path)
            return _failure(ApiError(500, "InternalError", f"Internal error occurred: {error}", details={}))
        return response

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        user = self._users.name(request.headers.get("Authorization"))
        if user is None:
            raise ApiError(401, "Unauthorized", "Unauthorized")
        if path in HEALTH:
            return web.Response(text="ok")
        target = self._target(path)
        if user != ADMIN:
            raise _refused(user, target, request)
        if target is not None:
            return await self._verbs[verb(target, request.method, request.query)](Call(request, target))
        document = discovery.answer(path.rstrip("/"), request.host, metrics=self._metrics is not None)
        if document is None:
            return web.Response(text="404 page not found\n", status=404)
        return _json(orjson.dumps(document))

    def _target(self, path: str) -> Target | None:
        target = parse_path(path)
        return None if target is not None and target.kind is POD_METRICS and self._metrics is None else target

    async def _get(self, call: Call) -> web.StreamResponse:
        target = call.target
        if target.kind is POD_METRICS and self._metrics is not None:
            return _json(orjson.dumps(await self._metrics.read(target)))
        version = self._store.current(target.kind.plural, target.place, target.name or "")
        if target.subresource == "log":
            return await podlogs.respond(call.request, version.obj, self._directory)
        return self._object(call, version)

    async def _list(self, call: Call) -> web.StreamResponse:
        if call.target.kind is POD_METRICS and self._metrics is not None:
            return _json(orjson.dumps(await self._metrics.select(call.target, call.query)))
        page = read_page(self._store, call.target, call.selector(), call.query)
        if not call.as_table:
            return _json(write_page(call.target, page))
        objects = [version.obj for version in page.versions]
        include = call.request.query.get("includeObject", "Metadata")
        return _json(
            orjson.dumps(table(call.target.kind.kind, objects, metadata=page.metadata, include=include)),
        )

    async def _watch(self, call: Call) -> web.StreamResponse:
        query = call.request.query
        options = WatchOptions(
            namespace=call.target.namespace,
            selector=call.selector(),
            since=self._since(call),
            initial_end=flag(query, "sendInitialEvents"),
            bookmarks=flag(query, "allowWatchBookmarks"),
            bookmark_interval=self._bookmark_interval,
            timeout=number(query, "timeoutSeconds") or DEFAULT_WATCH_SECONDS,
            render=_row_renderer(call) if call.as_table else None,
        )
        await self._store.committed()
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(call.request)
        async with aclosing(Watch(self._store, call.target.kind, options).lines()) as chunks:
            async for chunk in chunks:
                await response.write(chunk)
        await response.write_eof()
        return response

    def _since(self, call: Call) -> int | None:
        asked = number(call.request.query, "resourceVersion")
        initial = call.request.query.get("sendInitialEvents")
        if initial is not None:
            return None if flag(call.request.query, "sendInitialEvents") else asked or self._store.version
        return asked or None

    async def _evict(self, call: Call) -> web.StreamResponse:
        raw = await call.request.read()
        body = parse_json(raw) if raw else {}
        options = DeleteOptions.parse(call.query, (body or {}).get("deleteOptions") or {})
        evict(self._store, (call.target.place, call.target.name or ""), options)
        answer = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
        return _json(orjson.dumps(answer), status=201)

    async def _create(self, call: Call) -> web.StreamResponse:
        if call.target.subresource == "eviction":
            return await self._evict(call)
        obj = await self._body(call)
        check_place(call.target, obj)
        dry = dry_run(call.request.query, {})
        version = self._store.create_version(call.target.kind.plural, obj, dry_run=dry)
        return self._object(call, version, status=201)

    async def _update(self, call: Call) -> web.StreamResponse:
        target = call.target
        obj = await self._body(call)
        check_place(target, obj)
        if target.kind.kind == "Lease" and not obj["metadata"].get("resourceVersion"):
            error = invalid("metadata.resourceVersion", 0, "must be specified for an update")
            raise unprocessable(target.kind, target.name or "", [error])
        return self._replace(call, obj)

    async def _patch(self, call: Call) -> web.StreamResponse:
        target = call.target
        patch = parse_json(await call.request.read())
        current = self._store.current(target.kind.plural, target.place, target.name or "")
        patched = apply_patch(call.content_type, current.copy(), patch)
        obj, warnings = check_patched(target.kind, patched, validation=_validation(call))
        call.warnings.extend(warnings)
        check_place(target, obj)
        return self._replace(call, obj)

    def _replace(self, call: Call, obj: Obj) -> web.StreamResponse:
        version = self._store.update_version(
            call.target.kind.plural,
            obj,
            subresource=call.target.subresource,
            dry_run=dry_run(call.request.query, {}),
        )
        return self._object(call, version)

    async def _delete(self, call: Call) -> web.StreamResponse:
        options = await self._delete_options(call)
        target = call.target
        answer = self._remove(call, (target.place, target.name or ""), options)
        return _json(orjson.dumps(answer))

    async def _delete_collection(self, call: Call) -> web.StreamResponse:
        options = await self._delete_options(call)
        page = read_page(self._store, call.target, call.selector(), call.query)
        for version in page.versions:
            self._remove(call, version.key, options)
        return _json(write_page(call.target, page))

    def _remove(self, call: Call, key: tuple[str, str], options: DeleteOptions) -> Obj:
        return self._store.delete(
            call.target.kind.plural,
            *key,
            propagation=options.propagation,
            grace=options.grace,
            uid=options.uid,
            resource_version=options.resource_version,
            dry_run=options.dry_run,
        )

    async def _delete_options(self, call: Call) -> DeleteOptions:
        raw = await call.request.read()
        body = parse_json(raw) if raw else {}
        if not isinstance(body, dict):
            raise bad_request("the body of a DELETE must be DeleteOptions")
        return DeleteOptions.parse(call.query, body)

    async def _body(self, call: Call) -> Obj:
        raw = await call.request.read()
        obj, warnings = parse_object(
            call.target.kind, raw, content_type=call.content_type, validation=_validation(call)
        )
        call.warnings.extend(warnings)
        return obj

    def _object(self, call: Call, version: Version, *, status: int = 200) -> web.Response:
        if call.as_table and call.request.method == "GET":
            return _json(_row_renderer(call)(version))
        told = [] if call.request.method == "GET" else self._security_warnings(version)
        return _json(version.data, status=status, warnings=call.warnings + told)

    def _security_warnings(self, version: Version) -> list[str]:
        namespace = self._store.shelf("namespaces").versions.get(("", version.key[0]))
        return pod_admission.warnings(version.obj, None if namespace is None else namespace.obj)


def _row_renderer(call: Call) -> Callable[[Version], bytes]:
    include = call.request.query.get("includeObject", "Metadata")

    def render(version: Version) -> bytes:
        metadata = {"resourceVersion": str(version.number)}
        return orjson.dumps(table(call.target.kind.kind, [version.obj], metadata=metadata, include=include))

    return render


def _validation(call: Call) -> str:
    return call.request.query.get("fieldValidation") or "Warn"


def _json(body: bytes, *, status: int = 200, warnings: list[str] | None = None) -> web.Response:
    headers: CIMultiDict[str] = CIMultiDict()
    for warning in warnings or []:
        quoted = warning.replace("\\", "\\\\").replace('"', '\\"')
        headers.add("Warning", f'299 - "{quoted}"')
    return web.Response(body=body, status=status, content_type="application/json", headers=headers)


def _failure(error: ApiError) -> web.Response:
    response = _json(orjson.dumps(error.status()), status=error.code)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def _refused(user: str, target: Target | None, request: web.BaseRequest) -> ApiError:
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
