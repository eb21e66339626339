"""Everything that we ask of a Kubernetes cluster, a method for each request. Holds no state; retries nothing."""

import logging
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import orjson

from events.cloudevent.timestamp import format_epoch
from events.jobs.observed import Job, Schedule
from events.jobs.pods import Pod
from events.jobs.usage import PodUsage
from events.lifecycle.keeping import JobPods
from events.lifecycle.podless import Notice
from events.problems import brief
from k8s.api.client import JSON, STRATEGIC_MERGE, Client, open_client, segment
from k8s.api.config import load
from k8s.api.paging import Paging
from k8s.api.wire import ObjectMeta, decode_page, read_meta
from k8s.base import Expired, Malformed, Manifest, Unavailable
from k8s.reading.cronjob import parse_cron_job, schedule_of
from k8s.reading.job import job_of, parse_job
from k8s.reading.pod import CONTROLLER_UID, parse_pod
from k8s.reading.podmetrics import parse_notice, parse_pod_metrics

logger = logging.getLogger(__name__)

FIELD_MANAGER = "jobrelay"
RESTARTS = 5
"""How often a list begins anew because its state was compacted meanwhile, before that is an error."""
MAX_EVENTS = 100
METADATA_ONLY = f"{JSON};as=PartialObjectMetadata;g=meta.k8s.io;v=v1, {JSON}"
LIST_OF_METADATA = f"{JSON};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1, {JSON}"
_STRICT = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}
_Raw = TypeVar("_Raw")
_Seen = TypeVar("_Seen")


def skip_silently(_: Malformed) -> None:
    """Say nothing about a malformed object: somebody else gave it our labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """What the answer to a create says of the new object. `labels`: webhooks may have added some."""

    uid: str
    version: str
    labels: Mapping[str, str] = field(default_factory=dict)


class Cluster:
    """One cluster. Methods raise only the errors of `k8s.base`. Names may come from anybody: they are quoted."""

    def __init__(self, client: Client, *, default_namespace: str) -> None:
        self.client = client
        self.default_namespace = default_namespace

    def server_time(self) -> float:
        """The API server's time, epoch seconds."""
        return self.client.server_time()

    async def create_job(self, manifest: Manifest) -> Created:
        """Raises `Conflict` when the name is taken. After `Unavailable` the Job may exist."""
        return await self._create(_jobs(manifest["metadata"]["namespace"]), manifest)

    async def try_job(self, manifest: Manifest) -> None:
        """Raise what creating it would raise. Nothing is created."""
        path = _jobs(manifest["metadata"]["namespace"])
        await self.client.request("POST", path, params={**_STRICT, "dryRun": "All"}, body=manifest)

    async def read_job(self, namespace: str, name: str) -> Manifest:
        """The whole Job, from the server, not from a cache."""
        return _object(await self.client.request("GET", _jobs(namespace, name)))

    async def patch_job(self, namespace: str, name: str, patch: Manifest, *, timeout: float | None = None) -> Job:
        """Strategic merge; returns the patched Job. A `resourceVersion` in it: raises `Conflict` for any other."""
        return parse_job(await self._patch(_jobs(namespace, name), patch, timeout=timeout))

    async def patch_job_unread(self, namespace: str, name: str, patch: Manifest) -> ObjectMeta:
        """What `patch_job` does, for whoever needs only the metadata of the patched Job: no more is asked for."""
        return read_meta(await self._patch(_jobs(namespace, name), patch, accept=METADATA_ONLY))

    async def delete_job(self, namespace: str, name: str, *, uid: str | None = None) -> None:
        """Foreground: its Pods are deleted first. With `uid`: raises `Conflict` if another Job has the name."""
        await self._delete(_jobs(namespace, name), uid=uid, propagation="Foreground")

    async def list_jobs(self, namespace: str, selector: str) -> list[Manifest]:
        """All Jobs that the label selector matches, in one consistent state."""
        return await self._list(_jobs(namespace), {"labelSelector": selector})

    async def find_jobs(
        self, namespaces: Iterable[str], selector: str, *, skipped: Callable[[Malformed], None] = skip_silently
    ) -> list[Job]:
        """All Jobs that the label selector matches in these namespaces, each namespace in one consistent state.

        Strays, which are no request's, are left out. Malformed Jobs are skipped, and `skipped` is called for each.
        """

        def read(page: Iterable[Manifest]) -> list[Job]:
            # What is read takes a small part of the memory of what was sent, and there may be thousands.
            return [job for job in _readable(page, job_of, skipped=skipped) if job.stray is None]

        found: list[Job] = []
        for namespace in namespaces:
            found += await self._list(_jobs(namespace), {"labelSelector": selector}, read=read)
        return found

    async def job_metadata(self, namespace: str, selector: str) -> list[Manifest]:
        """The `metadata` of all Jobs that the label selector matches."""
        found = await self._list(_jobs(namespace), {"labelSelector": selector}, accept=LIST_OF_METADATA)
        return [item["metadata"] for item in found]

    async def create_cron_job(self, manifest: Manifest) -> Created:
        """Raises `Conflict` when the name is taken."""
        return await self._create(_cron_jobs(manifest["metadata"]["namespace"]), manifest)

    async def read_cron_job(self, namespace: str, name: str) -> Manifest:
        """The whole CronJob."""
        return _object(await self.client.request("GET", _cron_jobs(namespace, name)))

    async def patch_cron_job(self, namespace: str, name: str, patch: Manifest) -> Schedule:
        """What `patch_job` does, for a CronJob."""
        return parse_cron_job(await self._patch(_cron_jobs(namespace, name), patch))

    async def delete_cron_job(self, namespace: str, name: str, *, uid: str | None = None) -> None:
        """Orphan: its Jobs stay, without an owner. With `uid`: raises `Conflict` if another CronJob has the name."""
        await self._delete(_cron_jobs(namespace, name), uid=uid, propagation="Orphan")

    async def list_cron_jobs(self, namespace: str, selector: str) -> list[Manifest]:
        """What `list_jobs` does, for CronJobs."""
        return await self._list(_cron_jobs(namespace), {"labelSelector": selector})

    async def find_schedules(
        self, namespaces: Iterable[str], selector: str, *, skipped: Callable[[Malformed], None] = skip_silently
    ) -> list[Schedule]:
        """What `find_jobs` does, for CronJobs."""
        listed = [cron_job for namespace in namespaces for cron_job in await self.list_cron_jobs(namespace, selector)]
        return list(_readable(listed, schedule_of, skipped=skipped))

    async def pods_of(self, namespace: str, job_uid: str) -> list[Pod]:
        """All Pods of a Job, with no more of their messages than events may tell: see `JobPods`."""
        for _ in range(RESTARTS):
            with suppress(Expired):
                return await self._pods_of(namespace, job_uid)
        return await self._pods_of(namespace, job_uid)

    async def _pods_of(self, namespace: str, job_uid: str) -> list[Pod]:
        found, paging = JobPods(), Paging()
        params = {"labelSelector": f"{CONTROLLER_UID}={job_uid}"}
        while True:
            answer = await self.client.request("GET", _pods(namespace), params=params | {"limit": str(paging.limit)})
            page = decode_page(answer)
            items = page.items or []
            for pod in _readable(items, parse_pod, skipped=_warn_of_pod):
                found.put(pod)
            if not page.metadata.continue_:
                return list(found)
            paging.took(len(answer), len(items))
            params["continue"] = page.metadata.continue_

    async def delete_pods(self, namespace: str, job_uid: str) -> None:
        """Delete all Pods of a Job, each with its grace period."""
        params = {"labelSelector": f"{CONTROLLER_UID}={job_uid}"}
        await self.client.request("DELETE", _pods(namespace), params=params)

    async def warnings(self, namespace: str, uid: str) -> list[Notice]:
        """What goes wrong with the object of this uid, of the first `MAX_EVENTS`. They are kept for about an hour."""
        selector = f"involvedObject.uid={uid},type=Warning"
        path, params = _path("/api/v1", namespace, "events", None), {"fieldSelector": selector}
        # Anybody who may write Events can write any number of them about anything.
        answer = _object(await self.client.request("GET", path, params=params | {"limit": str(MAX_EVENTS)}))
        found = answer.get("items") or ()
        return [notice for event in found if (notice := parse_notice(event)) is not None]

    async def pod_metrics(self, namespace: str, selector: str) -> list[PodUsage]:
        """What matching, running Pods use. Raises `Unavailable` where metrics.k8s.io is not served."""
        path = _path("/apis/metrics.k8s.io/v1beta1", namespace, "pods", None)
        return parse_pod_metrics(await self.client.request("GET", path, params={"labelSelector": selector}))

    async def create_secret(self, manifest: Manifest) -> Created:
        """Raises `Conflict` when the name is taken."""
        return await self._create(_secrets(manifest["metadata"]["namespace"]), manifest)

    async def read_secret(self, namespace: str, name: str) -> Manifest:
        """The Secret, with `data` in base64."""
        return _object(await self.client.request("GET", _secrets(namespace, name)))

    async def delete_secret(self, namespace: str, name: str, *, uid: str | None = None) -> None:
        """Background: its name is free at once. With `uid`: raises `Conflict` if another Secret has the name."""
        await self._delete(_secrets(namespace, name), uid=uid, propagation="Background")

    async def pod_log(
        self,
        namespace: str,
        pod: str,
        *,
        container: str | None = None,
        follow: bool = False,
        tail: int | None = None,
        since: float | None = None,
        limit_bytes: int | None = None,
        timestamps: bool = False,
        previous: bool = False,
    ) -> AsyncIterator[bytes]:
        """The log of a Pod's `container` in pieces. None will do where the Pod has only one container.

        `tail`: only that many last lines. `since`: only lines that were written from then on, in seconds since 1970;
        Kubernetes drops the fraction. `limit_bytes`: only the first of what that leaves, at least 1. `timestamps`: each
        line begins with when it was written, in RFC 3339 with nine decimals, and a space. `follow`: go on until the
        container ends. `previous`: of the run before; once that is gone, a kubelet answers with a text that says so.
        """
        wanted = {
            "follow": "true" if follow else None,
            "container": container,
            "tailLines": tail,
            "sinceTime": None if since is None else format_epoch(since),
            "limitBytes": limit_bytes,
            "timestamps": "true" if timestamps else None,
            "previous": "true" if previous else None,
        }
        params = {name: str(value) for name, value in wanted.items() if value is not None}
        path = f"{_pods(namespace, pod)}/log"
        async with self.client.stream(path, params=params, accept="*/*", silence=None if follow else 60.0) as pieces:
            async for piece in pieces:
                yield piece

    async def _create(self, path: str, manifest: Manifest) -> Created:
        answer = await self.client.request("POST", path, params=_STRICT, body=manifest, accept=METADATA_ONLY)
        try:
            made = read_meta(answer)
        except Malformed as error:
            raise Unavailable(str(error)) from error
        return Created(uid=made.uid, version=made.resource_version, labels=made.labels or {})

    async def _patch(self, path: str, patch: Manifest, *, timeout: float | None = None, accept: str = JSON) -> bytes:
        return await self.client.request(
            "PATCH", path, params=_STRICT, body=patch, content_type=STRATEGIC_MERGE, timeout=timeout, accept=accept
        )

    async def _delete(self, path: str, *, uid: str | None, propagation: str) -> None:
        options: Manifest = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        await self.client.request("DELETE", path, body=options)

    async def _list(
        self,
        path: str,
        params: Mapping[str, str],
        *,
        accept: str = JSON,
        read: Callable[[Iterable[Manifest]], Iterable[Any]] = list,
    ) -> list[Any]:
        """Page after page of one state. Starts over when that state has been compacted meanwhile.

        We send no `resourceVersion`: with 0 the limit is ignored, and data may be stale. `read`: what to keep of a
        page.
        """
        for _ in range(RESTARTS):
            with suppress(Expired):
                return await self._pages(path, params, accept, read)
        return await self._pages(path, params, accept, read)

    async def _pages(
        self, path: str, params: Mapping[str, str], accept: str, read: Callable[[Iterable[Manifest]], Iterable[Any]]
    ) -> list[Any]:
        found: list[Any] = []
        paging, token = Paging(), ""
        while True:
            page = {**params, "limit": str(paging.limit)} | ({"continue": token} if token else {})
            body = await self.client.request("GET", path, params=page, accept=accept)
            answer = _object(body)
            items = answer.get("items") or ()
            found += read(items)
            token = answer["metadata"].get("continue", "")
            if not token:
                return found
            paging.took(len(body), len(items))


@asynccontextmanager
async def connect(
    *,
    kubeconfig: Path | None = None,
    context: str | None = None,
    timeout: float = 15.0,
    user_agent: str = "jobrelay",
    environ: Mapping[str, str] | None = None,
) -> AsyncIterator[Cluster]:
    """The cluster of this kubeconfig, of `KUBECONFIG`, or the cluster we run in. `timeout`: seconds for each request.

    `user_agent` names us in the server's audit log.

    Raises `ConfigError` for configuration that it cannot read. It sends nothing, so an unreachable server shows later.
    """
    access = await load(kubeconfig, context, environ=os.environ if environ is None else environ)
    async with open_client(access, timeout=timeout, user_agent=user_agent) as client:
        yield Cluster(client, default_namespace=access.namespace)


def _jobs(namespace: str, name: str | None = None) -> str:
    return _path("/apis/batch/v1", namespace, "jobs", name)


def _cron_jobs(namespace: str, name: str | None = None) -> str:
    return _path("/apis/batch/v1", namespace, "cronjobs", name)


def _pods(namespace: str, name: str | None = None) -> str:
    return _path("/api/v1", namespace, "pods", name)


def _secrets(namespace: str, name: str | None = None) -> str:
    return _path("/api/v1", namespace, "secrets", name)


def _path(api: str, namespace: str, resource: str, name: str | None) -> str:
    path = _collection(api, namespace, resource)
    return path if name is None else f"{path}/{segment(name)}"


@lru_cache(maxsize=256)
def _collection(api: str, namespace: str, resource: str) -> str:
    return f"{api}/namespaces/{segment(namespace)}/{resource}"


def _object(answer: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(answer)
    except orjson.JSONDecodeError as error:
        raise Unavailable(brief(f"the answer is no JSON: {error}")) from error
    if not isinstance(found, dict) or not isinstance(found.get("metadata"), dict):
        raise Unavailable("the answer is no Kubernetes object")
    return found


def _readable(
    listed: Iterable[_Raw], read: Callable[[_Raw], _Seen], *, skipped: Callable[[Malformed], None]
) -> Iterator[_Seen]:
    """A malformed object must not hide the others."""
    for manifest in listed:
        try:
            yield read(manifest)
        except Malformed as error:
            skipped(error)


def _warn_of_pod(error: Malformed) -> None:
    logger.warning("a pod is left out: %s", error)
