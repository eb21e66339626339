"""Events as clients send them, and waiting for their effects."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from cloudevents.core.v1.event import CloudEvent

from events.cloudevent.event import build
from events.names import CONTROL_TYPE, REQUESTED_TYPE
from k8s.base import Manifest
from tests.patience import PATIENCE

T = TypeVar("T")
SOURCE = "/tests"


def make_request(request_id: str = "r-1", *, script: str = "true", attributes: Any = None, **data: Any) -> CloudEvent:
    """A request that runs `script` in a shell; `data` and `attributes` are merged over the defaults."""
    job = {"image": "busybox:1", "command": ["sh", "-c", script], **data.pop("job", {})}
    fixed = {
        "specversion": "1.0",
        "type": REQUESTED_TYPE,
        "source": SOURCE,
        "id": f"event-{request_id}",
        "datacontenttype": "application/json",
    }
    return build(fixed | (attributes or {}), {"id": request_id, "service": "tests", "job": job, **data})


def make_command(verb: str, subject: str, *, event_id: str = "command-1", **attributes: Any) -> CloudEvent:
    fixed = {
        "specversion": "1.0",
        "type": f"{CONTROL_TYPE}.{verb}",
        "source": SOURCE,
        "id": event_id,
        "subject": subject,
    }
    return build(fixed | attributes, None)


def by_hand(cron_job: Manifest) -> Manifest:
    """A Job of this CronJob, as `kubectl create job by-hand --from=cronjob/…` makes it."""
    template, owner = cron_job["spec"]["jobTemplate"], cron_job["metadata"]
    reference = {"apiVersion": "batch/v1", "kind": "CronJob", "name": owner["name"], "uid": owner["uid"]}
    metadata = {
        "name": "by-hand",
        "namespace": owner["namespace"],
        "ownerReferences": [{**reference, "controller": True}],
    }
    notes = {**template["metadata"]["annotations"], "cronjob.kubernetes.io/instantiate": "manual"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {**template["metadata"], **metadata, "annotations": notes},
        "spec": template["spec"],
    }


def waits_for(file: Path) -> str:
    """A script that ends once this file exists."""
    return f'until test -e "{file}"; do sleep 0.05; done'


async def until(look: Callable[[], Awaitable[T | None]], *, seconds: float = PATIENCE) -> T:
    """Return what `look` returns as soon as that is true; fails after `seconds`. The pauses grow with time."""
    pause = 0.01
    async with asyncio.timeout(seconds):
        while not (found := await look()):
            await asyncio.sleep(pause)
            pause = min(0.1, pause * 1.3)
    return found
