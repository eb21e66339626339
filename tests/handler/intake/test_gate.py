"""Work waits while the API server does not answer, but no longer than this process keeps running."""

import asyncio

import pytest

from handler.intake.gate import Gate, Leaving
from handler.telemetry.metrics import Metrics
from k8s.base import Unavailable
from tests.patience import PATIENCE


def make_gate(monkeypatch: pytest.MonkeyPatch, *, seconds: float) -> Gate:
    monkeypatch.setattr("handler.intake.gate.backoff", lambda attempt, **_: seconds)
    return Gate(Metrics())


async def test_a_failed_call_holds_work_back_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = make_gate(monkeypatch, seconds=0.05)
    gate.close(Unavailable("down"))
    assert not gate.is_open
    async with asyncio.timeout(PATIENCE):
        await gate.wait()
    assert gate.is_open


async def test_all_waiting_tasks_are_let_through_together(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = make_gate(monkeypatch, seconds=0.05)
    gate.close(Unavailable("down"))
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        waiting = group.create_task(gate.wait())
        while not gate.is_open:
            await asyncio.sleep(0)
        # The first task to continue fails before the second does.
        gate.close(Unavailable("down again"))
        await asyncio.sleep(0)
        assert waiting.done()


async def test_a_process_that_is_leaving_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = make_gate(monkeypatch, seconds=10 * PATIENCE)
    gate.close(Unavailable("down"))
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        waiting = group.create_task(_left(gate))
        await asyncio.sleep(0)
        assert not waiting.done()
        gate.leave()
    assert waiting.result()


async def test_a_process_that_is_leaving_works_on_while_the_server_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = make_gate(monkeypatch, seconds=10 * PATIENCE)
    gate.leave()
    await gate.wait()
    gate.close(Unavailable("down"))
    assert await _left(gate)


async def _left(gate: Gate) -> bool:
    try:
        await gate.wait()
    except Leaving:
        return True
    return False
