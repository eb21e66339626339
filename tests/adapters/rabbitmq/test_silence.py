"""Claims about when a silent server is given up: soon, and never for what we did not hear ourselves."""

from collections.abc import Callable

import pytest

from adapters.rabbitmq.client import heartbeat_of
from adapters.rabbitmq.options import RULES
from adapters.rabbitmq.silence import Silence
from adapters.urls import parse

STEP = 0.25


def given_up_after(silence: Silence, *, ticks: Callable[[int], float] = lambda tick: tick * STEP) -> float:
    """Seconds, looked at every quarter of one."""
    for tick in range(1, 4000):
        if silence.is_final(0, ticks(tick)):
            return ticks(tick)
    return float("inf")


def test_server_that_says_nothing_is_given_up_in_time() -> None:
    assert given_up_after(Silence(limit=10, heartbeat=5, now=0)) == 10
    # One that need not say anything may have nothing to say.
    assert given_up_after(Silence(limit=10, heartbeat=0, now=0)) == float("inf")


def test_server_that_answers_nothing_is_given_up_as_soon_as_it_has_missed_its_heartbeat() -> None:
    silence = Silence(limit=10, heartbeat=5, now=0)
    silence.doubt()
    assert given_up_after(silence) == 6


def test_doubt_ends_with_anything_that_is_heard() -> None:
    silence = Silence(limit=10, heartbeat=5, now=0)
    silence.doubt()
    assert not silence.is_final(1, 5)
    assert not any(silence.is_final(1, 5 + tick * STEP) for tick in range(39))
    assert silence.is_final(1, 15)


def test_server_is_not_given_up_for_what_it_said_while_we_stood_still() -> None:
    silence = Silence(limit=10, heartbeat=5, now=0)
    silence.doubt()
    assert given_up_after(silence, ticks=lambda tick: tick * STEP + 3600) == 3605.25


@pytest.mark.parametrize(
    ("parameters", "silence", "heartbeat"),
    [("", 10, 5), ("", 2, 1), ("", 3, 1), ("?heartbeat=2", 10, 2), ("?heartbeat=60", 10, 5), ("?heartbeat=0", 10, 0)],
)
def test_server_is_told_to_say_something_twice_in_that_time(parameters: str, silence: float, heartbeat: int) -> None:
    assert heartbeat_of(parse(f"amqp://h/{parameters}", RULES), silence=silence) == heartbeat
