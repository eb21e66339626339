"""After a request that failed for good: makes the request that is to run instead, if it names one."""

import logging
from collections.abc import Sequence
from typing import Any

import orjson
from cloudevents.core.v1.event import CloudEvent
from pydantic import ValidationError

from adapters.base import Kind, Topic
from events.identity import Identity, lifecycle_key
from events.jobs.context import echoes
from events.jobs.observed import Job
from events.jobs.pods import Pod
from events.lifecycle.events import lifecycle_event, rejected_event
from events.lifecycle.outcome import failover_id
from events.lifecycle.transitions import transitions
from events.names import Annotation
from events.phases import Phase
from events.problems import InvalidRequest, explain
from events.request.request import JobRequest, Request
from handler.controller.term import Term
from handler.effects.launcher import Newer, Taken, launch
from handler.effects.services import Services
from handler.settings.connections import options_of
from k8s.base import Refused
from k8s.manifests.job import render

logger = logging.getLogger(__name__)


class Failover:
    """Makes the requests that take over. Idempotent: their identity follows from the failed Job."""

    def __init__(self, services: Services, term: Term) -> None:
        self._settings = services.settings
        self._publisher = services.publisher
        self._writes = term.writes

    async def make(self, job: Job, pods: Sequence[Pod], *, log: str | None) -> None:
        """Call it after the terminal event, before the finalizer goes. Raises what `Writes` and `Publisher` raise."""
        if not job.failover:
            return
        end = transitions(job, pods, log=log)[-1]
        if end.phase is not Phase.FAILED:
            return
        failed = lifecycle_event(job, end)
        try:
            asked = await self._asked(job)
            request = Request(Identity(failed.get_source(), failover_id(job)), _request(job, asked), failed)
            options = options_of(self._settings, namespace=job.namespace, broker=job.broker or "")
            await launch(self._writes.maker, render(request, options=options, reply_to=job.reply_to))
            logger.info("failover", extra={"request": request.id})
        except Taken as error:
            if error.code != "ID_REUSED":
                await self._reject(job, failed, "NAME_TAKEN", str(error))
            # ID_REUSED: a former leader made it, and saw another tail of the log.
        except Newer as error:
            logger.info("a newer version made the failover: %s", error)
        except (Refused, ValueError) as error:
            await self._reject(job, failed, "INVALID_REQUEST", str(error))

    async def _asked(self, job: Job) -> Any:
        """What the request names. Raises `ValueError` if somebody has removed it, or made it unreadable."""
        manifest = await self._writes.maker.read_job(job.namespace, job.name)
        stored = (manifest["metadata"].get("annotations") or {}).get(Annotation.FAILOVER)
        if stored is None:
            raise ValueError(f"its annotation {Annotation.FAILOVER} is gone")
        return orjson.loads(stored)

    async def _reject(self, job: Job, failed: CloudEvent, code: str, message: str) -> None:
        """It becomes no Job: publish `rejected`, as for any other request."""
        logger.warning("no failover: %s", message)
        request_id = failover_id(job)
        event = rejected_event(
            instance=self._settings.instance,
            event_attributes=failed.get_attributes(),
            code=code,
            message=message,
            fields=(),
            replays=0,
            service=job.service,
            request_id=request_id,
        )
        topic = Topic(Kind.LIFECYCLE, lifecycle_key(job.service, request_id, Phase.REJECTED))
        await self._publisher.publish(topic, event, broker=job.broker, reply_to=job.reply_to)


def _request(job: Job, asked: Any) -> JobRequest:
    """Raises `InvalidRequest` if somebody has changed what was asked."""
    service = {} if job.service is None else {"service": job.service}
    try:
        return JobRequest.model_validate({**service, "job": asked, **echoes(job)})
    except ValidationError as error:
        raise InvalidRequest(explain(error, JobRequest)) from None
