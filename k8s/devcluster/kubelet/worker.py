"""The life of a pod on the node: fills its volumes, runs its containers, reports its end.

It finds what ran already in the pod's directory, so a new worker goes on where a killed worker stopped.
"""

import asyncio
import contextlib
import time
from pathlib import Path

from k8s.devcluster.controllers.tally import is_terminal
from k8s.devcluster.errors import ApiError
from k8s.devcluster.kubelet.attempts import RETRY, Attempts
from k8s.devcluster.kubelet.containers import Run, runs
from k8s.devcluster.kubelet.containerstatus import ContainerStatus
from k8s.devcluster.kubelet.pod import Pod
from k8s.devcluster.kubelet.podphase import is_initialized
from k8s.devcluster.kubelet.volumes import VolumeUnavailable, fill
from k8s.devcluster.resources import Obj
from k8s.devcluster.rules.placement import NODE
from k8s.devcluster.store.store import Store
from k8s.devcluster.times import now, parse_time

EXPIRED = ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")


class PodWorker:
    """Call `run`; then `stop` when the pod is to end, or `kill` if it is gone already."""

    def __init__(self, store: Store, pod: Obj, *, directory: Path, backoff: float) -> None:
        """`directory`: where `pods/` is. `backoff`: seconds before a second restart in place; doubles each time."""
        self._store = store
        self.pod = pod
        self._pod = Pod(store, pod, directory=directory, backoff=backoff)
        self._over = asyncio.Event()
        self._ended = asyncio.Event()  # All containers but the sidecars.
        self._begun: dict[str, asyncio.Event] = {}  # By sidecar.
        self._grace: float | None = None
        self.running: set[Run] = set()

    async def run(self) -> None:
        """Return once the pod has ended, or is gone. Cancelling this leaves its processes running."""
        if is_terminal(self._pod.latest()):
            return  # Somebody else has said so before it ran.
        self._over.clear()
        self._ended.clear()
        try:
            self._bind()
            async with asyncio.TaskGroup() as group:
                deadline = group.create_task(self._expire())
                sidecars: list[asyncio.Task[None]] = []
                if await self._fill_volumes() and await self._run_inits(group, sidecars):
                    await self._run_containers()
                await self._end_sidecars(sidecars)
                deadline.cancel()
            self._finish()
        finally:
            self._over.set()

    async def stop(self, grace: float) -> None:
        """SIGTERM, and SIGKILL after `grace` seconds. `run` reports the end. A later call can only shorten the time."""
        if self._grace is not None and grace >= self._grace:
            return
        self._grace = grace
        self._stop_waiting()
        await asyncio.gather(*(run.terminate() for run in self.running))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._over.wait()
        self.kill()

    def kill(self) -> None:
        self._stop_waiting()
        for run in self.running:
            run.kill()

    def _stop_waiting(self) -> None:
        self._pod.stopping.set()
        for begun in self._begun.values():
            begun.set()

    async def _expire(self) -> None:
        """End the pod at its deadline; its Job's is another."""
        seconds = self._pod.spec.get("activeDeadlineSeconds")
        if seconds is None:
            return
        started = parse_time(self._pod.latest()["status"].get("startTime") or now())
        await asyncio.sleep(started + seconds - time.time())
        self._pod.verdict = EXPIRED
        self._pod.record(*EXPIRED, type_="Normal")
        await self.stop(self._pod.spec.get("terminationGracePeriodSeconds", 30))

    # Before anything runs

    def _bind(self) -> None:
        pod = self._pod.current()
        if pod is None or pod["spec"].get("nodeName"):
            return
        self._store.mutate("pods", self._pod.namespace, self._pod.name, lambda pod: pod["spec"].update(nodeName=NODE))

    async def _fill_volumes(self) -> bool:
        """False: the pod is being stopped."""
        pod, complaint = self._pod, ""
        pod.prepared = any(runs(pod.where(status)) for status in (*pod.inits, *pod.containers))
        while not pod.prepared and not pod.stopping.is_set():
            try:
                fill(
                    pod.latest(),
                    directory=pod.home / "volumes",
                    claims=pod.directory / "claims",
                    lookup=pod.look_up,
                )
            except VolumeUnavailable as error:
                if str(error) != complaint:
                    complaint = str(error)
                    pod.record("FailedMount", complaint)
                    pod.publish()
                await pod.pause(RETRY)
            else:
                pod.prepared = True
        return pod.prepared

    # Containers

    async def _run_inits(self, group: asyncio.TaskGroup, sidecars: list[asyncio.Task[None]]) -> bool:
        """One after another; sidecars only until they run. False: one has failed for good, or the pod is stopping."""
        pod, policy = self._pod, self._pod.spec["restartPolicy"]
        for spec, status in zip(pod.spec.get("initContainers") or [], pod.inits, strict=True):
            if status.sidecar:
                begun = self._begun[status.name] = asyncio.Event()
                attempts = Attempts(pod, spec, status, self.running, begun.set)
                sidecars.append(group.create_task(attempts.run(again=lambda _: not self._ended.is_set())))
                if not pod.stopping.is_set():
                    await begun.wait()
                if pod.stopping.is_set():
                    return False
                continue
            attempts = Attempts(pod, spec, status, self.running)
            await attempts.run(again=lambda code: code != 0 and policy != "Never")
            if status.exit_code != 0:
                return False
        return True

    async def _end_sidecars(self, sidecars: list[asyncio.Task[None]]) -> None:
        """All others have ended: terminate and then kill sidecars that run, and stop waiting for those that do not."""
        self._ended.set()
        if not sidecars:
            return
        for task, status in zip(sidecars, [status for status in self._pod.inits if status.sidecar], strict=False):
            if not status.is_running:
                task.cancel()
        await asyncio.gather(*(run.terminate() for run in self.running))
        grace = self._pod.spec.get("terminationGracePeriodSeconds", 30) if self._grace is None else self._grace
        await asyncio.wait(sidecars, timeout=grace)
        for run in self.running:
            run.kill()

    async def _run_containers(self) -> None:
        pod, policy = self._pod, self._pod.spec["restartPolicy"]

        def again(code: int) -> bool:
            return policy == "Always" or (policy == "OnFailure" and code != 0)

        pairs = zip(pod.spec["containers"], pod.containers, strict=True)
        every = [Attempts(pod, spec, status, self.running) for spec, status in pairs]
        if len(every) == 1:
            await every[0].run(again=again)
            return
        async with asyncio.TaskGroup() as group:
            for attempts in every:
                group.create_task(attempts.run(again=again))

    # The end

    def _finish(self) -> None:
        pod = self._pod
        for status in (*pod.inits, *pod.containers):
            status.settle()
        if pod.stopping.is_set():
            for status in _lost(pod):
                status.lose()
        pod.publish(over=True)
        latest = pod.current()
        if latest is not None and "deletionTimestamp" in latest["metadata"]:
            with contextlib.suppress(ApiError):  # It has gone meanwhile.
                self._store.delete("pods", pod.namespace, pod.name, grace=0, uid=pod.uid)


def _lost(pod: Pod) -> list[ContainerStatus]:
    """Containers that had their turn, or may have had it, and never ran."""
    if is_initialized(pod.inits, pod.containers):
        reached = [*pod.inits, *pod.containers]
    else:
        ran = [number for number, status in enumerate(pod.inits) if not status.has_never_run]
        reached = pod.inits[: max(ran, default=-1) + 1]
    return [status for status in reached if status.has_never_run]
