"""Logging: one line per record, as text for people or as JSON for collectors. Payloads and secrets are never logged.

Values come from outside, and messages of libraries too: each is clipped, and escaped where it could forge a line.
"""

import logging
import re
import sys
from datetime import UTC, datetime

import orjson

from handler.telemetry.logcontext import current
from handler.visible import clipped, encodable, escaped, lines

MAX_MESSAGE = 4096
"""Characters of a record's message."""
MAX_EXCEPTION = 16_384
"""Characters of a traceback."""
_EXACT = 2**53
_WORD = re.compile(r'[^\s"=]+')
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
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
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
        time = datetime.fromtimestamp(record.created).time().isoformat("milliseconds")
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
    # No line shows these, so they need not be looked up for each record.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.basicConfig(level=max(logging.INFO, logging.getLevelNamesMapping()[level]), handlers=[handler], force=True)
    for name in _OURS:
        logging.getLogger(name).setLevel(level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level]))


def _extra(record: logging.LogRecord) -> dict[str, str | int | float | bool]:
    own = {key: value for key, value in vars(record).items() if key not in _STANDARD}
    # The task that logs also formats: the current context is its own.
    return {key: _field(value) for key, value in {**current(), **own}.items()}


def _field(value: object) -> str | int | float | bool:
    if isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < _EXACT):
        return value
    return encodable(clipped(str(value)))


def _quoted(value: object) -> str:
    """A value that is more than a word in quotation marks: it is no other field."""
    text = escaped(str(value))
    return text if _WORD.fullmatch(text) else '"' + text.replace('"', r"\"") + '"'


def _exception(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    """The traceback. Of a long one the middle is left out: messages of exceptions may hold anything."""
    text = encodable(formatter.formatException(record.exc_info)) if record.exc_info else ""
    half = MAX_EXCEPTION // 2
    return text if len(text) <= MAX_EXCEPTION else f"{text[:half]}\n…\n{text[-half:]}"
