"""Logging: one line per record, as text for people or as JSON for collectors. Payloads and secrets are never logged."""

import logging
import sys
from datetime import UTC, datetime

import orjson

from handler.telemetry.logcontext import current

_OURS = ("events", "adapters", "k8s", "handler")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_FOR_COLLECTORS = frozenset({"event_id", "trace_id", "message_id", "namespace"})
"""Fields that people do not need in a line that names the request."""


class JsonFormatter(logging.Formatter):
    """`time, level, logger, message`, what the task is working on, and whatever the caller put into `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


class TextFormatter(logging.Formatter):
    """`time LEVEL logger: message key=value …`"""

    def format(self, record: logging.LogRecord) -> str:
        fields = _extra(record)
        if "job_id" in fields:
            fields = {key: value for key, value in fields.items() if key not in _FOR_COLLECTORS}
        extra = "".join(f" {key}={value}" for key, value in fields.items())
        time = datetime.fromtimestamp(record.created).time().isoformat("milliseconds")
        line = f"{time} {record.levelname:<7} {record.name}: {record.getMessage()}{extra}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


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


def _extra(record: logging.LogRecord) -> dict[str, object]:
    own = {key: value for key, value in vars(record).items() if key not in _STANDARD}
    # The task that logs also formats: the current context is its own.
    return {**current(), **own}
