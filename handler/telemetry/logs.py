"""Logging: one line per record, as text for people or as JSON for collectors. Payloads and secrets are never logged.

Values come from outside, and messages of libraries too: each is clipped, and escaped where it could forge a line.
"""

import logging
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache

import orjson

from handler.telemetry.logcontext import current
from handler.visible import MAX_FIELD, clipped, encodable, escaped, lines

MAX_MESSAGE = 4096
"""Characters of a record's message."""
MAX_EXCEPTION = 16_384
"""Characters of a traceback."""
_EXACT = 2**53
_WORD = re.compile(r'[^\s"=]+')
_PLAIN_WORD = re.compile(r"[!#-<>-~]+")
_OURS = ("events", "adapters", "k8s", "handler")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_TALKATIVE = ("alembic",)
"""Libraries whose INFO tells nothing about jobrelay."""
_FOR_COLLECTORS = frozenset({"event_id", "trace_id", "message_id", "namespace"})
"""Fields that people do not need in a line that names the request."""


class JsonFormatter(logging.Formatter):
    """`time, level, logger, message`, what the task is working on, and whatever the caller put into `extra`.

    One line, with no character in it that a terminal acts on.
    """

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": f"{_moment(record.created, _second_in_utc)}+00:00",
            "level": record.levelname,
            "logger": record.name,
            "message": encodable(clipped(record.getMessage(), MAX_MESSAGE)),
            **_extra(record),
        }
        if record.exc_info:
            line["exception"] = _exception(self, record)
        return escaped(orjson.dumps(line, default=str).decode())


class TextFormatter(logging.Formatter):
    """`time LEVEL logger: message key=value …`, in one line. Those of a traceback follow, each after a bar."""

    def format(self, record: logging.LogRecord) -> str:
        fields = _extra(record)
        if "job_id" in fields:
            fields = {key: value for key, value in fields.items() if key not in _FOR_COLLECTORS}
        extra = "".join(f" {key}={_quoted(value)}" for key, value in fields.items())
        time = _moment(record.created, _second_here)
        message = escaped(clipped(record.getMessage(), MAX_MESSAGE))
        line = f"{time} {record.levelname:<7} {record.name}: {message}{extra}"
        if not record.exc_info:
            return line
        return "\n".join([line, *(f"  | {one}" for one in lines(_exception(self, record)).split("\n"))])


def configure(*, form: str, level: str) -> None:
    """Send every record to standard error in `form` (`text` or `json`).

    `DEBUG` is for our own modules. What client libraries say at that level holds whole messages, as sent.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    # No line shows these, or which line of code has logged, so they need not be looked up for each record.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # noqa: SLF001 - so says the logging HOWTO, under Optimization
    if sys.version_info >= (3, 12):
        logging.logAsyncioTasks = False
    logging.basicConfig(level=max(logging.INFO, logging.getLevelNamesMapping()[level]), handlers=[handler], force=True)
    for name in _OURS:
        logging.getLogger(name).setLevel(level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level]))


def _moment(created: float, second: Callable[[int], str]) -> str:
    """A time with milliseconds, as `datetime` cuts it. `second` writes its whole seconds."""
    whole = int(created)
    micros = round((created - whole) * 1_000_000)
    return f"{second(whole + micros // 1_000_000)}.{micros % 1_000_000 // 1000:03}"


# A busy process writes many lines within a second.
@lru_cache(maxsize=1)
def _second_in_utc(epoch: int) -> str:
    return datetime.fromtimestamp(epoch, UTC).isoformat()[:19]


@lru_cache(maxsize=1)
def _second_here(epoch: int) -> str:
    return datetime.fromtimestamp(epoch).time().isoformat()


def _extra(record: logging.LogRecord) -> dict[str, str | int | float | bool]:
    # The task that logs also formats: the current context is its own.
    fields = current()
    if not vars(record).keys() <= _STANDARD:
        fields |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
    return {key: _field(value) for key, value in fields.items()}


def _field(value: object) -> str | int | float | bool:
    if type(value) is str and len(value) <= MAX_FIELD and value.isascii():
        return value  # Nearly all are.
    if isinstance(value, (bool, float)) or (isinstance(value, int) and abs(value) < _EXACT):
        return value
    return encodable(clipped(str(value)))


def _quoted(value: object) -> str:
    """A value that is more than a word in quotation marks: it is no other field."""
    text = str(value)
    if _PLAIN_WORD.fullmatch(text):
        return text  # Nearly all are: there is nothing to escape.
    text = escaped(text)
    return text if _WORD.fullmatch(text) else '"' + text.replace('"', r"\"") + '"'


def _exception(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    """The traceback. Of a long one the middle is left out: messages of exceptions may hold anything."""
    text = encodable(formatter.formatException(record.exc_info)) if record.exc_info else ""
    half = MAX_EXCEPTION // 2
    return text if len(text) <= MAX_EXCEPTION else f"{text[:half]}\n…\n{text[-half:]}"
