"""The development cluster's API server without Job controller and kubelet: `python -m tests.bench.apiserver`.

Most Jobs stay as they were created. A Job whose container's command is `true` goes through a life: its pod runs for
`RUN_SECONDS` without a process, then the Job completes. A Job whose command is `brief` does so too, and is deleted
`KEEP_SECONDS` after its finalizers are removed, whatever its TTL. The server makes these writes itself: no client has
to.
"""

import asyncio
import gc
import sys
from pathlib import Path
from unittest.mock import patch

from k8s.devcluster import __main__ as devcluster, loops
from k8s.devcluster.controllers.jobpods import new_pod
from k8s.devcluster.resources import Obj
from k8s.devcluster.store.store import Store
from k8s.devcluster.times import now

RUN_SECONDS, KEEP_SECONDS = 0.2, 2.0
NEVER = 1_000_000_000
TRUE, BRIEF = "true", "brief"


async def run(store: Store, _directory: Path, _options: loops.Options) -> None:
    """Stands in for all controllers of the development cluster.

    Old objects are never searched for cycles: with 100,000 Jobs, nobody would get an answer for seconds.
    """
    gc.set_threshold(*gc.get_threshold()[:2], NEVER)
    living: dict[str, asyncio.Event] = {}
    async with store.subscribe("jobs") as changes, asyncio.TaskGroup() as group:
        async for _, change, job in changes:
            uid = job["metadata"]["uid"]
            if change == "ADDED" and _command(job) in (TRUE, BRIEF):
                living[uid] = asyncio.Event()
                group.create_task(_live(store, job, living[uid]))
            elif uid in living and (change == "DELETED" or not job["metadata"].get("finalizers")):
                living.pop(uid).set()


def _command(job: Obj) -> str:
    return " ".join(job["spec"]["template"]["spec"]["containers"][0].get("command", ()))


async def _live(store: Store, job: Obj, released: asyncio.Event) -> None:
    started = now()
    pod = store.create("pods", {"apiVersion": "v1", "kind": "Pod", **new_pod(job, index=None)})
    _set_status(store, "pods", pod, _pod_status("Running", {"running": {"startedAt": started}}))
    times = {"startTime": started}
    _set_status(store, "jobs", job, {**times, "active": 1, "ready": 1})
    await asyncio.sleep(RUN_SECONDS)
    ended = {"exitCode": 0, "reason": "Completed", "startedAt": started, "finishedAt": now()}
    _set_status(store, "pods", pod, _pod_status("Succeeded", {"terminated": ended}))
    _set_status(store, "jobs", job, {**times, **complete(), "succeeded": 1})
    if _command(job) == BRIEF:
        await released.wait()
        await asyncio.sleep(KEEP_SECONDS)
        namespace = job["metadata"]["namespace"]
        store.delete("pods", namespace, pod["metadata"]["name"], grace=0)
        store.delete("jobs", namespace, job["metadata"]["name"], propagation="Background")


def complete() -> Obj:
    """The status of a Job that has just completed."""
    moment = now()
    common = {"status": "True", "reason": "CompletionsReached", "lastProbeTime": moment, "lastTransitionTime": moment}
    conditions = [{"type": kind, **common} for kind in ("SuccessCriteriaMet", "Complete")]
    return {"conditions": conditions, "startTime": moment, "completionTime": moment}


def _pod_status(phase: str, state: Obj) -> Obj:
    container = {"name": "main", "image": "", "imageID": "", "ready": False, "restartCount": 0, "lastState": {}}
    return {"phase": phase, "startTime": now(), "containerStatuses": [{**container, "state": state}]}


def _set_status(store: Store, resource: str, obj: Obj, status: Obj) -> None:
    def change(current: Obj) -> None:
        current["status"] = status

    store.mutate(resource, obj["metadata"]["namespace"], obj["metadata"]["name"], change, subresource="status")


if __name__ == "__main__":
    with patch.object(loops, "run", run):
        sys.exit(devcluster.main())
