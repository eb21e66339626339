"""A store with the controllers and the kubelet running on it in this process; no HTTP. Support for tests."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from k8s.devcluster.errors import ApiError
from k8s.devcluster.loops import Options, run
from k8s.devcluster.resources import Obj
from k8s.devcluster.store.store import Store
from k8s.devcluster.store.subscription import Subscription
from tests.patience import PATIENCE

NAMESPACE = "default"
QUICK = Options(backoff=0.05, ready_lag=0.05)


@dataclass
class Cluster:
    """`history`: (resource, type, object) of every change since the start, of what the controllers make."""

    store: Store
    directory: Path
    history: list[tuple[str, str, Obj]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, claim: Callable[[], Any]) -> Any:
        """The first truthy result of `claim`, which is called after every change."""
        async with asyncio.timeout(PATIENCE):
            while not (found := claim()):
                self.changed.clear()
                try:
                    async with asyncio.timeout(0.1):  # some claims are about files
                        await self.changed.wait()
                except TimeoutError:
                    continue
        # The history has the change that made the claim true once it is committed and announced.
        await self.store.committed()
        await asyncio.sleep(0)
        return found

    def get(self, resource: str, name: str) -> Obj | None:
        try:
            return self.store.get(resource, NAMESPACE, name)
        except ApiError:
            return None

    def job(self, name: str) -> Obj:
        return self.store.get("jobs", NAMESPACE, name)

    def status(self, name: str) -> Obj:
        found = self.get("jobs", name)
        return {} if found is None else found.get("status") or {}

    def pods(self, job: str) -> list[Obj]:
        return [
            pod
            for pod in self.store.list("pods", NAMESPACE)
            if (pod["metadata"].get("labels") or {}).get("job-name") == job
        ]

    async def finished(self, job: str) -> Obj:
        """The Job's status, once it is Complete or Failed."""
        await self.until(lambda: {"Complete", "Failed"} & set(conditions(self.status(job))))
        return self.status(job)

    async def running_pod(self, job: str) -> Obj:
        def claim() -> list[Obj]:
            return [pod for pod in self.pods(job) if pod["status"].get("phase") == "Running"]

        found: list[Obj] = await self.until(claim)
        return found[0]

    async def ended_pod(self, name: str) -> Obj:
        """The pod's status, once it is Succeeded or Failed."""

        def claim() -> Obj | None:
            pod = self.get("pods", name)
            ended = pod is not None and pod["status"].get("phase") in ("Succeeded", "Failed")
            return pod if ended else None

        found: Obj = await self.until(claim)
        return dict(found["status"])

    def files(self, pod: Obj) -> Path:
        return self.directory / "pods" / str(pod["metadata"]["uid"])

    def job_states(self, name: str) -> list[tuple[Any, ...]]:
        """The distinct states of a Job, in order."""
        states: list[tuple[Any, ...]] = []
        for resource, change, obj in self.history:
            if resource == "jobs" and obj["metadata"]["name"] == name:
                status = obj.get("status") or {}
                state = (change == "DELETED", tuple(conditions(status)), counters(status))
                if not states or states[-1] != state:
                    states.append(state)
        return states


def conditions(status: Obj) -> list[str]:
    """The types of the conditions that hold; `!Type` of those that do not."""
    return [item["type"] if item["status"] == "True" else f"!{item['type']}" for item in status.get("conditions") or []]


def counters(status: Obj) -> dict[str, int]:
    names = ("active", "ready", "succeeded", "failed", "terminating")
    return {name: status[name] for name in names if status.get(name)}


@asynccontextmanager
async def cluster(directory: Path, options: Options = QUICK) -> AsyncIterator[Cluster]:
    """A running cluster; started again on the same directory it continues with what is stored there."""
    store = Store(directory)
    running = Cluster(store, directory)
    try:
        async with (
            store.subscribe("cronjobs", "jobs", "pods", "events", "namespaces") as changes,
            asyncio.TaskGroup() as group,
        ):
            tasks = [group.create_task(run(store, directory, options))]
            tasks.append(group.create_task(_record(running, changes)))
            yield running
            for task in tasks:
                task.cancel()
    finally:
        store.close()


async def _record(running: Cluster, changes: Subscription) -> None:
    async for resource, change, obj in changes:
        running.history.append((resource, change, obj))
        running.changed.set()


def make_job(name: str, script: str = "true", *, template: Obj | None = None, **spec: Any) -> Obj:
    """A Job whose only container runs `script` in sh; `template`: more of the pod's spec, `spec`: of the Job's."""
    container = {"name": "main", "image": "busybox", "command": ["sh", "-c", script]}
    pod = {"restartPolicy": "Never", "containers": [container]} | (template or {})
    return {
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"backoffLimit": 0, "template": {"spec": pod}} | spec,
    }


def in_a_row(minutes: list[int]) -> bool:
    """Whether three follow one another. Of several that a busy machine missed, only the last gets a Job."""
    return any(minutes[start : start + 3] == [*range(first, first + 3)] for start, first in enumerate(minutes))


def make_cron_job(name: str, schedule: str, script: str = "true", *, template: Obj | None = None, **spec: Any) -> Obj:
    """A CronJob whose Jobs are those of `make_job`; `template`: the metadata of its jobTemplate."""
    jobs = {"metadata": template or {}, "spec": make_job(name, script)["spec"]}
    return {
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"schedule": schedule, "jobTemplate": jobs} | spec,
    }


def make_pod(name: str, *, container: Obj | None = None, **spec: Any) -> Obj:
    """A pod whose only container is `main`; `container`: more fields of it."""
    main = {"name": "main", "image": "busybox", "command": ["true"]} | (container or {})
    return {
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"restartPolicy": "Never", "containers": [main]} | spec,
    }


def shell(script: str, **more: object) -> Obj:
    """Fields of a container that runs `script` in sh. In it `$$` is a dollar sign: the shell's process id is `$$$$`."""
    return {"command": ["sh", "-c", script], **more}


def make_claim(name: str) -> Obj:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}


def ended(status: Obj, number: int = 0) -> Obj:
    """How a container ended."""
    state: Obj = status["containerStatuses"][number]["state"]
    return dict(state["terminated"])


def waiting(pod: Obj | None) -> Obj:
    """Why the pod's container waits; empty when it does not."""
    statuses = (pod or {}).get("status", {}).get("containerStatuses") or [{}]
    return dict(statuses[0].get("state", {}).get("waiting") or {})


def is_running(pid: int) -> bool:
    """Whether the process runs; a zombie, of which only the exit code is left, does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"
