"""From a rendered request to its Job or CronJob: idempotent, and safe to crash at any call. Knows no broker."""

import contextlib
import logging
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Protocol

from events.cloudevent.timestamp import format_epoch
from events.jobs.observed import Job, Stray
from events.names import BY_FUNCTION, FINALIZER, MANAGED_BY, PAYLOAD_PREFIX, Annotation, Label, Payload
from k8s.api.cluster import Cluster, Created
from k8s.base import Conflict, Malformed, Manifest, NotFound, Unavailable
from k8s.kueue import in_kueue, ungated
from k8s.manifests.job import Rendered, secret_for
from k8s.manifests.pod import is_owned_by
from k8s.reading.cronjob import schedule_of
from k8s.reading.job import is_newer, job_of

logger = logging.getLogger(__name__)

_ROUNDS = 10
"""How often a name may be taken and free in turn before that is no coincidence."""


class Maker(Protocol):
    """What launching a Job needs of `Cluster`; see there."""

    def server_time(self) -> float: ...
    async def create_job(self, manifest: Manifest) -> Created: ...
    async def read_job(self, namespace: str, name: str) -> Manifest: ...
    async def patch_job(self, namespace: str, name: str, patch: Manifest) -> Job: ...
    async def create_secret(self, manifest: Manifest) -> Created: ...
    async def read_secret(self, namespace: str, name: str) -> Manifest: ...
    async def delete_secret(self, namespace: str, name: str, *, uid: str | None = None) -> None: ...


class Outcome(StrEnum):
    """How a launch ended."""

    CREATED = "created"
    DUPLICATE = "duplicate"


class Taken(Exception):
    """The name is in use: by this request with other data (`code` ID_REUSED), or by something else (NAME_TAKEN)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Newer(Exception):
    """A newer version wrote the object of this name, and only that version can tell what becomes of this request."""


class BeingDeleted(Conflict):
    """The object of this name is being deleted: once it is gone, the same launch makes another."""


async def launch(cluster: Maker, rendered: Rendered, *, repeated: bool = True) -> Outcome:
    """Create the Job, and its payload Secret if it has one. A repeat completes what a crash left, and is a duplicate.

    `repeated`: this very launch may have been carried out before. It then is a duplicate even of a Job that is being
    deleted, as long as the end of that Job is not told: it must not undo the deletion. Raises `Taken`, `BeingDeleted`,
    `Newer`, and what `Cluster.create_job` raises.
    """
    return await _launch(cluster, rendered, create=cluster.create_job, read=cluster.read_job, repeated=repeated)


async def launch_schedule(cluster: Cluster, rendered: Rendered, *, repeated: bool = True) -> Outcome:
    """Create the CronJob; in all else like `launch`."""
    create, read = cluster.create_cron_job, cluster.read_cron_job
    return await _launch(cluster, rendered, create=create, read=read, repeated=repeated)


async def _launch(
    cluster: Maker,
    rendered: Rendered,
    *,
    create: Callable[[Manifest], Awaitable[Created]],
    read: Callable[[str, str], Awaitable[Manifest]],
    repeated: bool,
) -> Outcome:
    for _ in range(_ROUNDS):
        try:
            created = await create(rendered.job)
        except Conflict:
            try:
                existing = await read(*_key(rendered.job))
            except NotFound:
                continue  # Deleted between the two calls: the name is free.
            await _meet(cluster, rendered, existing, repeated=repeated)
            return Outcome.DUPLICATE
        if not rendered.inline:
            # Kueue's webhook may have put it into a queue.
            made = {**rendered.job["metadata"], "uid": created.uid, "labels": created.labels}
            await _finish_payload(cluster, rendered, {**rendered.job, "metadata": made})
        return Outcome.CREATED
    raise Unavailable("its name is said to be taken, and nothing has it")


async def _meet(cluster: Maker, rendered: Rendered, existing: Manifest, *, repeated: bool) -> None:
    """Raise an error unless `existing` is what is to be launched; complete it."""
    metadata = existing["metadata"]
    deleted = "deletionTimestamp" in metadata
    if deleted and not (repeated and FINALIZER in metadata.get("finalizers", ())):
        raise BeingDeleted(f"{_named(existing, rendered.job)} is being deleted")
    if _is_ours(existing, rendered.job) and is_newer(existing):
        _compare_newer(existing, rendered.job)
        return
    _compare(existing, rendered.job)
    if not deleted:
        await _finish_payload(cluster, rendered, existing)


def _is_ours(existing: Manifest, wanted: Manifest) -> bool:
    """Whether this installation made it."""
    label: str = wanted["metadata"]["labels"][Label.INSTANCE]
    return bool((existing["metadata"].get("labels") or {}).get(Label.INSTANCE) == label)


def _identity(manifest: Manifest, kind: str) -> tuple[str | None, str, str, int] | None:
    """Which request a Job or CronJob is of, whatever somebody has made of its annotations; None if it is of none."""
    try:
        seen = job_of(manifest) if kind == "Job" else schedule_of(manifest)
    except Malformed:
        return None
    stated = seen.has_finalizer or Annotation.ID in (manifest["metadata"].get("annotations") or {})
    if seen.stray not in (None, Stray.FOREIGN) or not stated:
        return None
    return seen.instance, seen.source, seen.request_id, seen.attempt if isinstance(seen, Job) else 1


def _compare_newer(existing: Manifest, wanted: Manifest) -> None:
    """Raise `Newer` unless it plainly is the same request and has its payload: the rest only that version can judge."""
    metadata = existing["metadata"]
    try:
        _compare(existing, wanted)
    except Taken as error:
        raise Newer(f"written by a newer version: {error}") from error
    if (metadata.get("annotations") or {}).get(Annotation.PAYLOAD) is not None:
        raise Newer(f"{_named(existing, wanted)} gets its payload from a newer version")


def _compare(existing: Manifest, wanted: Manifest) -> None:
    """Raise `Taken` unless it is the same request with the same data."""
    mine, found = wanted["metadata"]["annotations"], existing["metadata"].get("annotations") or {}
    kind: str = wanted["kind"]
    if _identity(existing, kind) != _identity(wanted, kind):
        raise Taken("NAME_TAKEN", f"{_named(existing, wanted)} exists and is not of this request")
    hashes = {notes.get(Annotation.REQUEST_SHA) for notes in (mine, found)} - {None}  # None: somebody has removed it.
    if len(hashes) > 1:
        message = f"its id was used before, with other data, and {_named(existing, wanted)} still exists"
        raise Taken("ID_REUSED", message)


def _named(existing: Manifest, wanted: Manifest) -> str:
    metadata = existing["metadata"]
    return f"{wanted['kind']} {metadata['namespace']}/{metadata['name']}"


async def _finish_payload(cluster: Maker, rendered: Rendered, job: Manifest) -> None:
    """Create the Secret, then release the Job, unless it waits for admission or its function's manifest suspends it.

    Kueue releases its own Jobs. A Job whose payload exists already is left alone.
    """
    metadata = job["metadata"]
    if (metadata.get("annotations") or {}).get(Annotation.PAYLOAD) != Payload.PENDING:
        return
    await _ensure_secret(cluster, secret_for(rendered, job))
    # No resourceVersion: the Job controller has changed the status by now. Until the payload exists, nothing but a
    # verdict is decided about this Job, and a verdict ends it whether it is suspended or not.
    patch: Manifest = {"metadata": {"annotations": {Annotation.PAYLOAD: None, **ungated(metadata)}}}
    if not _waits(metadata):
        patch["metadata"]["annotations"][Annotation.RELEASED] = format_epoch(cluster.server_time())
        patch["spec"] = {"suspend": False}
    with contextlib.suppress(NotFound):  # Deleted meanwhile.
        await cluster.patch_job(metadata["namespace"], metadata["name"], patch)


def _waits(metadata: Manifest) -> bool:
    """Whether admission, a `resume` or Kueue is to release the Job."""
    annotations = metadata["annotations"]
    suspended = annotations.get(Annotation.SUSPENDED_BY) == BY_FUNCTION
    return suspended or Annotation.QUEUED in annotations or in_kueue(metadata.get("labels") or {})


async def _ensure_secret(cluster: Maker, secret: Manifest) -> None:
    namespace, name = _key(secret)
    wanted = secret["metadata"]["ownerReferences"][0]["uid"]
    for _ in range(_ROUNDS):
        with contextlib.suppress(Conflict):
            await cluster.create_secret(secret)
            return
        found = await _read_secret(cluster, namespace, name)
        if found is None:
            continue
        if is_owned_by(found, wanted):
            return
        if not _is_payload(found):
            raise Taken("NAME_TAKEN", f"Secret {namespace}/{name} exists and is not jobrelay's")
        # Left by an earlier Job of this name, and about to be garbage-collected: its event is not ours.
        logger.info("replacing the payload of a former Job", extra={"secret": name})
        await _delete_secret(cluster, found)
    raise Unavailable("the name of its payload is said to be taken, and nothing has it")


def _is_payload(secret: Manifest) -> bool:
    """Whether it is of a Job of ours: by its name, or as earlier versions made it."""
    labels = secret["metadata"].get("labels") or {}
    return secret["metadata"]["name"].startswith(PAYLOAD_PREFIX) or labels.get(Label.MANAGED_BY) == MANAGED_BY


async def _read_secret(cluster: Maker, namespace: str, name: str) -> Manifest | None:
    try:
        return await cluster.read_secret(namespace, name)
    except NotFound:
        return None


async def _delete_secret(cluster: Maker, secret: Manifest) -> None:
    with contextlib.suppress(NotFound, Conflict):
        await cluster.delete_secret(*_key(secret), uid=secret["metadata"]["uid"])


def _key(manifest: Manifest) -> tuple[str, str]:
    return manifest["metadata"]["namespace"], manifest["metadata"]["name"]
