"""What the pods of a Job use, folded from sample to sample. Pure: each sample brings its own time."""

from collections.abc import Sequence
from typing import Any

import msgspec

from events.cloudevent.timestamp import format_epoch


class PodUsage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One pod in one sample: `at` epoch seconds, `cpu` cores, `memory` bytes; sums over its containers."""

    name: str
    at: float
    cpu: float
    memory: int


class Usage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A Job's last sample (sums over its pods, `at` that of the latest), and the highest of all `samples` so far."""

    at: float
    cpu: float
    memory: int
    peak_cpu: float
    peak_memory: int
    samples: int
    first_at: float


def sampled(before: Usage | None, pods: Sequence[PodUsage]) -> Usage | None:
    """The usage with one more sample. None if that tells nothing new: no pod, or none measured since."""
    at = max((pod.at for pod in pods), default=0.0)
    if not pods or (before is not None and at <= before.at):
        return None
    cpu, memory = round(sum(pod.cpu for pod in pods), 4), sum(pod.memory for pod in pods)
    return Usage(
        at=at,
        cpu=cpu,
        memory=memory,
        peak_cpu=max(cpu, before.peak_cpu) if before else cpu,
        peak_memory=max(memory, before.peak_memory) if before else memory,
        samples=1 + (before.samples if before else 0),
        first_at=before.first_at if before else at,
    )


def usage_now(usage: Usage) -> dict[str, Any]:
    """For the `detail` of `progress`: `{cpu, memory, peaks{cpu, memory}}`, in cores and bytes."""
    return {"cpu": usage.cpu, "memory": usage.memory, "peaks": _peaks(usage)}


def usage_summary(usage: Usage) -> dict[str, Any]:
    """For a terminal event's `detail`: `{peaks, samples, firstAt, lastAt}`. What was between samples is unknown."""
    return {
        "peaks": _peaks(usage),
        "samples": usage.samples,
        "firstAt": format_epoch(usage.first_at),
        "lastAt": format_epoch(usage.at),
    }


def _peaks(usage: Usage) -> dict[str, Any]:
    return {"cpu": usage.peak_cpu, "memory": usage.peak_memory}
