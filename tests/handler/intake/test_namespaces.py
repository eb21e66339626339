"""Who is to blame when a Job is not taken: the API server as a whole, its namespace, or this kind of Job."""

import asyncio
from collections import Counter
from typing import Any, cast

import pytest

from handler.intake.namespaces import Blame, Namespaces
from handler.telemetry.metrics import Metrics
from k8s.api.cluster import Cluster
from k8s.base import Cause, KubernetesError, Manifest, QuotaExceeded, Refused, Unavailable
from tests.handler.samples import until

DOWN = Unavailable("503")
GONE = Unavailable("404", cause=Cause.NAMESPACE)
THROTTLED = Unavailable("429", cause=Cause.SERVER)
HEALTHY = None


class Trials:
    """What a trial Job in each namespace meets."""

    def __init__(self, **met: KubernetesError | None) -> None:
        self.met = met
        self.asked: Counter[str] = Counter()

    async def try_job(self, manifest: Manifest) -> None:
        namespace = manifest["metadata"]["namespace"]
        self.asked[namespace] += 1
        await asyncio.sleep(0)
        if (error := self.met[namespace]) is not None:
            raise error


def make_namespaces(trials: Trials) -> Namespaces:
    cluster: Any = trials
    return Namespaces(cast("Cluster", cluster), tuple(trials.met), instance="jobrelay", metrics=Metrics())


@pytest.mark.parametrize(
    ("met", "error", "blame"),
    [
        ({"a": HEALTHY}, DOWN, Blame.JOB),
        ({"a": HEALTHY}, GONE, Blame.JOB),
        ({"a": Refused("policy", status=403)}, DOWN, Blame.JOB),
        ({"a": QuotaExceeded("quota")}, DOWN, Blame.JOB),
        ({"a": HEALTHY}, THROTTLED, Blame.SERVER),
        ({"a": THROTTLED, "b": HEALTHY}, DOWN, Blame.SERVER),
        ({"a": DOWN}, DOWN, Blame.SERVER),
        ({"a": DOWN, "b": DOWN}, DOWN, Blame.SERVER),
        ({"a": DOWN, "b": HEALTHY}, DOWN, Blame.NAMESPACE),
        ({"a": GONE}, GONE, Blame.NAMESPACE),
        ({"a": GONE, "b": DOWN}, DOWN, Blame.NAMESPACE),
    ],
)
async def test_what_a_trial_job_meets_decides_who_is_to_blame(
    met: dict[str, KubernetesError | None], error: Unavailable, blame: Blame
) -> None:
    namespaces = make_namespaces(Trials(**met))
    assert await namespaces.blame("a", error) is blame
    assert (namespaces.sickness("a") is not None) is (blame is Blame.NAMESPACE)


async def test_one_trial_answers_all_who_ask_at_the_same_time() -> None:
    trials = Trials(a=DOWN, b=DOWN)
    namespaces = make_namespaces(trials)
    blames = await asyncio.gather(*(namespaces.blame("a", DOWN) for _ in range(64)))
    assert set(blames) == {Blame.SERVER}
    assert max(trials.asked.values()) <= 2


async def test_a_job_that_another_namespace_has_just_taken_needs_no_trial() -> None:
    trials = Trials(a=DOWN, b=HEALTHY)
    namespaces = make_namespaces(trials)
    namespaces.passed("b")
    assert await namespaces.blame("a", DOWN) is Blame.NAMESPACE
    assert trials.asked == {"a": 1}


async def test_a_sick_namespace_is_asked_again_until_it_takes_jobs() -> None:
    trials = Trials(a=GONE, b=HEALTHY)
    namespaces = make_namespaces(trials)
    asking = asyncio.create_task(namespaces.run())
    await namespaces.blame("a", GONE)
    assert namespaces.told() == {"a": "404"}

    async def asked() -> bool:
        return trials.asked["a"] >= 3

    await until(asked)
    trials.met["a"] = HEALTHY

    async def healed() -> bool:
        return namespaces.sickness("a") is None

    await until(healed)
    assert trials.asked["b"] == 0
    asking.cancel()


async def test_a_namespace_that_takes_a_job_is_well_again() -> None:
    namespaces = make_namespaces(Trials(a=GONE))
    await namespaces.blame("a", GONE)
    assert namespaces.all_sick
    namespaces.passed("a")
    assert not namespaces.all_sick
