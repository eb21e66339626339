"""The store over HTTP: a single handler for all paths. The store applies the rules, controllers act on changes."""

import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import orjson
from aiohttp import web

from k8s.devcluster import discovery
from k8s.devcluster.api import apply, podlogs
from k8s.devcluster.api.bodies import check_patched, check_place, parse_applied, parse_json, parse_object
from k8s.devcluster.api.call import Call
from k8s.devcluster.api.eviction import evict
from k8s.devcluster.api.identity import ADMIN, Users
from k8s.devcluster.api.lists import read_page, write_page
from k8s.devcluster.api.managers import APPLY, UPDATE, given_entries, note_creation, note_update
from k8s.devcluster.api.patch import apply_patch
from k8s.devcluster.api.podmetrics import PodMetrics
from k8s.devcluster.api.responses import failure, json_answer, metadata_of, refusal, row_renderer
from k8s.devcluster.api.tables import table
from k8s.devcluster.api.target import (
    DeleteOptions,
    Target,
    check_apply_options,
    dry_run,
    flag,
    number,
    parse_path,
    verb,
)
from k8s.devcluster.api.watch import Watch, WatchOptions
from k8s.devcluster.errors import ApiError, bad_request, invalid, not_found, unprocessable
from k8s.devcluster.resources import POD_METRICS, Obj
from k8s.devcluster.rules import pod_admission
from k8s.devcluster.store.deletion import now, timestamp
from k8s.devcluster.store.history import Version
from k8s.devcluster.store.store import Store

logger = logging.getLogger(__name__)

HEALTH = ("/healthz", "/livez", "/readyz")
DEFAULT_WATCH_SECONDS = 3000.0


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
            return failure(error)
        except web.HTTPRequestEntityTooLarge:
            return failure(ApiError(413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728"))
        except ConnectionError:
            raise
        except Exception as error:
            logger.exception("request failed: %s %s", request.method, request.path)
            return failure(ApiError(500, "InternalError", f"Internal error occurred: {error}", details={}))
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
            raise refusal(user, target, request)
        if target is not None:
            return await self._verbs[verb(target, request.method, request.query)](Call(request, target))
        document = discovery.answer(path.rstrip("/"), request.host, metrics=self._metrics is not None)
        if document is None:
            return web.Response(text="404 page not found\n", status=404)
        return json_answer(orjson.dumps(document))

    def _target(self, path: str) -> Target | None:
        target = parse_path(path)
        return None if target is not None and target.kind is POD_METRICS and self._metrics is None else target

    async def _get(self, call: Call) -> web.StreamResponse:
        target = call.target
        if target.kind is POD_METRICS and self._metrics is not None:
            return json_answer(orjson.dumps(await self._metrics.read(target)))
        version = self._store.current(target.kind.plural, target.place, target.name or "")
        if target.subresource == "log":
            return await podlogs.respond(call.request, version.obj, self._directory)
        return self._object(call, version)

    async def _list(self, call: Call) -> web.StreamResponse:
        if call.target.kind is POD_METRICS and self._metrics is not None:
            return json_answer(orjson.dumps(await self._metrics.select(call.target, call.query)))
        page = read_page(self._store, call.target, call.selector(), call.query)
        if not call.as_table:
            return json_answer(write_page(call.target, page))
        objects = [version.obj for version in page.versions]
        include = call.request.query.get("includeObject", "Metadata")
        return json_answer(
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
            render=row_renderer(call) if call.as_table else None,
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
        return json_answer(orjson.dumps(answer), status=201)

    async def _create(self, call: Call) -> web.StreamResponse:
        if call.target.subresource == "eviction":
            return await self._evict(call)
        obj = await self._body(call)
        check_place(call.target, obj)
        note_creation(obj, call.manager(UPDATE), at=timestamp(now()))
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
        raw = await call.request.read()
        check_apply_options(call.request.query, apply=call.content_type == apply.CONTENT_TYPE)
        if call.content_type == apply.CONTENT_TYPE:
            return self._apply(call, raw)
        patch = parse_json(raw)
        current = self._store.current(target.kind.plural, target.place, target.name or "")
        patched = apply_patch(call.content_type, current.copy(), patch)
        obj, warnings = check_patched(target.kind, patched, validation=call.validation)
        managed = (patched.get("metadata") or {}).get("managedFields")
        if managed != current.obj["metadata"].get("managedFields"):
            obj.setdefault("metadata", {})["managedFields"] = given_entries(managed)
        call.warnings.extend(warnings)
        check_place(target, obj)
        return self._replace(call, obj)

    def _apply(self, call: Call, raw: bytes) -> web.StreamResponse:
        target, query = call.target, call.request.query
        applied = parse_applied(target.kind, raw)
        check_place(target, applied)
        applied = apply.part(target.kind, applied, target.subresource)
        manager, at = call.manager(APPLY), timestamp(now())
        live = self._store.shelf(target.kind.plural).versions.get((target.place, target.name or ""))
        if live is not None:
            merged = apply.applied_to(live.copy(), applied, manager, force=flag(query, "force"), at=at)
            return self._replace(call, merged)
        if target.subresource is not None:
            raise not_found(target.kind, target.name or "")
        obj = apply.created(applied, manager, at=at)
        version = self._store.create_version(target.kind.plural, obj, dry_run=dry_run(query, {}))
        return self._object(call, version, status=201)

    def _replace(self, call: Call, obj: Obj) -> web.StreamResponse:
        def note(new: Obj, old: Obj) -> None:
            if call.content_type != apply.CONTENT_TYPE:
                note_update(new, old, call.manager(UPDATE), at=timestamp(now()))

        version = self._store.update_version(
            call.target.kind.plural,
            obj,
            subresource=call.target.subresource,
            dry_run=dry_run(call.request.query, {}),
            note=note,
        )
        return self._object(call, version)

    async def _delete(self, call: Call) -> web.StreamResponse:
        options = await self._delete_options(call)
        target = call.target
        answer = self._remove(call, (target.place, target.name or ""), options)
        return json_answer(orjson.dumps(answer))

    async def _delete_collection(self, call: Call) -> web.StreamResponse:
        options = await self._delete_options(call)
        page = read_page(self._store, call.target, call.selector(), call.query)
        for version in page.versions:
            self._remove(call, version.key, options)
        return json_answer(write_page(call.target, page))

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
        obj, warnings = parse_object(call.target.kind, raw, content_type=call.content_type, validation=call.validation)
        call.warnings.extend(warnings)
        return obj

    def _object(self, call: Call, version: Version, *, status: int = 200) -> web.Response:
        if call.as_table and call.request.method == "GET":
            return json_answer(row_renderer(call)(version))
        told = [] if call.request.method == "GET" else self._security_warnings(version)
        body = metadata_of(version) if call.as_metadata else version.data
        return json_answer(body, status=status, warnings=call.warnings + told)

    def _security_warnings(self, version: Version) -> list[str]:
        namespace = self._store.shelf("namespaces").versions.get(("", version.key[0]))
        return pod_admission.warnings(version.obj, None if namespace is None else namespace.obj)
