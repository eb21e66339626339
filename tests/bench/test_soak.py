"""A short soak holds its claims, and the claims fail where something grows."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.soak import API_SERVER, Sample, Soak, Usage, problems, soak
from tests.e2e.site import site

LEASE = {"lease_seconds": 1.0, "lease_renew_seconds": 0.7, "lease_retry_seconds": 0.2, "lease_call_seconds": 0.3}
FLAT = Usage(memory=80.0, descriptors=20, threads=1, tasks=20)


def sample(at: float, *, handler: Usage = FLAT, controller: Usage = FLAT, tracked: int = 0, done: int = 0) -> Sample:
    return Sample(at=at, done=done, handler=handler, controller=controller, tracked=tracked)


def seen(growing: Usage = FLAT, over: Sample | None = None) -> Soak:
    load = [sample(at, handler=growing if at > 6 else FLAT, tracked=30) for at in range(9)]
    return Soak(idle=sample(0), load=load, over=over or sample(9, done=100))


async def test_a_short_soak_ends_with_nothing_left_over(tmp_path: Path) -> None:
    elsewhere = ("KUBECONFIG", "NATS_URL", "RABBITMQ_URL", "E2E_NAMESPACE")
    given = {name: value for name, value in os.environ.items() if name not in elsewhere}
    async with site(tmp_path, given, api_server=API_SERVER) as found:
        taken = await soak(replace(found, settings=LEASE), requests=300, rate=60, every=0.5)
    assert problems(taken, requests=300) == []
    assert any(sample.tracked for sample in taken.load)
    assert taken.load[-1].done > taken.load[0].done


def test_a_flat_soak_has_no_problems() -> None:
    assert problems(seen(), requests=100) == []


@pytest.mark.parametrize(
    ("grown", "said"),
    [
        (replace(FLAT, memory=87.0), "handler: memory grew from 80.0 MB to 87.0 MB; 86.0 MB would be flat"),
        (replace(FLAT, descriptors=151), "handler: descriptors grew from 20.0 to 151.0; 150.0 would be flat"),
        (replace(FLAT, threads=10), "handler: threads grew from 1.0 to 10.0; 9.0 would be flat"),
        (replace(FLAT, tasks=151), "handler: tasks grew from 20.0 to 151.0; 150.0 would be flat"),
    ],
)
def test_what_grows_from_the_first_third_to_the_last_is_named(grown: Usage, said: str) -> None:
    assert problems(seen(grown), requests=100) == [said]


def test_what_is_left_over_is_named() -> None:
    over = sample(9, controller=replace(FLAT, tasks=40), tracked=2, done=99)
    assert problems(seen(over=over), requests=100) == [
        "controller: 40 tasks are left, before the load there were 20",
        "99 of 100 requests are done",
        "2 Jobs are still tracked",
    ]


def test_too_few_samples_prove_nothing() -> None:
    few = replace(seen(), load=[sample(0), sample(1)])
    assert problems(few, requests=100) == ["2 samples are too few to compare"]
