"""How long a request was in each state."""

import time

from events.cloudevent.timestamp import format_epoch
from handler.console.pages.spans import WIDTH, spans_of
from handler.console.views.models import Pod, Told

BEGUN = 1_768_464_000.0


def told(phase: str, after: float) -> Told:
    return Told(position=1, id="e", phase=phase, time=format_epoch(BEGUN + after), says="", event={})


def pod(after: float) -> Pod:
    return Pod.model_validate(
        {"uid": str(after), "name": "p", "namespace": "n", "started": format_epoch(BEGUN + after)}
    )


def test_each_state_has_its_share_and_all_fill_the_bar() -> None:
    spans = spans_of([told("created", 0), told("queued", 1), told("started", 30), told("failed", 60)], ended=True)
    assert [(span.word, span.seconds) for span in spans] == [("waiting", 30), ("running", 30)]
    assert [span.x for span in spans] == [0, WIDTH / 2]
    assert sum(span.width for span in spans) == WIDTH


def test_a_further_attempt_runs_from_the_start_of_its_pod() -> None:
    events = [told("created", 0), told("started", 0), told("retrying", 10), told("failed", 40)]
    spans = spans_of(events, [pod(0), pod(25)], ended=True)
    assert [(span.word, span.seconds) for span in spans][-3:] == [("running", 10), ("retrying", 15), ("running", 15)]


def test_what_has_not_ended_goes_on_until_now() -> None:
    [span] = spans_of([told("started", 0)], ended=False)
    assert abs(span.seconds - (time.time() - BEGUN)) < 60


def test_nothing_and_times_out_of_order_are_drawn() -> None:
    assert spans_of([], ended=True) == []
    spans = spans_of([told("created", 10), told("started", 5), told("succeeded", 5)], ended=True)
    assert all(span.seconds == 0 and span.width > 0 for span in spans)
