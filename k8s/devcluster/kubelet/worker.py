"""The life of a pod on the node: fills its volumes, runs its containers, reports its end.

It finds what ran already in the pod's directory, so a new worker goes on where a killed worker stopped.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from k8s.devcluster.controllers.owners import current
from k8s.devcluster.controllers.recorder import record
from k8s.devcluster.errors import ApiError
from k8s.devcluster.kubelet.containers import LOST, Exit, Run, runs
from k8s.devcluster.kubelet.environment import ConfigMissing, Launch, LocalPaths, prepare
from k8s.devcluster.kubelet.logs import container_directory, last_lines, pod_directory
from k8s.devcluster.kubelet.podstatus import ContainerStatus, report
from k8s.devcluster.kubelet.volumes import VolumeUnavailable, fill, inside
from k8s.devcluster.resources import Obj
from k8s.devcluster.rules.placement import NODE
from k8s.devcluster.store.store import Store

RETRY = 1.0  # Seconds until it looks again for what is missing.
CRASH_LOOP = 300.0  # Seconds: the longest wait before a container restarts in place.
MESSAGE_BYTES = 4096
TAIL_BYTES = 2048
TAIL_LINES = 80
UNPULLABLE = "missing/"
NO_IMAGE = f"no image of {UNPULLABLE} can be pulled in the development cluster"
NO_COMMAND = 'the development cluster pulls no images: container "{}" needs `command`'
NEVER_RAN = "the pod was deleted before this container ran"


class PodWorker:
    """Call `run`; then `stop` when the pod is being deleted, or `kill` if it is gone already."""

    def __init__(self, store: Store, pod: Obj, *, directory: Path, backoff: float) -> None:
        """`directory`: where `pods/` is. `backoff`: seconds before a second restart in place; doubles each time."""
        self._store = store
        self.pod = pod
        self._directory = directory
        self._backoff = backoff
        self._namespace, self._name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        self._uid: str = pod["metadata"]["uid"]
        self._home = pod_directory(directory, self._uid)
        self._phase = "Pending"
        self._inits = [_status(spec) for spec in pod["spec"].get("initContainers") or []]
        self._containers = [_status(spec) for spec in pod["spec"]["containers"]]
        self._stopping = asyncio.Event()
        self._over = asyncio.Event()
        self._ended = asyncio.Event()  # All containers but the sidecars.
        self._begun: dict[str, asyncio.Event] = {}  # By sidecar.
        self._grace: float | None = None
        self.running: set[Run] = set()

    async def run(self) -> None:
        """Return once the pod has ended, or is gone. Cancelling this leaves its processes running."""
        self._over.clear()
        self._ended.clear()
        try:
            self._bind()
            async with asyncio.TaskGroup() as group:
                sidecars: list[asyncio.Task[None]] = []
                if await self._fill_volumes() and await self._run_inits(group, sidecars):
                    await self._run_containers()
                await self._end_sidecars(sidecars)
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
        self._stopping.set()
        for begun in self._begun.values():
            begun.set()

    # Before anything runs

    def _bind(self) -> None:
        def change(pod: Obj) -> None:
            if pod["metadata"]["uid"] == self._uid:
                pod["spec"].setdefault("nodeName", NODE)

        self._store.mutate("pods", self._namespace, self._name, change)

    async def _fill_volumes(self) -> bool:
        """False: the pod is being stopped."""
        if any(runs(self._where(status)) for status in (*self._inits, *self._containers)):
            return True
        complaint = ""
        while not self._stopping.is_set():
            pod = current(self._store, ("pods", self._namespace, self._name)) or self.pod
            try:
                fill(
                    pod,
                    directory=self._home / "volumes",
                    claims=self._directory / "claims",
                    lookup=self._look_up,
                )
            except VolumeUnavailable as error:
                if str(error) != complaint:
                    complaint = str(error)
                    self._record("FailedMount", complaint)
                    self._publish()
            else:
                return True
            await self._pause(RETRY)
        return False

    def _look_up(self, resource: str, name: str) -> Obj | None:
        return current(self._store, (resource, self._namespace, name))

    # Containers

    async def _run_inits(self, group: asyncio.TaskGroup, sidecars: list[asyncio.Task[None]]) -> bool:
        """One after another; sidecars only until they run. False: one has failed for good, or the pod is stopping."""
        policy = self.pod["spec"]["restartPolicy"]
        if self._inits:
            for status in self._containers:
                status.wait("PodInitializing")
        for spec, status in zip(self.pod["spec"].get("initContainers") or [], self._inits, strict=True):
            if status.sidecar:
                begun = self._begun[status.name] = asyncio.Event()
                lives = self._run_one(spec, status, again=lambda _: not self._ended.is_set())
                sidecars.append(group.create_task(lives))
                if not self._stopping.is_set():
                    await begun.wait()
                if self._stopping.is_set():
                    return False
                continue
            await self._run_one(spec, status, again=lambda code: code != 0 and policy != "Never")
            if status.exit_code != 0:
                return False
        return True

    async def _end_sidecars(self, sidecars: list[asyncio.Task[None]]) -> None:
        """All others have ended: terminate and then kill sidecars that run, and stop waiting for those that do not."""
        self._ended.set()
        if not sidecars:
            return
        for task, status in zip(sidecars, [status for status in self._inits if status.sidecar], strict=False):
            if not status.is_running:
                task.cancel()
        await asyncio.gather(*(run.terminate() for run in self.running))
        grace = self.pod["spec"].get("terminationGracePeriodSeconds", 30) if self._grace is None else self._grace
        await asyncio.wait(sidecars, timeout=grace)
        for run in self.running:
            run.kill()

    async def _run_containers(self) -> None:
        policy = self.pod["spec"]["restartPolicy"]

        def again(code: int) -> bool:
            return policy == "Always" or (policy == "OnFailure" and code != 0)

        pairs = list(zip(self.pod["spec"]["containers"], self._containers, strict=True))
        if len(pairs) == 1:
            await self._run_one(*pairs[0], again=again)
            return
        async with asyncio.TaskGroup() as group:
            for spec, status in pairs:
                group.create_task(self._run_one(spec, status, again=again))

    async def _run_one(self, spec: Obj, status: ContainerStatus, *, again: Callable[[int], bool]) -> None:
        """Return once it has ended for good. Without an exit code, it was stopped before it ran."""
        number = max(runs(self._where(status)), 1)
        while True:
            run = Run(self._where(status), number)
            status.restarts = number - 1
            if not run.claimed:
                launch = await self._prepare(spec, status, run)
                if launch is None:
                    return
                run.start(launch.command, env=launch.env, cwd=launch.cwd)
            ended = await self._watch(spec, status, run)
            if self._stopping.is_set() or not again(ended.code):
                if any(other.exit_code is None for other in self._containers):
                    self._publish()
                return
            status.last = status.state
            delay = self._restart_delay(number)
            status.wait("CrashLoopBackOff", f"back-off {delay:g}s restarting failed container={status.name}")
            number += 1
            self._publish()
            await self._pause(delay)

    def _restart_delay(self, number: int) -> float:
        """Seconds to wait after run number `number`. The first restart comes at once."""
        return 0.0 if number == 1 else min(self._backoff * 2.0 ** min(number - 2, 16), CRASH_LOOP)

    async def _prepare(self, spec: Obj, status: ContainerStatus, run: Run) -> Launch | None:
        """None: the pod is being stopped. A container that can never run waits for that."""
        while not self._stopping.is_set():
            before, delay = status.state, None
            if spec["image"].startswith(UNPULLABLE):
                status.wait("ImagePullBackOff", f"Back-off pulling image {spec['image']}")
            elif not spec.get("command"):
                status.wait("CreateContainerError", NO_COMMAND.format(spec["name"]))
            else:
                try:
                    return self._launch(spec, run)
                except ConfigMissing as error:
                    status.wait("CreateContainerConfigError", str(error))
                    delay = RETRY
            self._publish()
            if status.state != before:
                self._complain(spec, status)
            await self._pause(delay)
        return None

    def _complain(self, spec: Obj, status: ContainerStatus) -> None:
        """Record Events about a container that cannot start, in a real kubelet's words."""
        waiting, image = status.state["waiting"], spec["image"]
        place = "containers" if status in self._containers else "initContainers"
        field = f"spec.{place}{{{status.name}}}"
        if waiting["reason"] != "ImagePullBackOff":
            self._record("Failed", f"Error: {waiting['message']}", field=field)
            return
        self._record("Failed", f'Failed to pull image "{image}": {NO_IMAGE}', field=field)
        self._record("Failed", "Error: ErrImagePull", field=field)
        self._record("BackOff", f'Back-off pulling image "{image}"', field=field, type_="Normal")
        self._record("Failed", "Error: ImagePullBackOff", field=field)

    def _launch(self, spec: Obj, run: Run) -> Launch:
        run.log.parent.mkdir(parents=True, exist_ok=True)
        for mount in spec.get("volumeMounts") or []:
            if mount.get("subPath"):  # A real node creates it too, if it is missing.
                with contextlib.suppress(FileExistsError):  # It is a file.
                    inside(self._home / "volumes" / mount["name"], mount["subPath"]).mkdir(parents=True, exist_ok=True)
        paths = LocalPaths(spec, volumes=self._home / "volumes", message=run.message)
        pod = current(self._store, ("pods", self._namespace, self._name)) or self.pod
        return prepare(pod, spec, home=self._home, paths=paths, lookup=self._look_up)

    async def _watch(self, spec: Obj, status: ContainerStatus, run: Run) -> Exit:
        """Follow a run that this worker, or a former worker, has started."""
        if run.is_child or run.result() is None:
            status.run(run.started or time.time(), f"process://{self._uid}/{status.name}/{run.number}")
            if status in self._containers:
                self._phase = "Running"
            self.running.add(run)
            self._publish()
            if status.sidecar:
                self._begun[status.name].set()
            if self._stopping.is_set():
                await run.terminate()
        ended = await run.wait()
        self.running.discard(run)
        status.started = run.started
        status.end(ended, message=_termination_message(spec, run, ended))
        return ended

    # Reporting

    def _finish(self) -> None:
        stopped = self._stopping.is_set()
        for status in self._containers:
            if stopped and status.exit_code is None:
                unknown = Exit(code=LOST, reason="ContainerStatusUnknown", message="", finished=time.time())
                status.end(unknown, message=NEVER_RAN)
        # The end of a sidecar says nothing about the pod.
        codes = [status.exit_code for status in (*self._inits, *self._containers) if not status.sidecar]
        self._phase = "Failed" if any(codes) or None in codes else "Succeeded"
        self._publish()
        if stopped:
            with contextlib.suppress(ApiError):  # It is gone, and perhaps another pod has its name.
                self._store.delete("pods", self._namespace, self._name, grace=0, uid=self._uid)

    def _publish(self) -> None:
        def change(pod: Obj) -> None:
            if pod["metadata"]["uid"] == self._uid:
                report(pod, phase=self._phase, inits=self._inits, containers=self._containers)

        self._store.mutate("pods", self._namespace, self._name, change, subresource="status")

    def _record(self, reason: str, message: str, *, field: str = "", type_: str = "Warning") -> None:
        record(
            self._store,
            "pods",
            self.pod,
            reason=reason,
            message=message,
            component="kubelet",
            field=field,
            type_=type_,
        )

    def _where(self, status: ContainerStatus) -> Path:
        return container_directory(self._directory, self._uid, status.name)

    async def _pause(self, seconds: float | None) -> None:
        """Wait that long, or until the pod is being stopped. None: without limit."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()


def _status(spec: Obj) -> ContainerStatus:
    return ContainerStatus(name=spec["name"], image=spec["image"], sidecar=spec.get("restartPolicy") == "Always")


def _termination_message(spec: Obj, run: Run, ended: Exit) -> str:
    """What is in the container's file; else why it could not start; else, after a failure, the end of its log."""
    content = b""
    with contextlib.suppress(OSError), run.message.open("rb") as stream:
        content = stream.read(MESSAGE_BYTES)
    if content or ended.message:
        return content.decode(errors="replace") or ended.message
    if ended.code and spec.get("terminationMessagePolicy") == "FallbackToLogsOnError":
        with contextlib.suppress(OSError):
            content = last_lines(run.log, TAIL_LINES, limit=TAIL_BYTES)
    return content.decode(errors="replace")
