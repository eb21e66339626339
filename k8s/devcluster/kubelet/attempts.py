"""One container of a pod, from its image to the end of its last run: waits, starts, follows, restarts."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from k8s.devcluster.kubelet import images, messages
from k8s.devcluster.kubelet.containers import Exit, Run, runs
from k8s.devcluster.kubelet.containerstatus import ContainerStatus, terminated
from k8s.devcluster.kubelet.environment import ConfigMissing, Launch, LocalPaths, prepare
from k8s.devcluster.kubelet.pod import Pod
from k8s.devcluster.kubelet.volumes import inside
from k8s.devcluster.resources import Obj

RETRY = 1.0  # Seconds until it looks again for what is missing.
PULL = 1.0  # Seconds, at most, for which a failed pull is shown before the wait for the next.
LONGEST = 300.0  # Seconds: the longest wait before a container restarts in place, or a pull is tried again.
NO_COMMAND = 'the development cluster pulls no images: container "{}" needs `command`'


@dataclass(slots=True)
class Attempts:
    """Call `run` once. `running`: the pod's runs that have processes. `begun`: called when a run has them."""

    pod: Pod
    spec: Obj
    status: ContainerStatus
    running: set[Run]
    begun: Callable[[], None] = lambda: None
    _pulls: int = field(default=0, init=False)

    async def run(self, *, again: Callable[[int], bool]) -> None:
        """Return once it has ended for good. Without an exit code, it was stopped before it ran."""
        status, pod = self.status, self.pod
        number = max(runs(pod.where(status)), 1)
        self._recall(number - 1)
        while True:
            run = Run(pod.where(status), number)
            if not run.claimed:
                launch = await self._prepare(run)
                if launch is None:
                    return
                run.start(launch.command, env=launch.env, cwd=launch.cwd)
            status.restarts = number - 1
            ended = await self._watch(run)
            ends = pod.stopping.is_set() or not again(ended.code)
            if not ends or any(other.exit_code is None for other in pod.containers):
                pod.publish()  # Else the pod has ended, and its end is published with this.
            if ends:
                return
            status.restart()
            if number > 1:  # The first restart comes at once.
                await self._rest(_delay(pod.backoff, number - 2))
            number += 1

    def _recall(self, number: int) -> None:
        """How the run before ended, if it was not this worker's."""
        run = Run(self.pod.where(self.status), number)
        ended = run.result()
        if ended is not None:
            message = messages.termination_message(self.spec, run, ended)
            known = terminated(ended, started=run.started, message=message, identifier=self._identifier(run))
            self.status.last, self.status.restarts = {"terminated": known}, number - 1

    async def _rest(self, seconds: float) -> None:
        pod, name = self.pod, self.status.name
        self.status.wait("CrashLoopBackOff", messages.back_off(seconds, name, pod.first))
        pod.publish()
        which = f"{name} in pod {messages.described(pod.first)}"
        pod.record("BackOff", f"Back-off restarting failed container {which}", field=self._field)
        await pod.pause(seconds)

    async def _prepare(self, run: Run) -> Launch | None:
        """None: the pod is being stopped. A container that can never run waits for that."""
        pod, status = self.pod, self.status
        while not pod.stopping.is_set():
            before, delay = status.state, None
            missing = images.missing(self.spec)
            if missing is not None and missing.again:
                await self._pull(missing)
                continue
            if missing is not None:
                status.wait(missing.reason, missing.message)
            elif not self.spec.get("command"):
                status.wait("CreateContainerError", NO_COMMAND.format(status.name))
            else:
                try:
                    return self._launch(run)
                except ConfigMissing as error:
                    status.wait("CreateContainerConfigError", str(error))
                    delay = RETRY
            pod.publish()
            if status.state != before:
                pod.record("Failed", f"Error: {status.state['waiting']['message']}", field=self._field)
            await pod.pause(delay)
        return None

    async def _pull(self, missing: images.Missing) -> None:
        """Fail to pull, and wait for the next try. Records Events the first time."""
        pod, image, first = self.pod, self.spec["image"], self._pulls == 0
        self._wait_for_image(missing.reason, missing.message)
        if first:
            pod.record("Failed", f'Failed to pull image "{image}": {missing.message}', field=self._field)
            pod.record("Failed", f"Error: {missing.reason}", field=self._field)
        await pod.pause(min(PULL, pod.backoff))
        if pod.stopping.is_set():
            return
        why = f'Back-off pulling image "{image}"'
        self._wait_for_image("ImagePullBackOff", f"{why}: {missing.reason}: {missing.message}")
        if first:
            pod.record("BackOff", why, field=self._field, type_="Normal")
            pod.record("Failed", "Error: ImagePullBackOff", field=self._field)
        await pod.pause(_delay(pod.backoff, self._pulls))
        self._pulls += 1

    def _wait_for_image(self, reason: str, message: str) -> None:
        self.status.wait(reason, message)
        self.pod.publish()

    def _launch(self, run: Run) -> Launch:
        pod, spec = self.pod, self.spec
        run.log.parent.mkdir(parents=True, exist_ok=True)
        volumes = pod.home / "volumes"
        for mount in spec.get("volumeMounts") or []:
            if mount.get("subPath"):  # A real node creates it too, if it is missing.
                with contextlib.suppress(FileExistsError):  # It is a file.
                    inside(volumes / mount["name"], mount["subPath"]).mkdir(parents=True, exist_ok=True)
        paths = LocalPaths(spec, volumes=volumes, message=run.message)
        return prepare(pod.latest(), spec, home=pod.home, paths=paths, lookup=pod.look_up)

    async def _watch(self, run: Run) -> Exit:
        """Follow a run that this worker, or a former worker, has started."""
        pod, status = self.pod, self.status
        status.identifier = self._identifier(run)
        if run.is_child or run.result() is None:
            status.run(run.started or time.time())
            self.running.add(run)
            pod.publish()
            self.begun()
            if pod.stopping.is_set():
                await run.terminate()
        ended = await run.wait()
        self.running.discard(run)
        run.times.note()
        status.end(ended, started=run.started, message=messages.termination_message(self.spec, run, ended))
        return ended

    def _identifier(self, run: Run) -> str:
        return f"process://{self.pod.uid}/{self.status.name}/{run.number}"

    @property
    def _field(self) -> str:
        place = "initContainers" if self.status.init else "containers"
        return f"spec.{place}{{{self.status.name}}}"


def _delay(first: float, times: int) -> float:
    """Seconds to wait when that was done `times` times before."""
    return min(first * 2.0 ** min(times, 16), LONGEST)
