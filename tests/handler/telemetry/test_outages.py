"""An outage of a broker is a few lines in the log, however many events wait and however often it comes and goes."""

import logging

import pytest

from handler.telemetry import outages
from handler.telemetry.metrics import Metrics
from handler.telemetry.outages import Outages


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    """What was told since the last call."""
    found = [(record.levelno, record.getMessage()) for record in caplog.records if record.name == outages.__name__]
    caplog.clear()
    return found


@pytest.fixture(autouse=True)
def verbose(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


async def test_a_problem_is_told_when_it_begins_and_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    all_ = Outages(Metrics())
    all_.look("nats", None)
    assert told(caplog) == []
    for number in range(3):
        all_.waits(number, "nats", f"try {number}")
    for _ in range(5):
        all_.look("nats", "no quorum for JOBRELAY_LIFECYCLE")
    line = "broker nats: no quorum for JOBRELAY_LIFECYCLE (events that wait: 3)"
    assert told(caplog) == [(logging.WARNING, line)]
    all_.look("nats", None)
    assert told(caplog) == [], "events wait still"
    for number in range(3):
        all_.goes_on(number)
    for _ in range(2):
        all_.look("nats", None)
    assert told(caplog) == [(logging.INFO, "broker nats: takes everything again")]


async def test_while_it_lasts_it_is_told_once_a_minute(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_ = Outages(Metrics())
    all_.look("nats", "no quorum")
    all_.look("nats", None)
    assert [level for level, _ in told(caplog)] == [logging.WARNING, logging.INFO]
    for _ in range(100):
        all_.look("nats", "connection lost")
        all_.look("nats", None)
    assert told(caplog) == [], "it comes and goes"
    monkeypatch.setattr(outages, "REPEAT_SECONDS", 0.0)
    for _ in range(2):
        all_.look("nats", "connection lost")
    assert [level for level, _ in told(caplog)] == [logging.WARNING] * 2


async def test_what_is_taken_at_the_next_try_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    all_ = Outages(metrics)
    for _ in range(3):
        all_.waits("a", "nats", "timeout")
        all_.look("nats", None)
        all_.goes_on("a")
        all_.look("nats", None)
    assert told(caplog) == []
    all_.waits("a", "nats", "timeout")
    all_.waits("b", "rabbitmq", "alarm")
    for _ in range(2):
        all_.look("nats", None)
    assert told(caplog) == [(logging.WARNING, "broker nats: timeout (events that wait: 1)")]
    assert metrics.registry.get_sample_value("jobrelay_events_waiting", {"broker": "rabbitmq"}) == 1
