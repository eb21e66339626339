"""What is published is remembered, however much it is."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from events.lifecycle.transitions import Transition
from events.phases import Phase
from handler.controller.published import FEW, Published
from handler.controller.term import Term
from handler.effects.services import Services
from handler.telemetry.metrics import Metrics
from tests.events.samples import NOON, make_event, make_job

KEY = ("default", "mail-abc")


class Broker:
    async def publish(self, *_: object, **__: object) -> None:
        """It takes everything."""


def published() -> Published:
    cluster = SimpleNamespace(server_time=lambda: NOON)
    services = SimpleNamespace(publisher=Broker(), cluster=cluster, metrics=Metrics())
    return Published(cast(Services, services), cast(Term, SimpleNamespace(previous=None)))


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
