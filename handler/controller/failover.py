"""After a request that failed for good: makes the request that is to run instead, if it names one.

What is to run stands on the Job, where whoever may write Jobs can put it: it is judged as if it came from a broker.
"""

import logging
from collections.abc import Sequence

import orjson
from cloudevents.core.v1.event import CloudEvent
from msgspec.structs import replace

from adapters.base import Kind, Topic
from events.identity import Identity, lifecycle_key
from events.jobs.attempts import next_attempt_at
from events.jobs.context import echoes, read_context
from events.jobs.observed import Job
from events.jobs.pods import Pod
from events.lifecycle.events import lifecycle_event, rejected_event
from events.lifecycle.outcome import failover_id, outcome
from events.lifecycle.transitions import transitions
from events.names import Annotation
from events.phases import Phase
from events.problems import InvalidRequest, told
from events.request.request import JobRequest, Request, check_request
from events.request.rules import MAX_FAILOVER
from handler.controller.term import Term
from handler.effects.deliveries import Rejection
from handler.effects.launcher import Newer, Taken, launch
from handler.effects.services import Services
from handler.policy import failover_refusals, service_refusals
from handler.settings.connections import options_of
from k8s.base import Conflict, NotFound, Refused
from k8s.manifests.job import render
from k8s.reading.job import job_of

logger = logging.getLogger(__name__)

LONGEST = 2 * MAX_FAILOVER
"""Characters of the annotation that are read: it may be longer than the request's own words, as numbers get quotes."""

Ruling = JobRequest | Rejection | None
"""What runs after a Job, why what it names does not, or None where it names nothing."""


class Failover:
    """Makes the requests that take over. Idempotent: their identity follows from the failed Job."""

    def __init__(self, services: Services, term: Term) -> None:
        self._settings = services.settings
        self._publisher = services.publisher
        self._writes = term.writes

    async def judged(self, job: Job) -> tuple[Job, Ruling]:
        """Judge what the Job names. Raises what `Writes` raises.

        Call it before the terminal event. Returns the Job as that is to tell of it: without a failover that is refused.
        """
        end = outcome(job)
        if not job.failover or end is None or end.phase is not Phase.FAILED or next_attempt_at(job) is not None:
            return job, None
        manifest = await self._writes.maker.read_job(job.namespace, job.name)
        stored = (manifest["metadata"].get("annotations") or {}).get(Annotation.FAILOVER)
        try:
            asked = _request(job, stored)
            service = service_refusals(asked.service, self._settings, namespace=job.namespace)
            if broken := told([*service, *failover_refusals(asked.job, self._settings, home=job.namespace)]):
                raise Rejection("FORBIDDEN", "; ".join(map(str, broken)), broken)
        except Rejection as refusal:
            return replace(job, failover=False), refusal
        return job, asked

    async def make(self, job: Job, pods: Sequence[Pod], ruling: Ruling, *, log: str | None) -> None:
        """Call it after the terminal event, before the finalizer goes. Raises what `Writes` and `Publisher` raise."""
        if ruling is None:
            return
        failed = lifecycle_event(job, transitions(job, pods, log=log)[-1])
        try:
            if isinstance(ruling, Rejection):
                raise ruling
            await self._launch(job, Request(Identity(failed.get_source(), failover_id(job)), ruling, failed))
        except Rejection as refusal:
            await self._reject(job, failed, refusal)

    async def _launch(self, job: Job, request: Request) -> None:
        options = options_of(self._settings, namespace=job.namespace, broker=job.broker or "")
        try:
            await launch(self._writes.maker, render(request, options=options, reply_to=job.reply_to))
            logger.info("failover", extra={"request": request.id})
        except Taken as error:
            # A former leader may have made it of the same event, and have seen another tail of the log.
            if error.code != "ID_REUSED" or not await self._is_made(job, request):
                raise Rejection(error.code, str(error)) from error
        except Newer as error:
            logger.info("a newer version made the failover: %s", error)
        except (Refused, ValueError) as error:
            raise Rejection("INVALID_REQUEST", str(error)) from error

    async def _is_made(self, job: Job, request: Request) -> bool:
        """Whether the Job that has its name is made of the same terminal event."""
        try:
            existing = job_of(await self._writes.maker.read_job(job.namespace, request.job_name))
        except NotFound as error:
            raise Conflict("the Job that had the failover's name is gone") from error
        return read_context(existing.context).get("id") == request.event.get_id()

    async def _reject(self, job: Job, failed: CloudEvent, refusal: Rejection) -> None:
        """It becomes no Job: publish `rejected`, as for any other request."""
        logger.warning("no failover: %s", refusal, extra={"code": refusal.code})
        request_id = failover_id(job)
        event = rejected_event(
            instance=self._settings.instance,
            event_attributes=failed.get_attributes(),
            code=refusal.code,
            message=str(refusal),
            fields=refusal.fields,
            replays=0,
            service=job.service,
            request_id=request_id,
        )
        topic = Topic(Kind.LIFECYCLE, lifecycle_key(job.service, request_id, Phase.REJECTED))
        await self._publisher.publish(topic, event, broker=job.broker, reply_to=job.reply_to)


def _request(job: Job, stored: str | None) -> JobRequest:
    """What the annotation asks for. Raises `Rejection` if somebody has removed it, or has made it nothing we wrote."""
    if stored is None:
        raise Rejection("INVALID_REQUEST", f"its annotation {Annotation.FAILOVER} is gone")
    if len(stored) > LONGEST:
        raise Rejection("INVALID_REQUEST", f"its annotation {Annotation.FAILOVER} has {len(stored)} characters")
    try:
        asked = orjson.loads(stored)
    except orjson.JSONDecodeError as error:
        raise Rejection("INVALID_REQUEST", f"its annotation {Annotation.FAILOVER} is no JSON") from error
    service = {} if job.service is None else {"service": job.service}
    try:
        return check_request({**service, "job": asked, **echoes(job)})
    except InvalidRequest as error:
        raise Rejection(error.code, str(error), error.errors) from error
