"""The API server's clock, estimated from Date headers of whole seconds, and the waits between attempts."""

import random
import subprocess
import sys
import time

import pytest
from hypothesis import given, strategies as st

from k8s.api.clock import ServerClock, backoff, boottime

EPOCH = 946_684_800
JITTER = random.Random(1)


def date(second: int) -> str:
    return f"Sat, 01 Jan 2000 00:00:{second:02d} GMT"


def shown(clock: ServerClock) -> float:
    """Seconds after the epoch of these tests that the server's clock shows now."""
    return clock.now() - EPOCH


@given(
    ahead=st.floats(0, 30),
    answers=st.lists(st.tuples(st.floats(0, 5), st.floats(0, 0.5), st.floats(0, 0.5)), min_size=1, max_size=5),
)
def test_estimate_is_never_ahead_and_at_most_a_second_and_an_answer_behind(
    ahead: float, answers: list[tuple[float, float, float]]
) -> None:
    clock, now = ServerClock(), boottime() - 100
    offset = ahead - now  # the server's clock shows EPOCH + ahead at `now`
    for pause, there, back in answers:
        sent = now + pause
        answered = sent + there
        now = answered + back
        clock.heard(date(int(answered + offset)), sent=sent, received=now)
    truth = boottime() + offset
    assert truth - 1.6 <= shown(clock) <= boottime() + offset + 0.01


def test_many_answers_make_the_estimate_exact() -> None:
    clock, begun = ServerClock(), boottime()
    for millis in range(0, 2000, 10):
        at = begun + millis / 1000
        clock.heard(date(int(0.5 + millis / 1000)), sent=at, received=at)
    truth = boottime() - begun + 0.5
    assert truth - 0.02 < shown(clock) < boottime() - begun + 0.5 + 0.02


def test_clock_that_is_set_back_is_followed() -> None:
    clock, now = ServerClock(), boottime()
    clock.heard(date(50), sent=now, received=now)
    clock.heard(date(10), sent=now, received=now)
    assert 10 <= shown(clock) < 11


@pytest.mark.parametrize("header", ["", "yesterday", "0"])
def test_header_that_is_no_date_is_ignored(header: str) -> None:
    clock = ServerClock()
    clock.heard(header, sent=0, received=0)
    assert abs(clock.now() - time.time()) < 1


def test_backoff_grows_to_ten_seconds_with_jitter() -> None:
    waits = [backoff(attempt, rng=JITTER) for attempt in range(1, 200)]
    assert 0.1 <= waits[0] <= 0.2
    assert max(waits) <= 10
    assert all(5 <= wait <= 10 for wait in waits[7:])
    assert len({backoff(5, rng=JITTER) for _ in range(10)}) == 10


def test_backoff_waits_as_long_as_the_server_asks_within_reason() -> None:
    assert 7 <= backoff(1, retry_after=7, rng=JITTER) <= 8
    assert backoff(1, retry_after=86_400, rng=JITTER) <= 66
    assert backoff(9, retry_after=0.5, rng=JITTER) >= 5


def test_modules_of_running_processes_do_not_import_the_configuration_library() -> None:
    modules = "k8s.api.cluster, k8s.informer.informer, k8s.election.lease, k8s.manifests.job"
    code = f"import sys, {modules}; sys.exit('kubernetes_asyncio' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
