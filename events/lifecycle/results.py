"""What containers leave in their termination messages: results, and the ends of logs. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from events.cloudevent.event import InvalidEvent
from events.cloudevent.values import parse_as_written
from events.jobs.observed import Job
from events.jobs.pods import Container, Pod

MAX_RESULTS = 16_384
"""Bytes of `results` as JSON: each may be 4 KiB, and a Job may have thousands."""
LOG_LINES = 80
"""Lines of a log's end that stand for a container's message where it left none."""
LOG_BYTES = 2048
"""Bytes of them, the last ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What a container left: its result, the end of its log. None: it left none, or nobody knows."""

    result: str | None = None
    log: str | None = None


def left(container: Container, *, log: str | None = None) -> Left:
    """Tell result and log apart: the message of a container that has failed may be either.

    `log`: the end of its log, where somebody has read it. Else JSON (an object or an array) and what is longer than a
    log's end are taken for a result, any other text for the log, unless its manifest says that it never is.
    """
    if container.started is None:
        return Left()  # Its message says why it could not be run.
    text = (container.message or "").rstrip("\n") or None
    if not container.failed:
        return Left(result=text)
    if text is None:
        return Left(log=log)
    if log is not None:
        return Left(log=container.message) if text == log.rstrip("\n") else Left(result=text, log=log or None)
    if is_structured(text) or _is_too_long(text) or not container.may_be_log:
        return Left(result=text)
    return Left(log=container.message)


def _is_too_long(text: str) -> bool:
    # Bytes of a log that are no UTF-8 are replaced, and take more room then.
    return len(text.encode()) > LOG_BYTES and "\ufffd" not in text


def is_structured(text: str) -> bool:
    """Whether it is a JSON object or array."""
    return isinstance(_parsed(text), dict | list)


def results(job: Job, good: Sequence[Pod]) -> dict[str, Any]:
    """`result` for a Job of one pod, `results` for all others, even where one success was enough.

    `good`: the pods that succeeded, in order of their ends.
    """
    if len(good) == 1 and not job.several:
        return result_of(good[0])
    ordered = sorted(good, key=lambda pod: pod.index or 0)
    room = MAX_RESULTS - 2
    found: list[dict[str, Any]] = []
    for pod in ordered:
        if pod.main is not None and pod.main.unkept:
            return {"results": found, "resultsTruncated": True}
        name: dict[str, Any] = {"podName": pod.name} if pod.index is None else {"index": pod.index}
        entry = name | exit_code(pod.main) | result_of(pod)
        room -= len(orjson.dumps(entry)) + 1
        if room < 0:
            return {"results": found, "resultsTruncated": True}
        found.append(entry)
    return {"results": found} if found else {}


def result_of(pod: Pod, *, log: str | None = None) -> dict[str, Any]:
    """`result`: what the main container left, as JSON if it is JSON, else as text; empty if it left nothing.

    `resultTruncated` if it wrote more than Kubernetes keeps. `log` is as in `left`.
    """
    main = pod.main
    text = None if main is None else left(main, log=log).result
    if main is None or text is None:
        return {}
    parsed = _parsed(text)
    if main.cut and not isinstance(parsed, dict | list):
        # The end of a longer text may look like a number.
        return {"result": text, "resultTruncated": True}
    return {"result": text if parsed is _NO_JSON else parsed}


def compact(message: str | None, *, cut: bool) -> str | None:
    """The result of a container that succeeded, in no more bytes than it has in an event."""
    text = (message or "").rstrip("\n") or None
    parsed = _NO_JSON if text is None else _parsed(text)
    if parsed is _NO_JSON or (cut and not isinstance(parsed, dict | list)):
        return text
    return orjson.dumps(parsed).decode()


def exit_code(container: Container | None) -> dict[str, int]:
    """`exitCode`, if it has one. Of a container that never ran, or is lost, the kubelet makes one up."""
    if container is None or container.exit_code is None or container.reason == "ContainerStatusUnknown":
        return {}
    return {"exitCode": container.exit_code}


_NO_JSON = object()


def _parsed(text: str) -> Any:
    try:
        return parse_as_written(text.encode(), what="the result")
    except InvalidEvent:
        return _NO_JSON
