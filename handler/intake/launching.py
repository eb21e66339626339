"""Creates a rendered Job as soon as it is taken. Tells what everybody waits for from what is one Job's own trouble."""

import asyncio
import time

from events.problems import FieldError
from handler.effects.deliveries import About, Rejection
from handler.effects.launcher import Outcome, Taken, launch, launch_schedule
from handler.effects.services import Services
from handler.intake.gate import Gate
from handler.intake.namespaces import Blame, Namespaces
from handler.intake.pressure import Pressure
from handler.intake.slots import Lane, LaneSlots
from k8s.api.clock import backoff
from k8s.base import Cause, Refused, Unavailable
from k8s.manifests.job import Rendered

TRIES = 3
"""Calls in a row that may fail for a Job while others are taken, before its delivery gives up its place."""
QUICK_SECONDS = 1.0
"""Only failures within this time are followed by another try at once."""
TROUBLED = 8
"""Deliveries of a lane that gave up their places within a minute, after which others of it have one try only."""
TROUBLED_SECONDS = 60.0
_LANES = 1024
"""Lanes in trouble that are remembered: a request names its service itself."""


class Unmade(Exception):
    """An attempt has come to nothing, while the API server takes other Jobs.

    `code` and `about`: of the rejection, if it was the last attempt.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.about: About | None = None


class Launching:
    """Launches the requests of one broker."""

    def __init__(self, services: Services, *, gate: Gate, namespaces: Namespaces, pressure: Pressure) -> None:
        self._cluster = services.cluster
        self._metrics = services.metrics
        self._tracing = services.tracing
        self._gate = gate
        self._namespaces = namespaces
        self._pressure = pressure
        self._slots = LaneSlots(services.settings.concurrency, well=namespaces.is_prompt)
        gate.leavers.append(self._slots.leave)
        self._troubled: dict[Lane, list[float]] = {}

    async def create(self, rendered: Rendered, *, lane: Lane, repeated: bool) -> Outcome:
        """Create the Job. Waits while the API server is away as a whole; nothing else is waited for long.

        Raises `Unmade`, `NoSlot`, `Leaving`, and what `launch` raises, as a `Rejection` if it is for good.
        """
        began, failures = time.monotonic(), 0
        while True:
            await self._gate.wait()
            self._check_namespace(lane)
            try:
                with await self._slots.place(lane):
                    if self._gate.is_open:
                        return await self._try(rendered, lane=lane, repeated=repeated)
                    # It was closed while a place was waited for.
            except Unavailable as error:
                blame = await self._namespaces.blame(lane[0], error)
                if blame is Blame.SERVER:
                    self._tracing.noticed("paused", error)
                    self._gate.close(error)
                    began, failures = time.monotonic(), 0
                elif blame is Blame.JOB:
                    failures += 1
                    if self._is_patient(lane) and failures < TRIES and time.monotonic() - began < QUICK_SECONDS:
                        await asyncio.sleep(backoff(failures))
                        continue
                    self._note_trouble(lane)
                    raise Unmade("UNAVAILABLE", str(error)) from error

    def _check_namespace(self, lane: Lane) -> None:
        """Raises `Unmade` for a namespace that is known to take no Jobs: nobody else is to wait for it."""
        sickness = self._namespaces.sickness(lane[0])
        if sickness is not None:
            gone = sickness.cause is Cause.NAMESPACE
            raise Unmade("NAMESPACE_GONE" if gone else "UNAVAILABLE", str(sickness))

    async def _try(self, rendered: Rendered, *, lane: Lane, repeated: bool) -> Outcome:
        make = launch_schedule if rendered.scheduled else launch
        began = time.perf_counter()
        try:
            outcome = await make(self._cluster, rendered, repeated=repeated)
        except (Taken, Refused) as error:
            self._passed(lane)
            raise _rejection(error) from error
        finally:
            self._metrics.create_seconds.observe(time.perf_counter() - began)
        self._passed(lane)
        if outcome is Outcome.CREATED:
            self._pressure.created(rendered, lane[1])
        return outcome

    def _passed(self, lane: Lane) -> None:
        self._gate.passed()
        self._namespaces.passed(lane[0])

    def _is_patient(self, lane: Lane) -> bool:
        given_up = self._troubled.get(lane, [])
        return len(given_up) < TROUBLED or given_up[0] < time.monotonic() - TROUBLED_SECONDS

    def _note_trouble(self, lane: Lane) -> None:
        given_up = self._troubled.pop(lane, [])
        while len(self._troubled) >= _LANES:
            del self._troubled[next(iter(self._troubled))]
        self._troubled[lane] = [*given_up, time.monotonic()][-TROUBLED:]


def _rejection(error: Taken | Refused) -> Rejection:
    if isinstance(error, Taken):
        return Rejection(error.code, str(error))
    fields = [FieldError(path, message) for path, message in error.causes]
    codes = {403: "FORBIDDEN", 413: "TOO_LARGE"}
    return Rejection(codes.get(error.status, "INVALID_REQUEST"), str(error), fields)
