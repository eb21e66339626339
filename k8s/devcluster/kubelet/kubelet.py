"""The only node: decides which pods run on it, and gives each a worker. What happens in a pod is in worker.py."""

import asyncio
import contextlib
import logging
import shutil
from pathlib import Path

from k8s.devcluster.controllers.claims import CLAIMS, make_ephemeral, missing
from k8s.devcluster.controllers.owners import current
from k8s.devcluster.controllers.recorder import record
from k8s.devcluster.controllers.tally import is_terminal
from k8s.devcluster.errors import ApiError
from k8s.devcluster.kubelet.containers import Run, runs
from k8s.devcluster.kubelet.logs import pod_directory
from k8s.devcluster.kubelet.node import current_node
from k8s.devcluster.kubelet.podstatus import report_unschedulable
from k8s.devcluster.kubelet.worker import PodWorker
from k8s.devcluster.resources import Obj
from k8s.devcluster.rules import placement
from k8s.devcluster.store.store import Store

logger = logging.getLogger(__name__)

LAST_GRACE = 2.0  # Seconds for all containers when the node stops.
PATIENCE = 5.0  # Seconds that a pod waits for room before it is called unschedulable.
RETRY = 1.0
LOOK = 0.25  # Seconds between two looks at the logs that grow, and a millisecond more for each of them.


class Kubelet:
    """Call `observe` with pods while `run` runs. At the end of `run`, all containers are terminated."""

    def __init__(self, store: Store, *, directory: Path, capacity: int, backoff: float) -> None:
        """`capacity`: pods that run at once: the others wait. `backoff`: see PodWorker."""
        self._store = store
        self._directory = directory
        self._capacity = capacity
        self._backoff = backoff
        self._workers: dict[str, PodWorker] = {}
        self._waiting: dict[str, Obj] = {}  # For room.
        self._unfit: dict[str, Obj] = {}  # Waiting for a change of claims, the node or other pods.
        self._gone: set[str] = set()  # Of pods that have a worker.
        self._group = asyncio.TaskGroup()

    async def run(self, started: asyncio.Event) -> None:
        """Runs until cancelled. Sets `started` once pods may be observed."""
        await self._remove_leftovers()
        try:
            async with self._group:
                started.set()
                await self._note_logs()  # Until cancelled.
        finally:
            self._waiting.clear()
            self._unfit.clear()
            await self._terminate_all()

    def observe(self, resource: str, pod: Obj, *, gone: bool = False) -> None:
        if resource in (CLAIMS, "nodes"):
            self._try_again()
        if resource != "pods":
            return
        uid = pod["metadata"]["uid"]
        worker = self._workers.get(uid)
        deleted, ended = "deletionTimestamp" in pod["metadata"], is_terminal(pod)
        if gone or deleted or ended:
            self._waiting.pop(uid, None)
            self._unfit.pop(uid, None)
        if gone:
            self._forget(uid, worker)
        elif deleted:
            self._end(pod, worker)
        elif worker is None and not ended:
            self._place(pod)
        elif worker is not None and ended:
            # Somebody else says that it has ended, as controllers of a real cluster do when its node is lost.
            self._group.create_task(worker.stop(pod["spec"].get("terminationGracePeriodSeconds", 30)))

    # Placing

    def _place(self, pod: Obj) -> None:
        name, uid = pod["spec"].get("nodeName"), pod["metadata"]["uid"]
        if name == placement.NODE:
            self._start(pod)  # It runs here already.
        if name is not None:
            return
        why = self._refusal(pod)
        if why is not None:
            self._unfit[uid] = pod
            self._refuse(pod, why)
            return
        self._unfit.pop(uid, None)
        self._waiting.setdefault(uid, pod)
        self._fill_up()
        if uid in self._waiting:
            asyncio.get_running_loop().call_later(PATIENCE, self._complain_of_room, uid)

    def _refusal(self, pod: Obj) -> str | None:
        make_ephemeral(self._store, pod)
        lacking = missing(self._store, pod)
        if lacking:
            return placement.message(lacking, counted=False)
        node = current_node(self._store)
        if node is None:
            return "no nodes available to schedule pods"
        others = [*(worker.pod for worker in self._workers.values()), *self._waiting.values()]
        return placement.refusal(pod, node, [other for other in others if other is not pod])

    def _try_again(self) -> None:
        """Something has changed that pods may have waited for."""
        for uid, pod in list(self._unfit.items()):
            metadata = pod["metadata"]
            now = current(self._store, ("pods", metadata["namespace"], metadata["name"]))
            if now is None or now["metadata"]["uid"] != uid or is_terminal(now):
                continue
            if uid in self._unfit:
                self._place(now)

    def _fill_up(self) -> None:
        while self._waiting and len(self._workers) < self._capacity:
            self._start(self._waiting.pop(next(iter(self._waiting))))
            if self._unfit:
                asyncio.get_running_loop().call_soon(self._try_again)  # A pod may have affinity to it.

    def _complain_of_room(self, uid: str) -> None:
        if uid in self._waiting:
            self._refuse(self._waiting[uid], placement.message(placement.FULL, helpful=True))

    def _refuse(self, pod: Obj, text: str) -> None:
        metadata = pod["metadata"]
        before = current(self._store, ("pods", metadata["namespace"], metadata["name"]))
        after = self._store.mutate(
            "pods",
            metadata["namespace"],
            metadata["name"],
            lambda obj: report_unschedulable(obj, text),
            subresource="status",
        )
        if after is not None and after is not before:
            record(
                self._store,
                "pods",
                after,
                reason="FailedScheduling",
                message=text,
                component="default-scheduler",
            )

    # Workers

    def _start(self, pod: Obj) -> PodWorker:
        uid = pod["metadata"]["uid"]
        worker = PodWorker(self._store, pod, directory=self._directory, backoff=self._backoff)
        self._workers[uid] = worker
        self._group.create_task(self._live(uid, worker))
        return worker

    async def _live(self, uid: str, worker: PodWorker) -> None:
        while True:
            try:
                await worker.run()
            except Exception:  # A full disk, for example. What ran is written down, so go on later.
                logger.exception("cannot run pod %s", uid)
                await asyncio.sleep(RETRY)
            else:
                break
        # Not reached when cancelled: its containers still have to be terminated then.
        del self._workers[uid]
        if uid in self._gone:
            self._gone.remove(uid)
            await self._remove_directory(uid)
        self._fill_up()
        self._try_again()

    def _end(self, pod: Obj, worker: PodWorker | None) -> None:
        """Handle a pod that is being deleted."""
        metadata = pod["metadata"]
        grace = metadata.get("deletionGracePeriodSeconds", 0)
        here = pod["spec"].get("nodeName") == placement.NODE
        if worker is None and here and not is_terminal(pod):
            worker = self._start(pod)  # Found after a restart: the worker takes over what runs, and ends it.
        if worker is not None:
            self._group.create_task(worker.stop(grace))
        elif not here and not is_terminal(pod) and metadata.get("finalizers"):
            # Nobody will ever run it, but its Job may wait for its end. A real cluster collects such pods too.
            name = (metadata["namespace"], metadata["name"])
            self._store.mutate("pods", *name, lambda obj: obj["status"].update(phase="Failed"), subresource="status")
        elif grace:
            with contextlib.suppress(ApiError):  # It has gone meanwhile.
                name = (metadata["namespace"], metadata["name"])
                self._store.delete("pods", *name, grace=0, uid=metadata["uid"])

    def _forget(self, uid: str, worker: PodWorker | None) -> None:
        """Handle a pod that is gone."""
        if worker is None:
            self._group.create_task(self._remove_directory(uid))
        else:
            self._gone.add(uid)
            worker.kill()

    # Processes and files

    async def _note_logs(self) -> None:
        while True:
            running = [run for worker in self._workers.values() for run in worker.running]
            for run in running:
                run.times.note()
            await asyncio.sleep(LOOK + 0.001 * len(running))

    async def _remove_directory(self, uid: str) -> None:
        await asyncio.to_thread(shutil.rmtree, pod_directory(self._directory, uid), ignore_errors=True)

    async def _remove_leftovers(self) -> None:
        """Remove what is left of pods that were deleted while the node was down."""
        known = {pod["metadata"]["uid"] for pod in self._store.list("pods")}
        for home in (self._directory / "pods").glob("*"):
            if home.name in known:
                continue
            for container in (home / "containers").glob("*"):
                Run(container, runs(container)).kill()
            await self._remove_directory(home.name)

    async def _terminate_all(self) -> None:
        running = [run for worker in self._workers.values() for run in worker.running]
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_GRACE):
                    await asyncio.gather(*(run.terminate() for run in running))
                    await asyncio.gather(*(run.wait() for run in running))
        finally:
            for run in running:
                run.kill()
        await asyncio.gather(*(run.wait() for run in running))
