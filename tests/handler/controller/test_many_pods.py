"""Jobs of many pods: their looks do not hold the event loop, in which the Lease is renewed."""

import threading

import pytest

from events.lifecycle.transitions import Transition
from handler.controller import controller
from handler.controller.controller import MANY_PODS, shown_by
from tests.events.samples import failed, make_job


@pytest.mark.parametrize(("count", "beside"), [(MANY_PODS, False), (MANY_PODS + 1, True)])
async def test_a_look_at_many_pods_is_made_beside_the_loop(
    count: int, beside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []

    def look(*_: object, **__: object) -> list[Transition]:
        threads.append(threading.current_thread())
        return []

    monkeypatch.setattr(controller, "transitions", look)
    pods = [failed(f"p{number}") for number in range(count)]
    assert await shown_by(make_job(), pods, None, log=None) == []
    assert (threads[0] is not threading.main_thread()) is beside
