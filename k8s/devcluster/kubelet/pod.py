"""A pod on the node: what its containers share. Its files, its status and Events; the sign that it is to end."""

import asyncio
import contextlib
from pathlib import Path

from k8s.devcluster.controllers.owners import current
from k8s.devcluster.controllers.recorder import record
from k8s.devcluster.controllers.tally import is_terminal
from k8s.devcluster.kubelet.containerstatus import ContainerStatus
from k8s.devcluster.kubelet.logs import container_directory, pod_directory
from k8s.devcluster.kubelet.podstatus import report
from k8s.devcluster.resources import Obj
from k8s.devcluster.store.store import Store


class Pod:
    """`stopping` is set once no container may start any more."""

    def __init__(self, store: Store, obj: Obj, *, directory: Path, backoff: float) -> None:
        """`directory`: where `pods/` is. `backoff`: seconds before a second restart in place."""
        self.store = store
        self.first = obj
        self.spec: Obj = obj["spec"]
        self.namespace, self.name = obj["metadata"]["namespace"], obj["metadata"]["name"]
        self.uid: str = obj["metadata"]["uid"]
        self.directory = directory
        self.home = pod_directory(directory, self.uid)
        self.backoff = backoff
        self.inits = [ContainerStatus.of(spec, init=True) for spec in obj["spec"].get("initContainers") or []]
        self.containers = [ContainerStatus.of(spec, init=False) for spec in obj["spec"]["containers"]]
        self.stopping = asyncio.Event()
        self.prepared = False  # Whether its volumes are there.
        self.verdict: tuple[str, str] | None = None  # Reason and message, if the kubelet itself ends it.
        if self.inits:
            for status in (*self.inits, *self.containers):
                status.wait("PodInitializing")

    def current(self) -> Obj | None:
        """The pod now, READ-ONLY. None: it is gone."""
        found = current(self.store, ("pods", self.namespace, self.name))
        return found if found is not None and found["metadata"]["uid"] == self.uid else None

    def latest(self) -> Obj:
        """The pod now or, if it is gone, as it was at first. READ-ONLY."""
        return self.current() or self.first

    def look_up(self, resource: str, name: str) -> Obj | None:
        return current(self.store, (resource, self.namespace, name))

    def where(self, status: ContainerStatus) -> Path:
        return container_directory(self.directory, self.uid, status.name)

    def publish(self, *, over: bool = False) -> None:
        """Write its status, unless it has ended: what others have said about its end stays."""

        def change(pod: Obj) -> None:
            if pod["metadata"]["uid"] == self.uid and not is_terminal(pod):
                report(
                    pod,
                    inits=self.inits,
                    containers=self.containers,
                    prepared=self.prepared,
                    over=over,
                    verdict=self.verdict,
                )

        self.store.mutate("pods", self.namespace, self.name, change, subresource="status")

    def record(self, reason: str, message: str, *, field: str = "", type_: str = "Warning") -> None:
        """Write an Event about it, or about its container `field`."""
        record(
            self.store,
            "pods",
            self.first,
            reason=reason,
            message=message,
            component="kubelet",
            field=field,
            type_=type_,
        )

    async def pause(self, seconds: float | None) -> None:
        """Wait that long, or until the pod is being stopped. None: without limit."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.stopping.wait()
