"""Follows the Pods of the installation, as far as their logs are still to be kept. Decides nothing about them."""

import asyncio
import random
from collections.abc import Iterator, Sequence

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from events.jobs.pods import ENDED, Container, Pod, Role
from events.problems import brief
from handler.history.base import PodRun
from handler.history.bounds import COUNT, INT32, whole
from k8s.api.client import Client, segment
from k8s.api.wire import ObjectMeta
from k8s.base import Malformed
from k8s.informer.reflector import Listing, Reflector, Sink, WatchTiming
from k8s.reading.metadata import MAX_NOTE, Wire, integer
from k8s.reading.pod import parse_pod
from k8s.reading.template import TemplateAnnotations

_JOB_NAMES = ("batch.kubernetes.io/job-name", "job-name")
"""Labels of every Pod of a Job: the Job's name."""


class Part(msgspec.Struct, frozen=True, gc=False):
    """A container. `ended`: for good, it will not be run again."""

    name: str
    ran: bool
    running: bool
    ended: bool


class Seen(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A Pod as last seen. `id` and `source` are those of its request, as its annotations say, empty if they do not.

    `over`: it has ended. `deleted`: somebody has asked for that. `gone`: the API server no longer has it.
    """

    run: PodRun
    job_uid: str
    job: str
    id: str
    source: str
    parts: tuple[Part, ...]
    over: bool = False
    deleted: bool = False
    gone: bool = False

    @property
    def node(self) -> str:
        return self.run.node or ""

    @property
    def begun(self) -> bool:
        """Whether there is anything to tell of it."""
        return self.over or self.gone or any(part.ran for part in self.parts)


class _Meta(Wire):
    labels: dict[str, str] | None = None
    annotations: TemplateAnnotations | None = None


class _Spec(Wire):
    restart_policy: str = "Always"


class _Pod(Wire):
    metadata: _Meta
    spec: _Spec = msgspec.field(default_factory=_Spec)


_POD = msgspec.json.Decoder(_Pod)


def parse(raw: bytes | Raw) -> Seen:
    """Read a Pod's JSON (v1). Raises `Malformed`."""
    pod = parse_pod(raw)
    try:
        wire = _POD.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(brief(f"no Pod: {error}")) from error
    labels, notes = wire.metadata.labels or {}, wire.metadata.annotations or TemplateAnnotations()
    named = (notes.id or "", notes.source or "")
    request_id, source = ("", "") if max(map(len, named)) > MAX_NOTE else named
    return Seen(
        run=run_of(pod, whole(integer(notes.attempt), COUNT) or 1),
        job_uid=pod.job_uid,
        job=next((labels[name] for name in _JOB_NAMES if name in labels), ""),
        id=request_id,
        source=source,
        parts=tuple(_part(one, pod, restarts=wire.spec.restart_policy) for one in pod.containers),
        over=pod.phase in ENDED,
        deleted=pod.deleted is not None,
    )


def run_of(pod: Pod, attempt: int) -> PodRun:
    """What is kept of a Pod. `attempt`: of its request."""
    main, over = pod.main, pod.phase in ENDED
    why = pod.reason or (main and main.reason) or (pod.disruption and pod.disruption.reason)
    return PodRun(
        uid=pod.uid,
        name=pod.name,
        namespace=pod.namespace,
        node=pod.node,
        index=whole(pod.index, COUNT),
        attempt=attempt,
        started=pod.started,
        finished=pod.ended_at if over else None,
        exit_code=whole(main.exit_code, INT32) if main and over else None,
        reason=(why or None) if over else None,
    )


def _part(container: Container, pod: Pod, *, restarts: str) -> Part:
    """Sidecars are run again until their pod ends, others by its restart policy; none of a pod that is deleted."""
    ended = container.finished is not None
    if ended and pod.phase not in ENDED and pod.deleted is None:
        well = container.exit_code == 0 and (restarts == "OnFailure" or container.role is Role.INIT)
        ended = container.role is not Role.SIDECAR and (restarts == "Never" or well)
    return Part(
        name=container.name,
        ran=container.started is not None,
        running=container.running,
        ended=ended or pod.phase in ENDED,
    )


class Pods:
    """Pods whose logs are not done, as last seen. Those that are done are known by their uids.

    `news` is set when `changes` has got something.
    """

    def __init__(self) -> None:
        self.news = asyncio.Event()
        self.changes: set[str] = set()
        self._open: dict[str, Seen] = {}
        self._done: set[str] = set()
        self._watches: list[Reflector[Seen]] = []

    def get(self, uid: str) -> Seen | None:
        return self._open.get(uid)

    def done(self, uid: str) -> None:
        """There is nothing more to do for this Pod."""
        seen = self._open.pop(uid, None)
        if seen is not None and not seen.gone:
            self._done.add(uid)

    def put(self, seen: Seen) -> None:
        uid = seen.run.uid
        if uid not in self._done and self._open.get(uid) != seen:
            self._open[uid] = seen
            self._note(uid)

    def drop(self, uid: str) -> None:
        """The API server no longer has it."""
        self._done.discard(uid)
        seen = self._open.get(uid)
        if seen is not None and not seen.gone:
            self._open[uid] = replace(seen, gone=True)
            self._note(uid)

    def _note(self, uid: str) -> None:
        self.changes.add(uid)
        self.news.set()

    @property
    def problem(self) -> str | None:
        """Why a watch is behind; None if none is."""
        return next((watch.problem for watch in self._watches if watch.problem), None)

    async def run(self, client: Client, namespaces: Sequence[str], *, selector: str, idle: float) -> None:
        """Follow the Pods of these namespaces, until cancelled."""
        for namespace in namespaces:
            watch = Reflector(
                client,
                path=f"/api/v1/namespaces/{segment(namespace)}/pods",
                selector=selector,
                parse=parse,
                sink=_Feed(self),
                timing=WatchTiming(silence=idle),
                rng=random.Random(),  # noqa: S311 - jitter
            )
            self._watches.append(watch)
        async with asyncio.TaskGroup() as group:
            for watch in self._watches:
                group.create_task(watch.run())


class _Listed:
    """Passes the Pods of a list on as they come: thousands of them need not be here at the same time."""

    def __init__(self, pods: Pods) -> None:
        self.uids: set[str] = set()
        self._pods = pods

    def append(self, item: tuple[Seen, int], /) -> None:
        seen, _ = item
        self.uids.add(seen.run.uid)
        self._pods.put(seen)

    def __iter__(self) -> Iterator[tuple[Seen, int]]:
        return iter(())


class _Feed(Sink[Seen]):
    """The sink of one namespace's Pods. Of those that are done it keeps the uids, to know them again."""

    def __init__(self, pods: Pods) -> None:
        self._pods = pods
        self._known: set[str] = set()
        self._listed = _Listed(pods)

    def listing(self) -> _Listed:
        self._listed = _Listed(self._pods)
        return self._listed

    async def replaced(self, objects: Listing[Seen], *, version: int) -> None:
        before, self._known = self._known, self._listed.uids
        for uid in before - self._known:
            self._pods.drop(uid)

    def changed(self, seen: Seen, version: int) -> None:
        self._known.add(seen.run.uid)
        self._pods.put(seen)

    def removed(self, meta: ObjectMeta, version: int) -> None:
        self._known.discard(meta.uid)
        self._pods.drop(meta.uid)

    def passed(self, version: int) -> None:
        """Nothing waits for Pods."""
