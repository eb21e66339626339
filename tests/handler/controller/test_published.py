"""What is published is remembered, however much it is."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from events.lifecycle.transitions import Transition, transitions
from events.phases import Phase
from handler.controller.published import FEW, REPEAT_SECONDS, Published
from handler.controller.term import Term
from handler.effects.services import Services
from handler.telemetry.metrics import Metrics
from tests.events.samples import NOON, make_event, make_job

KEY = ("default", "mail-abc")


class Broker:
    async def publish(self, *_: object, **__: object) -> None:
        """It takes everything."""


def published(previous: float | None = None) -> Published:
    cluster = SimpleNamespace(server_time=lambda: NOON)
    services = SimpleNamespace(publisher=Broker(), cluster=cluster, metrics=Metrics())
    return Published(cast(Services, services), cast(Term, SimpleNamespace(previous=previous)))


def told(phase: Phase, suffixes: Iterable[int]) -> list[Transition]:
    detail: dict[str, Any] = {}
    return [Transition(phase=phase, suffix=str(suffix), time=NOON, detail=detail) for suffix in suffixes]


@pytest.mark.parametrize("count", [1, FEW - 1, FEW, FEW + 1, 5 * FEW])
async def test_each_transition_is_remembered_until_it_is_past(count: int) -> None:
    out, job = published(), make_job()
    retries, progress = told(Phase.RETRYING, range(count)), told(Phase.PROGRESS, range(count))
    for transition in (*retries, *progress):
        assert not out.has(KEY, job, transition)
        await out.publish(KEY, job, transition, make_event())
    assert all(out.has(KEY, job, transition) for transition in (*retries, *progress))
    assert not out.has(KEY, make_job(uid="another"), retries[0])
    out.forget_past_progress(KEY, job, [*retries, progress[-1]])
    assert [out.has(KEY, job, transition) for transition in progress] == [*[False] * (count - 1), True]
    assert all(out.has(KEY, job, transition) for transition in retries)
    out.forget(KEY)
    assert not out.has(KEY, job, retries[0])


async def test_it_says_of_created_what_it_says_of_that_transition() -> None:
    job = make_job()
    (created,) = transitions(job, [])
    out = published()
    assert not out.has_created(KEY, job)
    await out.publish(KEY, job, created, make_event())
    assert out.has_created(KEY, job)
    assert not out.has_created(KEY, make_job(uid="another"))
    for previous in (NOON + REPEAT_SECONDS, NOON + REPEAT_SECONDS + 1):
        vouched = published(previous)
        assert vouched.has_created(KEY, job) is vouched.has(KEY, job, created) is (previous > NOON + REPEAT_SECONDS)
