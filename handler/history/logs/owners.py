"""Which request a Pod is of, and what asked for it: what its Job says, and where that has gone, what is recorded."""

from collections import OrderedDict
from typing import NamedTuple

from events.jobs.context import followed, read_context
from events.jobs.observed import Job
from events.names import Annotation
from handler.history.base import Key, Reader
from handler.history.bounds import MAX_ASKED, MAX_ID, identity, part
from handler.history.logs.watching import Seen
from k8s.api.cluster import Cluster
from k8s.base import Malformed, Manifest, NotFound, Unavailable
from k8s.reading.job import job_of

REMEMBERED = 4096
"""Jobs whose request is remembered: a Job may have thousands of Pods."""


class Owner(NamedTuple):
    """The request of a Pod, and when it was made (epoch seconds).

    `asked`: the event that asked for it, a structured CloudEvent; None where nobody knows, or it was told before.
    """

    key: Key
    created: float
    asked: bytes | None = None


class Owners:
    """Asks for each Job once, as long as few are asked for. `events`: whether to tell what asked for requests."""

    def __init__(self, cluster: Cluster, reader: Reader, *, instance: str, events: bool) -> None:
        self._cluster = cluster
        self._reader = reader
        self._instance = instance
        self._events = events
        self._known: OrderedDict[str, Owner | None] = OrderedDict()

    async def of(self, seen: Seen) -> Owner | None:
        """None: it is no request's Pod, or that of another installation, or nobody knows any more.

        Of the pods of a Job, the first that is asked about gets the event, which is not held here: it may be long.
        Raises `KubernetesError`, also where its Job is not a request's yet, and `StoreUnavailable`.
        """
        if not seen.job or not seen.job_uid:
            return None
        if seen.job_uid in self._known:
            self._known.move_to_end(seen.job_uid)
            return self._known[seen.job_uid]
        found = await self._found(seen)
        self._known[seen.job_uid] = None if found is None else found._replace(asked=None)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found

    async def _found(self, seen: Seen) -> Owner | None:
        try:
            manifest = await self._cluster.read_job(seen.run.namespace, seen.job)
            job = job_of(manifest)
        except (NotFound, Malformed):
            return await self._recorded(seen)
        if job.uid != seen.job_uid:
            return await self._recorded(seen)
        if job.new_run:
            raise Unavailable("the controller has not taken this run of a schedule yet")
        return self._owner(job, event_of(manifest) if self._events else None)

    def _owner(self, job: Job, asked: bytes | None) -> Owner | None:
        """By what its lifecycle events say."""
        if job.stray is not None or job.instance != self._instance or not job.request_id:
            return None
        said = followed(read_context(job.context), request_id=job.request_id, source=job.source)
        cause, source = (identity(said.get(name)) or "" for name in ("causationid", "requestsource"))
        key = Key(id=identity(job.request_id, MAX_ID) or "", cause=cause, source=source)
        return Owner(key, job.created if job.accepted is None else job.accepted, asked)

    async def _recorded(self, seen: Seen) -> Owner | None:
        """By the events of its Job, whose id and source its annotations repeat."""
        if not seen.id:
            return None
        known = await self._reader.find(seen.id, seen.source)
        found = next((one for one in known if one.job_uid == seen.job_uid), None)
        return None if found is None else Owner(found.key, found.created)


def event_of(manifest: Manifest) -> bytes | None:
    """The event that a Job gives its pods, on the template that nobody can change once it has started.

    None where that is in a Secret, or longer than any that jobrelay writes there.
    """
    metadata = part(part(part(manifest, "spec"), "template"), "metadata")
    text = part(metadata, "annotations").get(Annotation.EVENT)
    if not isinstance(text, str) or len(text) > MAX_ASKED:
        return None
    body = text.encode(errors="replace")
    return body if len(body) <= MAX_ASKED else None
