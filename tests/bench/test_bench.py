"""The benchmark produces every row, with tiny numbers. Does not judge speed."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from tests.adapters.conftest import need_rabbit
from tests.bench import __main__ as program, running
from tests.bench.__main__ import arguments, size_of
from tests.bench.bench import QUICK, Bench, Size
from tests.bench.parts.parts import PARTS, Part
from tests.bench.report.figures import OWN, Figures
from tests.bench.report.rows import Row
from tests.bench.running import NOT_BEGUN, Run, program_of
from tests.e2e.site import NATS

TINY = Size(events=12, rounds=1, samples=3, tracked=20, queued=20, starts=1, lease=1.0, idle=0.1, rate=20.0)
ELSEWHERE = ("KUBECONFIG", "NATS_URL", "RABBITMQ_URL")


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_every_row_is_produced_with_the_facts_of_the_machine(tmp_path: Path) -> None:
    need_rabbit()
    given = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
    found = Figures()
    await running.measure(Run(server=OWN, size=TINY, environ=given, directory=tmp_path), found)
    whats = [row.what for row in found.rows]
    assert len(whats) == len(set(whats)) == (12 + 4 + 2 + 8 + 4 + 6 + 2 + 3 + 2 + 3 + 2) + (3 + 4 + 2)
    for wanted in (
        "NATS: created, 1 in flight, against plain aiohttp",
        "NATS: created, 256 in flight, CPU per Job of every process, ms",
        "RabbitMQ: created, 64 in flight, CPU per Job in the handler",
        "NATS: created, events of 1,000 kB, against plain aiohttp",
        "NATS: created by 4 handlers",
        "20 tracked Jobs: memory",
        "20 waiting Jobs: one decision, CPU",
        "a Job's end → its event at a subscriber under load of 20 Jobs/s",
        "takeover after SIGTERM to the leader",
        "memory of an idle controller",
        "`jobrelay submit`",
        "RabbitMQ: adapter alone, publish and confirm",
    ):
        assert wanted in whats
    assert [curve.name for curve in found.curves] == [
        *("created", "sizes", "handlers"),
        *("tracked-memory", "tracked-created", "tracked-times"),
    ]
    assert found.missing == {}
    assert "cores" in found.machine
    assert "RabbitMQ" in found.machine


async def _breaks(_: Bench) -> AsyncIterator[Row]:
    yield Row(what="a", result="1")
    raise ExceptionGroup("many", [TimeoutError("nothing came\nand a log"), ValueError("another")])


async def _works(_: Bench) -> AsyncIterator[Row]:
    yield Row(what="b", result="2")


async def _hangs(_: Bench) -> AsyncIterator[Row]:
    yield Row(what="c", result="3")
    await asyncio.Event().wait()


SOME = {
    "breaks": Part(measure=_breaks),
    "works": Part(measure=_works),
    "hangs": Part(measure=_hangs, seconds=0.05),
    "last": Part(measure=_hangs),
}
WHERE = cast(Bench, SimpleNamespace(site=SimpleNamespace(broker=NATS, instances=[])))


async def test_a_part_that_ends_early_is_named_and_the_others_are_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(running, "PARTS", SOME)
    found = Figures()
    for name in ("breaks", "works", "hangs"):
        await running._part(name, WHERE, found)
    assert [row.what for row in found.rows] == ["a", "b", "c"]
    assert found.missing == {
        "breaks on NATS": "TimeoutError (nothing came)",
        "hangs on NATS": "not ended after 0.05 s",
    }
    progress = capsys.readouterr().err
    for said in ("and a log", "works on NATS took 0 s", "incomplete: hangs on NATS"):
        assert said in progress


def test_a_run_that_is_broken_off_prints_what_it_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def measure(_: Run, figures: Figures) -> None:
        figures.missing |= {"last on NATS": NOT_BEGUN, "never on NATS": NOT_BEGUN}
        asyncio.get_running_loop().call_later(0.1, os.kill, os.getpid(), signal.SIGTERM)
        await running._part("last", WHERE, figures)

    monkeypatch.setattr(running, "PARTS", SOME)
    monkeypatch.setattr(program, "measure", measure)
    assert program.main([]) == 1
    out, err = capsys.readouterr()
    assert "| c | 3 |" in out
    assert "Incomplete: last on NATS: broken off; never on NATS: not begun." in out
    assert "incomplete: last on NATS, own API server: broken off" in err


def test_a_given_number_takes_precedence_over_quick() -> None:
    assert size_of(arguments([])) == Size()
    assert size_of(arguments(["--quick"])) == QUICK
    assert size_of(arguments(["--quick", "--events", "7"])).events == 7


def test_parts_are_chosen_by_their_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert arguments(["--only", "life,idle"]).only == ("life", "idle")
    with pytest.raises(SystemExit):
        arguments(["--only", "life,dead"])
    assert f"no such part: dead; there are {', '.join(PARTS)}" in capsys.readouterr().err


@pytest.mark.parametrize("given", [["--quick"], ["--only", "life"]])
def test_figures_of_less_than_everything_are_not_put_into_the_page(given: list[str]) -> None:
    with pytest.raises(SystemExit):
        arguments(["--docs", *given])


def test_another_version_needs_an_environment_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"has no \.venv"):
        program_of(tmp_path)


def test_another_version_must_not_run_this_code(tmp_path: Path) -> None:
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho /elsewhere/handler/__init__.py\n")
    python.chmod(0o755)
    with pytest.raises(SystemExit, match="runs the code of /elsewhere"):
        program_of(tmp_path)
