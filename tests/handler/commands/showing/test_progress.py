"""What the command line says about lifecycle events."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cloudevents.core.v1.event import CloudEvent
from rich.console import Console

from events.cloudevent.event import build
from events.names import JOB_TYPE
from handler.commands.showing.output import clean, duration
from handler.commands.showing.phases import sentence
from handler.commands.showing.progress import Board
from handler.commands.showing.reading import EVERYTHING, Heard, key_of
from handler.commands.showing.show import live_table, tell_failure

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FAILED: dict[str, Any] = {
    "exitCode": 3,
    "duration": 7,
    "error": {"errorCode": "JOB_EXECUTION_FAILED", "message": "Job has reached the specified backoff limit"},
    "logTail": "reading\nno such column\n",
}

IN = "in container fetch"
FETCH = f"exit 3 {IN}"


def make_heard(phase: str, *, request_id: str = "r-1", number: int = 0, **detail: Any) -> Heard:
    event = build(
        {
            "specversion": "1.0",
            "type": f"{JOB_TYPE}.{phase}",
            "source": "/namespaces/default/jobs/job-1",
            "id": f"{request_id}/{phase}/{number}",
            "subject": request_id,
        },
        {"id": request_id, "status": None, "detail": detail},
    )
    return Heard(event, NOW + timedelta(seconds=number))


def board_of(*events: Heard) -> Board:
    board = Board()
    for heard in events:
        board.take(heard)
    return board


def test_a_repeat_is_not_counted_again() -> None:
    board = board_of(make_heard("created"), make_heard("started"), make_heard("created"))
    assert board.requests["r-1"].phases == ["created", "started"]


def test_other_events_on_the_topic_are_no_progress() -> None:
    event = CloudEvent({"id": "1", "source": "/x", "type": "dev.jobrelay.control.accepted", "subject": "c"}, {})
    board = Board()
    assert board.take(Heard(event, NOW)) is None
    assert not board.requests


@pytest.mark.parametrize("phase", ["succeeded", "failed", "cancelled", "rejected"])
def test_a_request_ends_with_its_last_phase(phase: str) -> None:
    assert board_of(make_heard("created"), make_heard(phase)).requests["r-1"].ended


@pytest.mark.parametrize(
    ("phase", "detail", "code"),
    [
        ("succeeded", {"exitCode": 0}, 0),
        ("failed", {"exitCode": 3}, 3),
        ("failed", {}, 1),
        ("failed", {"exitCode": 0}, 1),
        ("cancelled", {"exitCode": 143}, 1),
        ("rejected", {}, 1),
    ],
)
def test_the_exit_code_follows_from_the_outcome(phase: str, detail: dict[str, Any], code: int) -> None:
    assert board_of(make_heard(phase, **detail)).requests["r-1"].exit_code == code


@pytest.mark.parametrize(
    ("phase", "detail", "text"),
    [
        ("created", {"namespace": "ns", "jobName": "job-1"}, "Job ns/job-1"),
        ("started", {"podName": "p", "node": "n"}, "pod p on n"),
        ("started", {"podName": "p", "node": None}, "pod p"),
        ("succeeded", {"duration": 2, "result": {"n": 3}}, '2 s, result {"n":3}'),
        ("succeeded", {"result": "plain\n"}, "result plain"),
        ("succeeded", {"result": "x" * 500}, f"result {'x' * 200}..."),
        ("succeeded", {"results": [{}, {}, {}]}, "3 results"),
        ("failed", FAILED, "7 s, exit 3: no such column"),
        (
            "failed",
            {"error": {"errorCode": "DEADLINE_EXCEEDED", "message": "too long"}, "logTail": "x"},
            "DEADLINE_EXCEEDED: too long",
        ),
        ("failed", {**FAILED, "error": {**FAILED["error"], "container": "fetch"}}, f"7 s, {FETCH}: no such column"),
        (
            "failed",
            {"error": {"errorCode": "OOM_KILLED", "message": "m", "container": "fetch"}},
            f"OOM_KILLED ({IN}): m",
        ),
        ("retrying", {"error": {"errorCode": "EVICTED", "message": "", "container": "fetch"}}, f"EVICTED ({IN})"),
        ("stalled", {"error": {"errorCode": "IMAGE_PULL", "message": "no"}}, "IMAGE_PULL: no"),
        ("suspended", {"by": "request"}, "by request"),
        ("progress", {"succeeded": 2, "failed": 0, "total": 3}, "2 of 3 done"),
        ("progress", {"succeeded": 2, "failed": 1}, "2 done, 1 failed"),
        ("progress", {"cpu": 0.984, "memory": 54_525_952, "peaks": {}}, "cpu 0.98, memory 52 MiB"),
        ("progress", {"cpu": 12, "memory": 1_610_612_736}, "cpu 12.00, memory 1.5 GiB"),
        ("progress", {"cpu": 0, "memory": 0}, "cpu 0.00, memory 0 B"),
        ("resumed", {}, ""),
    ],
)
def test_each_phase_is_described_in_one_line(phase: str, detail: dict[str, Any], text: str) -> None:
    assert sentence(phase, detail) == text


def test_successive_progress_is_a_single_phase_and_its_repeat_is_ignored() -> None:
    board = board_of(make_heard("started"), *(make_heard("progress", number=number, cpu=number) for number in range(9)))
    request = board.requests["r-1"]
    assert (request.phases, request.detail["cpu"], len(request.seen)) == (["started", "progress"], 8, 1)
    assert board.take(make_heard("progress", number=8)) is None
    board.take(make_heard("retrying"))
    board.take(make_heard("progress", number=9))
    assert request.phases == ["started", "progress", "retrying", "progress"]


def test_a_long_watch_forgets_requests_that_ended_first_and_none_that_go_on() -> None:
    board = Board(limit=2)
    board.take(make_heard("started", request_id="on"))
    for number in range(5):
        board.take(make_heard("succeeded", request_id=f"done-{number}"))
    assert list(board.requests) == ["on", "done-4"]
    assert board.forgotten == 4


def test_a_failure_is_shown_with_the_end_of_its_log() -> None:
    lines: list[str] = []
    tell_failure(board_of(make_heard("failed", **FAILED)).requests["r-1"], say=lines.append)
    assert lines[0] == "r-1 failed with exit code 3: JOB_EXECUTION_FAILED"
    assert [line.strip() for line in lines[-2:]] == ["reading", "no such column"]


def test_a_failure_names_the_container_that_the_error_names() -> None:
    lines: list[str] = []
    error = {**FAILED["error"], "container": "fetch\x1b"}
    tell_failure(board_of(make_heard("failed", **{**FAILED, "error": error})).requests["r-1"], say=lines.append)
    assert lines == [
        "r-1 failed with exit code 3 in container fetch : JOB_EXECUTION_FAILED",
        "  Job has reached the specified backoff limit",
        "  the end of its log:",
        "    reading",
        "    no such column",
    ]


def test_a_rejection_is_shown_with_every_field() -> None:
    fields = [{"path": "job.comand", "message": "is unknown"}, {"path": "retries", "message": "is negative"}]
    error = {"errorCode": "INVALID_REQUEST", "message": "2 mistakes", "fields": fields}
    lines: list[str] = []
    tell_failure(board_of(make_heard("rejected", error=error)).requests["r-1"], say=lines.append)
    assert "  job.comand: is unknown" in lines
    assert "  retries: is negative" in lines


def test_text_from_events_cannot_move_the_cursor() -> None:
    assert "\x1b" not in clean("a\x1b[2Jb\r\nc\u202e")


def test_a_live_table_shows_requests_that_go_on_before_requests_that_ended() -> None:
    board = Board()
    board.expect("waiting")
    for number in range(60):
        board.take(make_heard("succeeded", request_id=f"done-{number}"))
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        console.print(live_table(board, now=NOW, rows=40))
        text = console.export_text()
    assert "waiting" in text
    assert "done-59" in text
    assert "done-0 " not in text
    assert "and 21 more" in text


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, ""), (-1, "0s"), (7.9, "7s"), (192, "3m12s"), (20460, "5h41m"), (10**6, "11d")]
)
def test_durations_are_short(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("request_id", "service", "key"),
    [
        (None, None, EVERYTHING),
        ("a.b", None, "*.a%2Eb.*"),
        (None, "s", "s.*.*"),
        ("r", "s", "s.r.*"),
    ],
)
def test_the_key_selects_a_request_or_a_service(request_id: str | None, service: str | None, key: str) -> None:
    assert key_of(request_id=request_id, service=service) == key
