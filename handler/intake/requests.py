"""From an event to the requests it makes, and from a request to its Job or CronJob. Does not settle deliveries."""

import time
from collections.abc import Callable

from cloudevents.core.v1.event import CloudEvent

from events.cloudevent.event import Arrived, encode_structured, expired
from events.functions.functions import Asked, Call, Function, matching, subject_of
from events.names import REQUESTED_TYPE
from events.problems import FieldError, InvalidRequest, told
from events.request.request import Request
from events.request.strings import too_long
from handler.effects.apart import LARGE, Apart
from handler.effects.deliveries import About, Rejection
from handler.effects.launcher import Outcome
from handler.effects.services import Services
from handler.intake.functions import Functions
from handler.intake.launching import Launching, Unmade
from handler.intake.pressure import Pressure
from handler.intake.queueing import queue_refusals
from handler.policy import kueue_refusals, may_reply, refusals
from handler.settings.admission import unadmitted
from handler.settings.connections import options_of
from handler.telemetry.logcontext import also
from k8s.manifests.function import render_call
from k8s.manifests.job import Rendered, render
from k8s.manifests.schedule import render_schedule


class Requests:
    """Judges events and launches what they ask for, for one broker."""

    def __init__(
        self,
        services: Services,
        *,
        broker: str,
        functions: Functions,
        launching: Launching,
        pressure: Pressure,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._cluster = services.cluster
        self._settings = services.settings
        self._tracing = services.tracing
        self._functions = functions
        self._launching = launching
        self._pressure = pressure
        self._clock = clock
        self.apart = Apart()
        self._namespaces = services.namespaces
        self._options = options_of(services.settings, namespace=self._namespaces[0], broker=broker)

    def of(self, event: CloudEvent) -> list[Asked | Rejection]:
        """Every request that the event makes, with a rejection in place of each that is invalid. Never empty."""
        if expired(event, self._clock()):
            return [Rejection("EXPIRED", "its expirytime is past")]
        if event.get_type() == REQUESTED_TYPE:
            return [self._request(event)]
        # The functions in force now: a redelivery may meet others.
        matched = matching(self._functions.current, event)
        if not matched:
            return [Rejection("NO_FUNCTION", "no function takes an event of this type and these attributes")]
        return [_call(function, event) for function in matched]

    def _request(self, event: CloudEvent) -> Request | Rejection:
        try:
            request = Request.of(event)
        except InvalidRequest as error:
            # Too large as a whole is the better answer: parts of it are too large only because of that.
            large = self._too_large(len(encode_structured(event)))
            return large or Rejection(error.code, str(error), error.errors)
        broken = refusals(request.request, self._settings, namespaces=self._namespaces)
        broken += queue_refusals(request.request, self._settings, now=self._clock())
        return Rejection("FORBIDDEN", "; ".join(map(str, broken)), broken) if broken else request

    async def launch(self, asked: Asked, *, repeated: bool) -> Outcome:
        """Render its Job and create it; raises `Rejection`, `Crowded`, `QuotaExceeded`, `Newer`, `BeingDeleted`, and
        what `Launching.create` raises.

        `repeated`: it may have been launched before for the same delivery.
        """
        namespace, name = asked.namespace or self._namespaces[0], asked.job_name
        also(job_id=asked.id, namespace=namespace, job=name)
        try:
            with self._tracing.creating(namespace, name):
                if _size(asked) <= LARGE:
                    rendered = self._render(asked)
                else:
                    rendered = await self.apart.do(lambda: self._render(asked))
                self._check_queueing(rendered)
                await self._pressure.check(rendered, asked.service)
                return await self._launching.create(rendered, lane=(namespace, asked.service), repeated=repeated)
        except (Rejection, Unmade) as error:
            error.about = _about(asked)
            raise

    def _render(self, asked: Asked) -> Rendered:
        options = self._options
        reply_to, trace = self._reply_to(asked.event), self._tracing.carrier()
        if isinstance(asked, Call):
            rendered = render_call(asked, options=options, reply_to=reply_to, trace=trace)
            _check_strings(rendered)
        else:
            make = render if asked.request.schedule is None else render_schedule
            rendered = make(asked, options=options, reply_to=reply_to, trace=trace)
        self._check_size(rendered)
        return rendered

    def _check_size(self, rendered: Rendered) -> None:
        """Raises `Rejection` before anything is created: a Job whose Secret is refused would wait for ever."""
        if large := self._too_large(len(rendered.event), scheduled=rendered.scheduled):
            raise large

    def _too_large(self, size: int, *, scheduled: bool = False) -> Rejection | None:
        name, most = "JOBRELAY_MAX_REQUEST_BYTES", self._settings.max_request_bytes
        if scheduled and size <= most:
            name, most = "JOBRELAY_INLINE_BYTES, of one with a schedule,", self._settings.inline_bytes
        if size <= most:
            return None
        return Rejection("TOO_LARGE", f"{size} bytes as a structured event; {name} allows {most}")

    def _check_queueing(self, rendered: Rendered) -> None:
        """Raises `Rejection` for fields that admission here does not support."""
        queueing, mode = rendered.queueing, self._settings.admission
        if rendered.kueue:
            fields = kueue_refusals(rendered)
        else:
            asked = unadmitted(queueing, mode, scheduled=rendered.scheduled)
            fields = [FieldError(field, f"needs {needed}") for field, needed in asked]
        if fields:
            raise Rejection("ADMISSION_OFF", "; ".join(map(str, fields)), fields)

    def _reply_to(self, event: CloudEvent) -> str | None:
        wanted = event.get_extension("replyto")
        if wanted is None:
            return None
        allowed = self._settings.reply_topics
        if not may_reply(str(wanted), allowed):
            field = FieldError("replyto", "is not allowed by JOBRELAY_REPLY_TOPICS", ", ".join(allowed) or "none")
            raise Rejection("FORBIDDEN", str(field), [field])
        return str(wanted)


def _size(asked: Asked) -> int:
    return asked.event.size if isinstance(asked.event, Arrived) else 0


def _check_strings(rendered: Rendered) -> None:
    """Raises `Rejection` for what no program can start with. What requests themselves say is checked before."""
    pod = rendered.job["spec"]["template"]["spec"]
    fields = [
        FieldError(
            "data",
            f"makes {error.path} of container {container['name']}, which {error.message}",
            error.allowed,
        )
        for container in (*pod.get("initContainers", ()), *pod["containers"])
        for error in too_long(container)
    ]
    if fields:
        raise Rejection("TOO_LARGE", "; ".join(map(str, told(fields))), fields)


def _call(function: Function, event: CloudEvent) -> Call | Rejection:
    try:
        return Call.of(function, event)
    except InvalidRequest as error:
        return Rejection(error.code, str(error), error.errors, about=_about_function(function, event))


def _about(asked: Asked) -> About | None:
    """None for a job request, which the delivery itself identifies."""
    return _about_function(asked.function, asked.event) if isinstance(asked, Call) else None


def _about_function(function: Function, event: CloudEvent) -> About:
    return About(request_id=subject_of(function, event), service=function.service, function=function.name)
