"""Makers of events, Jobs, Pods and CronJobs: every field has a default, a test names only what it is about."""

from typing import Any

from cloudevents.core.v1.event import CloudEvent
from msgspec.structs import replace

from events.cloudevent.event import build
from events.jobs.observed import Condition, Job, Schedule
from events.jobs.pods import Container, Pod
from events.names import REQUESTED_TYPE

NOON = 1_795_262_400.0
"""2026-11-21T12:00:00Z."""


def make_event(data: object = None, **attributes: object) -> CloudEvent:
    fixed: dict[str, object] = {"specversion": "1.0", "id": "e1", "source": "/tests", "type": "com.example.made"}
    return build(fixed | attributes, data)


def make_request_event(data: object = None, **attributes: object) -> CloudEvent:
    """A job request; by default the smallest valid request."""
    wanted = {"job": {"image": "busybox"}} if data is None else data
    return make_event(wanted, **({"type": REQUESTED_TYPE} | attributes))


def make_job(**fields: Any) -> Job:
    fixed: dict[str, Any] = {
        "namespace": "default",
        "name": "mail-abc",
        "uid": "uid-1",
        "version": 7,
        "created": NOON,
        "request_id": "r1",
        "source": "/tests",
        "context": '{"id":"e1","type":"dev.jobrelay.job.requested"}',
        "backoff_limit": 0,
    }
    return Job(**(fixed | fields))


def make_schedule(**fields: Any) -> Schedule:
    fixed: dict[str, Any] = {
        "namespace": "default",
        "name": "mail-abc",
        "uid": "uid-s",
        "version": 7,
        "created": NOON,
        "request_id": "s",
        "source": "/tests",
        "context": '{"id":"e1","type":"dev.jobrelay.job.requested"}',
        "cron": "0 3 * * *",
    }
    return Schedule(**(fixed | fields))


_OF_CONTAINER = frozenset(
    ("started", "finished", "exit_code", "reason", "message", "cut", "may_be_log", "waiting_reason", "waiting_message")
)


def make_container(name: str = "main", **fields: Any) -> Container:
    return Container(name=name, **fields)


def make_pod(name: str = "p1", **fields: Any) -> Pod:
    """Fields of a container are those of its only one, `main`; `containers` are others beside it."""
    main = {field: fields.pop(field) for field in _OF_CONTAINER & fields.keys()}
    others = fields.pop("containers", ())
    fixed: dict[str, Any] = {
        "namespace": "default",
        "name": name,
        "uid": f"uid-{name}",
        "job_uid": "uid-1",
        "node": "node-1",
        "created": NOON,
        "phase": "Pending",
        "containers": (*((make_container(**main),) if main else ()), *others),
    }
    return Pod(**(fixed | fields))


def running(name: str = "p1", *, at: float = 1, **fields: Any) -> Pod:
    """A pod that has been running since `at` seconds after noon."""
    return make_pod(name, **({"phase": "Running", "created": NOON + at - 1, "started": NOON + at} | fields))


def succeeded(name: str = "p1", *, at: float = 5, **fields: Any) -> Pod:
    """A pod that succeeded `at` seconds after noon."""
    return _over(name, at, {"phase": "Succeeded", "exit_code": 0} | fields)


def failed(name: str = "p1", *, at: float = 5, **fields: Any) -> Pod:
    """A pod that failed with exit code 3, `at` seconds after noon."""
    return _over(name, at, {"phase": "Failed", "exit_code": 3, "reason": "Error"} | fields)


def ended_by(reason: str, *, message: str = "", at: float = 5, **fields: Any) -> Pod:
    """A pod that failed for a reason of its own, such as `Evicted`, not of its container's."""
    pod = failed(at=at, **{"exit_code": 137} | fields)
    return replace(pod, reason=reason, message=message or None)


def _over(name: str, at: float, fields: dict[str, Any]) -> Pod:
    return make_pod(name, **({"created": NOON + at - 2, "started": NOON + at - 1, "finished": NOON + at} | fields))


def condition(type_: str, *, at: float, status: bool = True, reason: str = "", message: str = "") -> Condition:
    """A condition that changed `at` seconds after noon."""
    return Condition(type=type_, status=status, reason=reason, message=message, at=NOON + at)
