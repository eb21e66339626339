"""`metrics.k8s.io/v1beta1`: what running pods use, measured on request from their processes. Keeps no history."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from k8s.devcluster.api.lists import read_page
from k8s.devcluster.api.selectors import compile_selector
from k8s.devcluster.api.target import Target
from k8s.devcluster.errors import ApiError
from k8s.devcluster.kubelet.containers import Run, runs
from k8s.devcluster.kubelet.logs import container_directory
from k8s.devcluster.kubelet.processes import Reading, read_sessions
from k8s.devcluster.resources import POD_METRICS, RESOURCES, Obj
from k8s.devcluster.store.history import Version
from k8s.devcluster.store.store import Store

RESOLUTION = 1.0
"""Seconds until it is measured again."""
SHORTEST_WINDOW = 0.1
"""Seconds. CPU time comes in ticks of 10 ms: over less time it is meaningless."""

_Place = tuple[str, str, int]
"""Uid of the pod, name of the container, number of the container's run."""


@dataclass(frozen=True, slots=True)
class _Point:
    at: float
    reading: Reading


@dataclass(slots=True)
class _Sample:
    """What a pod uses: epoch seconds, the seconds over which CPU is averaged, and `usage` by container."""

    at: float
    window: float = 0.0
    usage: dict[str, dict[str, str]] = field(default_factory=dict)


class PodMetrics:
    """Answers GETs and lists. CPU is the average since the last measurement, or since the start."""

    def __init__(self, store: Store, directory: Path) -> None:
        self._store = store
        self._directory = directory
        self._lock = asyncio.Lock()
        self._measured_at = float("-inf")
        self._points: dict[_Place, _Point] = {}
        self._samples: dict[str, _Sample] = {}

    async def read(self, target: Target) -> Obj:
        """A single pod. ApiError 404: there is no such pod, or it does not run."""
        await self._measure()
        full = f"{target.place}/{target.name}"
        for pod in self._pods(target, {"fieldSelector": f"metadata.name={target.name}"}):
            if (sample := self._samples.get(pod.obj["metadata"]["uid"])) is not None:
                return {"kind": POD_METRICS.kind, "apiVersion": POD_METRICS.api_version, **_shown(pod.obj, sample)}
        details = {"name": full, "group": POD_METRICS.group, "kind": "podmetrics"}
        raise ApiError(404, "NotFound", f'podmetrics.{POD_METRICS.group} "{full}" not found', details=details)

    async def select(self, target: Target, query: Mapping[str, str]) -> Obj:
        """A list of all pods that run and match."""
        await self._measure()
        pods = [pod.obj for pod in self._pods(target, query)]
        items = [_shown(pod, self._samples[uid]) for pod in pods if (uid := pod["metadata"]["uid"]) in self._samples]
        head = {"kind": f"{POD_METRICS.kind}List", "apiVersion": POD_METRICS.api_version, "metadata": {}}
        return {**head, "items": items}

    def _pods(self, target: Target, query: Mapping[str, str]) -> list[Version]:
        kind = RESOURCES["pods"]
        selector = compile_selector(kind, query.get("labelSelector"), query.get("fieldSelector"))
        return read_page(self._store, Target(kind, target.namespace, None, None), selector, {}).versions

    async def _measure(self) -> None:
        async with self._lock:
            if time.monotonic() - self._measured_at < RESOLUTION:
                return
            containers = [
                (pod["metadata"]["uid"], container["name"])
                for pod in self._store.list("pods")
                if pod.get("status", {}).get("phase") == "Running"
                for container in pod["spec"]["containers"]
            ]
            points = await asyncio.to_thread(_read, self._directory, containers)
            self._samples = self._compare(points)
            self._points = {place: point for place, (point, _) in points.items()}
            self._measured_at = time.monotonic()

    def _compare(self, points: Mapping[_Place, tuple[_Point, float]]) -> dict[str, _Sample]:
        samples: dict[str, _Sample] = {}
        for place, (point, started) in points.items():
            before = self._points.get(place, _Point(started, Reading(0.0, 0)))
            window = point.at - before.at
            if window < SHORTEST_WINDOW:
                continue
            # If a process leaves the session, its CPU time leaves the sum.
            cores = max(0.0, point.reading.cpu - before.reading.cpu) / window
            sample = samples.setdefault(place[0], _Sample(point.at))
            sample.window = max(sample.window, window)
            sample.usage[place[1]] = {"cpu": _cpu(cores), "memory": f"{point.reading.memory // 1024}Ki"}
        return samples


def _read(directory: Path, containers: list[tuple[str, str]]) -> dict[_Place, tuple[_Point, float]]:
    """What each container's current run has used so far, and when the run began (epoch seconds)."""
    leaders: dict[int, tuple[_Place, float]] = {}
    for uid, name in containers:
        home = container_directory(directory, uid, name)
        run = Run(home, runs(home))
        if (leader := run.leader()) is not None:
            leaders[leader] = ((uid, name, run.number), run.started)
    now = time.time()
    readings = read_sessions(leaders.keys()) if leaders else {}
    return {
        place: (_Point(now, readings[leader]), started)
        for leader, (place, started) in leaders.items()
        if leader in readings
    }


def _shown(pod: Obj, sample: _Sample) -> Obj:
    metadata = pod["metadata"]
    return {
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "creationTimestamp": _time(time.time()),
            **({"labels": metadata["labels"]} if metadata.get("labels") else {}),
        },
        "timestamp": _time(sample.at),
        "window": f"{sample.window:.3f}s",
        "containers": [{"name": name, "usage": usage} for name, usage in sample.usage.items()],
    }


def _cpu(cores: float) -> str:
    nano = round(cores * 1e9)
    return f"{nano}n" if nano else "0"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
