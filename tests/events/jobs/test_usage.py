"""Samples of what a Job's pods use, and what events say of them."""

from events.jobs.usage import PodUsage, sampled, usage_now, usage_summary
from tests.events.samples import NOON

MIB = 1 << 20


def pod(name: str = "p1", *, at: float = 0, cpu: float = 0.5, memory: int = MIB) -> PodUsage:
    return PodUsage(name=name, at=NOON + at, cpu=cpu, memory=memory)


def test_a_sample_is_the_sum_of_the_pods_as_of_the_latest() -> None:
    usage = sampled(None, [pod("p1", at=1), pod("p2", at=3, cpu=0.25, memory=2 * MIB)])
    assert usage is not None
    assert usage.at == NOON + 3
    assert usage_now(usage) == {"cpu": 0.75, "memory": 3 * MIB, "peaks": {"cpu": 0.75, "memory": 3 * MIB}}


def test_peaks_stay_when_usage_falls() -> None:
    high = sampled(None, [pod(cpu=2, memory=9 * MIB)])
    low = sampled(high, [pod(at=15, cpu=0.1, memory=10 * MIB)])
    assert low is not None
    assert usage_now(low) == {"cpu": 0.1, "memory": 10 * MIB, "peaks": {"cpu": 2, "memory": 10 * MIB}}
    assert usage_summary(low) == {
        "peaks": {"cpu": 2, "memory": 10 * MIB},
        "samples": 2,
        "firstAt": "2026-11-21T12:00:00Z",
        "lastAt": "2026-11-21T12:00:15Z",
    }


def test_a_measurement_that_is_not_newer_is_no_sample() -> None:
    first = sampled(None, [pod(at=5)])
    assert sampled(first, [pod(at=5, cpu=3)]) is None
    assert sampled(first, [pod(at=4, cpu=3)]) is None
    assert sampled(first, []) is None
    assert sampled(None, []) is None
