"""Whatever comes from outside, nothing that is written moves a cursor, forges a line or hides a character."""

import io
import json
import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from hypothesis import given, settings, strategies as st

from events.cloudevent.event import build
from events.names import JOB_TYPE
from handler.commands.errors import Failed
from handler.commands.showing.live import live_table
from handler.commands.showing.output import lines_of, say, write
from handler.commands.showing.progress import Board
from handler.commands.showing.reading import Heard
from handler.commands.showing.show import shown, tell_failure
from handler.commands.showing.tables import table
from handler.core_yaml import Loader
from handler.operations.wording import clean
from handler.telemetry.logcontext import about
from handler.telemetry.logs import MAX_EXCEPTION, MAX_MESSAGE, JsonFormatter, TextFormatter
from handler.visible import MAX_FIELD, clipped, escaped, is_plain, lines
from tests.long import examples

FORGED = "x\n12:00:00.000 INFO    handler.intake.intake: created job_id=other"
NASTY = (
    *(
        "\x00",
        "\x1b[2J",
        "\r",
        "\t",
        "\x7f",
        "\x85",
        "\x9b31m",
        "\u202e",
        "\u2066",
        "\u200f",
        "\u061c",
        "\u2028",
        "\u2029",
    ),
    *("\ufeff", "\U000e0041", "\n---\n", '"', "\\", "}", "é", "\U0001f600", FORGED),
)
TEXT = st.lists(st.one_of(st.sampled_from(NASTY), st.text(max_size=8)), max_size=8).map("".join)
_FORBIDDEN = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\U000e0000-\U000e007f]"
)


def record(text: str, *, failed: bool = False, **extra: Any) -> logging.LogRecord:
    made = logging.LogRecord("x", logging.INFO, __file__, 1, "it says %s", (text,), None)
    vars(made).update(extra)
    if failed:
        try:
            raise ValueError(text)
        except ValueError as error:
            made.exc_info = (type(error), error, error.__traceback__)
    return made


@given(text=TEXT, failed=st.booleans())
@settings(max_examples=examples(300), deadline=None)
def test_a_record_is_a_line_in_json_and_means_what_was_logged(text: str, failed: bool) -> None:
    line = JsonFormatter().format(record(text, failed=failed, job_id=text))
    assert not _FORBIDDEN.search(line)
    assert "\n" not in line
    found = json.loads(line)
    assert (found["message"], found["job_id"]) == (f"it says {text}", clipped(text))
    assert failed is ("exception" in found)


@given(text=TEXT, failed=st.booleans())
@settings(max_examples=examples(300), deadline=None)
def test_a_record_is_a_line_of_text_and_only_tracebacks_follow(text: str, failed: bool) -> None:
    found = TextFormatter().format(record(text, failed=failed, job_id=text, service="mail"))
    assert not _FORBIDDEN.search(found)
    first, *others = found.split("\n")
    assert re.fullmatch(r'\d\d:\d\d:\d\d\.\d{3} INFO    x: it says .* job_id=([^\s"=]+|".*") service=mail', first)
    assert bool(others) is failed
    assert all(line.startswith("  | ") for line in others)


@given(text=TEXT | st.text('ab1 "=\\-/', max_size=8) | st.just("x" * (MAX_FIELD + 1)))
@settings(max_examples=examples(400), deadline=None)
def test_short_cuts_for_plain_text_change_nothing(text: str) -> None:
    assert escaped(text) == "".join(escaped(f"{one}é")[:-1] for one in text), "é alone takes the long way"
    about()
    line = TextFormatter().format(record("", job_id=text)).partition("job_id=")[2]
    wanted = escaped(clipped(text).encode(errors="backslashreplace").decode())
    assert line == (wanted if re.fullmatch(r'[^\s"=]+', wanted) else '"' + wanted.replace('"', '\\"') + '"')
    found = json.loads(JsonFormatter().format(record("", job_id=text)))
    assert found["job_id"] == clipped(text).encode(errors="backslashreplace").decode()


@given(text=TEXT)
@settings(max_examples=examples(200), deadline=None)
def test_documents_are_escaped_and_read_as_they_were(text: str) -> None:
    document = {"id": text, text: [text, {"a": text}]}
    printed = _printed(lambda: write("json", document))
    assert not _FORBIDDEN.search(printed)
    assert printed.count("\n") == 1
    assert json.loads(printed) == document
    printed = _printed(lambda: write("yaml", document))
    assert not _FORBIDDEN.search(printed)
    assert list(yaml.load_all(printed, Loader=Loader)) == [document]


def _printed(print_it: Callable[[], object]) -> str:
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", out)
        patch.setattr("sys.stderr", out)
        print_it()
    return out.getvalue()


def _event(text: str) -> Heard:
    detail = {
        "service": text,
        "phase": "failed",
        "exitCode": 3,
        "logTail": text,
        "error": {"errorCode": text, "message": text, "container": text, "fields": [{"path": text, "message": text}]},
    }
    attributes = {"id": "e", "source": "/x", "type": f"{JOB_TYPE}.failed", "specversion": "1.0"}
    return Heard(build(attributes, {"id": text, "status": 3, "detail": detail}), datetime(2026, 11, 21, tzinfo=UTC))


@given(text=TEXT)
@settings(max_examples=examples(200), deadline=None)
def test_what_commands_say_of_events_is_a_line_each(text: str) -> None:
    heard, board = _event(text), Board()
    progress = board.take(heard)
    assert progress is not None

    def watch() -> None:
        with shown("table", board) as view:
            view(heard, progress)

    printed = _printed(watch)
    assert not _FORBIDDEN.search(printed)
    assert printed.count("\n") == 1
    said: list[str] = []
    tell_failure(progress, say=said.append)
    assert not any(_FORBIDDEN.search(line) or "\n" in line for line in said)
    printed = _printed(lambda: table(("A", "B"), [(text, "b")]))
    assert not _FORBIDDEN.search(printed)
    assert printed.count("\n") == 2
    assert live_table(board, now=datetime.now(UTC), rows=3)
    for said_so in (lambda: say(text), lambda: Failed(text).show()):
        assert not _FORBIDDEN.search(_printed(said_so))
    assert not any(_FORBIDDEN.search(line) for line in (clean(text), *lines_of(text)))


def test_fields_messages_and_tracebacks_are_clipped() -> None:
    about(job_id="x" * 100_000)
    made = record("y" * 100_000, failed=True, code=1, big=2**70, half="\ud800")
    found = json.loads(JsonFormatter().format(made))
    assert found["job_id"] == "x" * (MAX_FIELD - 1) + "…"
    assert len(found["message"]) == MAX_MESSAGE
    assert len(found["exception"]) <= MAX_EXCEPTION + 3
    assert (found["code"], found["big"], found["half"]) == (1, str(2**70), "\\ud800")
    assert len(TextFormatter().format(made)) < MAX_EXCEPTION + MAX_MESSAGE + 2 * MAX_FIELD + 1000


def test_escapes_are_those_of_json() -> None:
    assert escaped("a\n\x1b[0m\u202e\U000e0041é") == r"a\n\u001b[0m\u202e\udb40\udc41é"
    assert lines("a\tb\r\n\x85c") == "a   b\\r\n\\u0085c"
    assert escaped("a\U000e0100") == r"a\udb40\udd00", "a variation selector, which Python calls printable"
    assert is_plain("Zoë 😀")
    assert not is_plain("\u2067")
    assert clipped("abc", 3) == "abc"
    assert clipped("abcd", 3) == "ab…"
