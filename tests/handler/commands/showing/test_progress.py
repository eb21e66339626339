"""What the command line says about lifecycle events."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cloudevents.core.v1.event import CloudEvent
from rich.console import Console

from events.cloudevent.event import build
from events.names import JOB_TYPE
from handler.commands.showing.live import live_table
from handler.commands.showing.progress import Board, is_aside
from handler.commands.showing.reading import EVERYTHING, Heard, key_of
from handler.commands.showing.show import shown, tell_failure
from handler.operations.sentences import sentence
from handler.operations.wording import clean, duration

SOURCE = "/shop"
R1 = (SOURCE, "r-1")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FAILED: dict[str, Any] = {
    "exitCode": 3,
    "duration": 7,
    "error": {"errorCode": "JOB_EXECUTION_FAILED", "message": "Job has reached the specified backoff limit"},
    "logTail": "reading\nno such column\n",
}

IN = "in container fetch"
FETCH = f"exit 3 {IN}"


def make_heard(
    phase: str,
    *,
    request_id: str = "r-1",
    source: str | None = SOURCE,
    cause: str = "e-1",
    number: int = 0,
    **detail: Any,
) -> Heard:
    event = build(
        {
            "specversion": "1.0",
            "type": f"{JOB_TYPE}.{phase}",
            "source": f"/namespaces/default/jobs/{source or 'job-1'}",
            "id": f"{request_id}/{phase}/{number}",
            "subject": request_id,
            "requestsource": source,
            "causationid": cause,
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
    assert board.requests[R1].phases == ["created", "started"]


def test_other_events_on_the_topic_are_no_progress() -> None:
    event = CloudEvent({"id": "1", "source": "/x", "type": "dev.jobrelay.control.accepted", "subject": "c"}, {})
    board = Board()
    assert board.take(Heard(event, NOW)) is None
    assert not board.requests


@pytest.mark.parametrize("phase", ["succeeded", "failed", "cancelled"])
def test_a_request_ends_with_its_last_phase(phase: str) -> None:
    assert board_of(make_heard("created"), make_heard(phase)).requests[R1].ended


def test_requests_of_two_sources_with_one_id_are_two_requests() -> None:
    other: dict[str, Any] = {"source": "/desk", "number": 1}
    board = board_of(make_heard("created"), make_heard("created", **other), make_heard("failed", exitCode=3, **other))
    mine, theirs = board.requests.values()
    assert (mine.phases, theirs.phases) == (["created"], ["created", "failed"])
    assert (mine.ended, theirs.ended, theirs.exit_code) == (False, True, 3)
    assert (mine.name, theirs.name) == ("r-1 (/shop)", "r-1 (/desk)")
    assert board_of(make_heard("created")).requests[R1].name == "r-1"


def test_events_from_before_the_source_was_named_are_of_the_request_of_their_id() -> None:
    board = board_of(make_heard("created", source=None), make_heard("started", source=None, number=1))
    board.take(make_heard("succeeded", number=2))
    (request,) = board.requests.values()
    assert (request.source, request.phases, request.name) == (SOURCE, ["created", "started", "succeeded"], "r-1")
    board.take(make_heard("created", source="/desk", number=3))
    assert len(board.requests) == 2
    assert board.find(make_heard("failed", source=None, number=4).event) is request


def test_an_event_without_a_source_is_of_the_request_whose_event_caused_it() -> None:
    board = Board()
    for source, event_id in ((SOURCE, "e-1"), ("/desk", "e-2")):
        board.expect("r-1", source=source, asked=event_id)
    for number, (cause, phase) in enumerate((("e-2", "failed"), ("e-1", "succeeded"))):
        board.take(make_heard(phase, source=None, cause=cause, number=number))
    assert [request.phases for request in board.requests.values()] == [["succeeded"], ["failed"]]


def test_a_rejection_before_anything_else_is_the_end_until_another_event_is_accepted() -> None:
    board = board_of(make_heard("rejected"), make_heard("rejected", number=1))
    request = board.requests[R1]
    assert request.ended
    board.take(make_heard("created", number=2))
    assert not request.ended


@pytest.mark.parametrize("phases", [["created"], ["started"], ["created", "started", "succeeded"], ["scheduled"]])
def test_a_rejection_after_other_events_is_that_of_another_event(phases: list[str]) -> None:
    board = board_of(*(make_heard(phase) for phase in phases))
    request = board.requests[R1]
    rejected = make_heard("rejected", cause="e-2", error={"errorCode": "ID_REUSED"})
    assert board.take(rejected) is request
    assert is_aside(rejected.event, request)
    assert (request.phases, request.detail) == (phases, {})
    assert board.take(rejected) is None


@pytest.mark.parametrize(
    ("told", "ended"),
    [
        ([("rejected", "e-1")], True),
        ([("started", "e-0"), ("rejected", "e-1")], True),
        ([("rejected", "e-2")], False),
        ([("created", "e-1"), ("rejected", "e-2")], False),
        # It came again, and was too late then.
        ([("created", "e-1"), ("rejected", "e-1")], False),
        ([("scheduled", "e-1"), ("rejected", "e-1")], False),
        ([("rejected", "e-2"), ("created", "e-1"), ("succeeded", "e-1")], True),
    ],
)
def test_the_end_of_a_published_event_is_a_rejection_of_itself_alone(told: list[tuple[str, str]], ended: bool) -> None:
    board = Board()
    request = board.expect("r-1", source=SOURCE, asked="e-1")
    for number, (phase, cause) in enumerate(told):
        board.take(make_heard(phase, cause=cause, number=number))
    assert (request.ended, len(board.requests)) == (ended, 1)
    assert request.exit_code == (0 if told[-1][0] == "succeeded" else 1)


def test_of_two_published_events_for_a_request_one_may_be_rejected() -> None:
    board = Board()
    request = board.expect("r-1", source=SOURCE, asked="e-1")
    assert board.expect("r-1", source=SOURCE, asked="e-2") is request
    board.take(make_heard("rejected", cause="e-2"))
    assert not request.ended
    board.take(make_heard("created"))
    board.take(make_heard("succeeded"))
    assert (request.ended, request.exit_code) == (True, 1)


def test_a_line_says_whose_event_was_refused(capsys: pytest.CaptureFixture[str]) -> None:
    board = Board()
    rejected = make_heard("rejected", cause="e-2", error={"errorCode": "ID_REUSED", "message": "other data"})
    with shown("table", board) as view:
        for heard in (make_heard("created", namespace="ns", jobName="j"), rejected):
            view(heard, board.take(heard))
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("r-1  created    Job ns/j")
    assert second.endswith("r-1  rejected   event e-2 changes nothing: ID_REUSED: other data")


def test_a_live_table_tells_requests_of_two_sources_apart() -> None:
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        board = board_of(make_heard("created"), make_heard("failed", source="/desk"))
        console.print(live_table(board, now=NOW, rows=1))
        text = console.export_text()
    assert "r-1 (/shop)" in text
    assert "r-1 (/desk)" not in text


@pytest.mark.parametrize(
    ("phase", "detail", "code"),
    [
        ("succeeded", {"exitCode": 0}, 0),
        ("failed", {"exitCode": 3}, 3),
        ("failed", {}, 1),
        ("failed", {"exitCode": 0}, 1),
        ("cancelled", {"exitCode": 143}, 1),
        ("rejected", {}, 1),
        ("unscheduled", {}, 0),
    ],
)
def test_the_exit_code_follows_from_the_outcome(phase: str, detail: dict[str, Any], code: int) -> None:
    assert board_of(make_heard(phase, **detail)).requests[R1].exit_code == code


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
    request = board.requests[R1]
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
    assert [name for _, name in board.requests] == ["on", "done-4"]
    assert board.forgotten == 4


def test_a_failure_is_shown_with_the_end_of_its_log() -> None:
    lines: list[str] = []
    tell_failure(board_of(make_heard("failed", **FAILED)).requests[R1], say=lines.append)
    assert lines[0] == "r-1 failed with exit code 3: JOB_EXECUTION_FAILED"
    assert [line.strip() for line in lines[-2:]] == ["reading", "no such column"]


def test_a_failure_names_the_container_that_the_error_names() -> None:
    lines: list[str] = []
    error = {**FAILED["error"], "container": "fetch\x1b"}
    tell_failure(board_of(make_heard("failed", **{**FAILED, "error": error})).requests[R1], say=lines.append)
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
    tell_failure(board_of(make_heard("rejected", error=error)).requests[R1], say=lines.append)
    assert "  job.comand: is unknown" in lines
    assert "  retries: is negative" in lines


def test_text_from_events_cannot_move_the_cursor() -> None:
    assert "\x1b" not in clean("a\x1b[2Jb\r\nc\u202e")


def test_a_live_table_shows_requests_that_go_on_before_requests_that_ended() -> None:
    board = Board()
    board.expect("waiting", source=SOURCE)
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
