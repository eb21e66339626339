"""The benchmark produces every row, with tiny numbers. Does not judge speed."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from tests.adapters.conftest import need_rabbit
from tests.bench import running
from tests.bench.__main__ import arguments, size_of
from tests.bench.bench import QUICK, Bench, Size
from tests.bench.parts.parts import PARTS, Part
from tests.bench.report.figures import Figures
from tests.bench.report.rows import Row
from tests.bench.running import program_of

TINY = Size(events=12, rounds=1, samples=3, tracked=20, queued=20, starts=1, lease=1.0, idle=0.1, rate=20.0)
ELSEWHERE = ("KUBECONFIG", "NATS_URL", "RABBITMQ_URL")


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_every_row_is_produced_with_the_facts_of_the_machine(tmp_path: Path) -> None:
    need_rabbit()
    given = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
    (found,) = (await running.measured(TINY, given, directory=tmp_path)).values()
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
    assert found.failed == []
    assert "cores" in found.machine
    assert "RabbitMQ" in found.machine


async def test_a_part_that_ends_early_is_named_and_the_others_are_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def breaks(_: Bench) -> AsyncIterator[Row]:
        yield Row(what="a", result="1")
        raise TimeoutError("nothing came")

    async def works(_: Bench) -> AsyncIterator[Row]:
        yield Row(what="b", result="2")

    monkeypatch.setattr(running, "PARTS", {"breaks": Part(measure=breaks), "works": Part(measure=works)})
    found, where = Figures(), cast(Bench, SimpleNamespace(broker="NATS", site=SimpleNamespace(instances=[])))
    for name in ("breaks", "works"):
        await running._measure(name, where, found)
    assert [row.what for row in found.rows] == ["a", "b"]
    assert found.failed == ["breaks on NATS"]
    assert "nothing came" in capsys.readouterr().err


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
