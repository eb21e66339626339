"""An outage of a broker is a few lines in the log, however many events wait and however often it comes and goes."""

import logging
from types import SimpleNamespace

import pytest

from handler.telemetry import outages
from handler.telemetry.metrics import Metrics
from handler.telemetry.outages import Outages


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    """What was told since the last call."""
    found = [(record.levelno, record.getMessage()) for record in caplog.records if record.name == outages.__name__]
    caplog.clear()
    return found


class Clock:
    """The loop's time, as far as outages are concerned."""

    now = 1000.0

    def time(self) -> float:
        return self.now

    def after(self, seconds: float, all_: Outages, problem: str | None) -> None:
        """A look every second."""
        for _ in range(int(seconds)):
            self.now += 1
            all_.look("nats", problem)


@pytest.fixture
def clock(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Clock:
    caplog.set_level(logging.INFO)
    made = Clock()
    monkeypatch.setattr(outages, "asyncio", SimpleNamespace(get_running_loop=lambda: made))
    return made


def test_a_problem_is_told_when_it_begins_and_when_it_is_over(caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    all_ = Outages(Metrics())
    clock.after(3, all_, None)
    assert told(caplog) == []
    for number in range(3):
        all_.waits(number, "nats", f"try {number}")
    clock.after(5, all_, "no quorum for JOBRELAY_LIFECYCLE")
    line = "broker nats: no quorum for JOBRELAY_LIFECYCLE (events that wait: 3)"
    assert told(caplog) == [(logging.WARNING, line)]
    clock.after(5, all_, None)
    assert told(caplog) == [], "events wait still"
    for number in range(3):
        all_.goes_on(number)
    clock.after(5, all_, None)
    assert told(caplog) == [(logging.INFO, "broker nats: takes everything again")]


def test_while_it_lasts_it_is_told_once_a_minute(caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    all_ = Outages(Metrics())
    clock.after(170, all_, "no quorum")
    assert [level for level, _ in told(caplog)] == [logging.WARNING] * 3
    clock.after(20, all_, None)
    told(caplog)
    clock.after(5, all_, "connection lost")
    assert told(caplog) == [(logging.WARNING, "broker nats: connection lost (events that wait: 0)")], "another one"


def test_what_comes_and_goes_is_told_once_a_minute(caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    all_ = Outages(Metrics())
    for _ in range(11):
        clock.after(5, all_, "connection lost")
        clock.after(5, all_, None)
    assert [level for level, _ in told(caplog)] == [logging.WARNING, logging.INFO] * 2


def test_what_is_over_at_the_next_look_is_not_told(caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    metrics = Metrics()
    all_ = Outages(metrics)
    for _ in range(3):
        clock.after(1, all_, "connection lost")
        all_.waits("a", "nats", "timeout")
        clock.after(1, all_, None)
        all_.goes_on("a")
        clock.after(1, all_, None)
    assert told(caplog) == []
    all_.waits("a", "nats", "timeout")
    all_.waits("b", "rabbitmq", "alarm")
    clock.after(3, all_, None)
    assert told(caplog) == [(logging.WARNING, "broker nats: timeout (events that wait: 1)")]
    assert metrics.registry.get_sample_value("jobrelay_events_waiting", {"broker": "rabbitmq"}) == 1
