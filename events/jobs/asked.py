"""What a request asked for, as its Job shows it: told with `created`."""

from typing import Any

import msgspec

from events.cloudevent.timestamp import parse_time
from events.identity import function_in_name
from events.jobs.annotation import read_stored
from events.jobs.context import MAX_REMEMBERED, read_context
from events.jobs.observed import Job
from events.jobs.queueing import read_queueing


class PodRequests(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What one pod is: the image of its main container, and the cores and bytes that it requests, all containers.

    A Job keeps it as JSON (`Job.asked`): equal Jobs share that text, and few need more of it.
    """

    image: str | None = None
    cpu: float | None = None
    memory: int | None = None

    def to_text(self) -> str:
        """JSON; empty if nothing is known."""
        return "" if self == _UNKNOWN else msgspec.json.encode(self).decode()


_UNKNOWN = PodRequests()


def asked_for(job: Job) -> dict[str, Any]:
    """`detail.request` of `created`. What the Job does not say is absent; texts are cut."""
    pod = read_stored(job.asked, PodRequests) or _UNKNOWN
    context, queueing = read_context(job.context), read_queueing(job.queueing)
    found = {
        "type": _cut(context.get("type")),
        "eventTime": _time(context.get("time")),
        "replayOf": _cut(context.get("replayof")),
        "function": function_in_name(job.name, job.source, job.request_id),
        "image": pod.image,
        "cpu": pod.cpu,
        "memory": pod.memory,
        # What is kept is of all pods together.
        "gpus": queueing.gpus // max(1, job.parallelism) or None,
        "parallelism": job.parallelism,
        "priority": queueing.priority,
    }
    return {name: value for name, value in found.items() if value is not None}


def _cut(text: str | None) -> str | None:
    return None if text is None else text[:MAX_REMEMBERED]


def _time(text: str | None) -> str | None:
    try:
        return None if text is None or parse_time(text) is None else text
    except ValueError:
        return None
