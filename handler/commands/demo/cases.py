"""The requests of the demo, with what is expected of each and how that is compared with what was seen. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from events.phases import Phase
from handler.commands.showing.progress import Progress

EXAMPLES = Path(__file__).parent / "examples"
CANCELLED = "long-run"
TWICE = "twice"


def _result(detail: Mapping[str, Any]) -> str:
    return orjson.dumps(detail.get("result")).decode()


def _parts(detail: Mapping[str, Any]) -> str:
    results = detail.get("results")
    return f"{len(results) if isinstance(results, list) else 0} results"


def _error(detail: Mapping[str, Any]) -> str:
    error = detail.get("error")
    code = error.get("errorCode") if isinstance(error, dict) else None
    return str(code)


def _log(detail: Mapping[str, Any]) -> str:
    lines = str(detail.get("logTail", "")).strip().splitlines() or [""]
    return f"exit {detail.get('exitCode')}, {lines[-1]}"


def _field(detail: Mapping[str, Any]) -> str:
    error = detail.get("error")
    fields = error.get("fields") if isinstance(error, dict) else None
    first = fields[0] if isinstance(fields, list) and fields else {}
    return f"{_error(detail)} {first.get('path')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A request of the demo. `id`: also the name of its file. `read`: the part of its last detail that is compared."""

    id: str
    shows: str
    phases: str
    outcome: str
    read: Callable[[Mapping[str, Any]], str]
    jobs: int = 1

    @property
    def expected(self) -> str:
        return _line(self.phases.split(), self.outcome, self.jobs)

    def observed(self, progress: Progress | None, *, jobs: int) -> str:
        """What was seen, in the form of `expected`. `jobs`: how many exist."""
        if progress is None or not progress.phases:
            return _line(["no event"], "", jobs)
        # Whether the parts of a Job are seen to end together or separately is chance.
        phases = [phase for phase in progress.phases if phase != Phase.PROGRESS]
        return _line(phases, self.read(progress.detail), jobs)


def _line(phases: Sequence[str], outcome: str, jobs: int) -> str:
    return f"{' '.join(phases)}\n{outcome}; {jobs} {'Job' if jobs == 1 else 'Jobs'}"


CASES: Sequence[Case] = (
    Case(
        id="word-count",
        shows="result from its event",
        phases="created started succeeded",
        outcome='{"words":9}',
        read=_result,
    ),
    Case(
        id="bad-input",
        shows="failure and its log",
        phases="created started failed",
        outcome="exit 3, row 12 is no number",
        read=_log,
    ),
    Case(
        id="flaky",
        shows="retry, then success",
        phases="created started retrying succeeded",
        outcome='"second try"',
        read=_result,
    ),
    Case(
        id="too-slow",
        shows="deadline exceeded",
        phases="created started failed",
        outcome="DEADLINE_EXCEEDED",
        read=_error,
    ),
    Case(
        id="no-image",
        shows="image cannot be pulled",
        phases="created stalled failed",
        outcome="START_TIMEOUT",
        read=_error,
    ),
    Case(
        id="three-parts",
        shows="three completions",
        phases="created started succeeded",
        outcome="3 results",
        read=_parts,
    ),
    Case(
        id=CANCELLED,
        shows="cancelled while it ran",
        phases="created started cancelled",
        outcome="CANCELLED",
        read=_error,
    ),
    Case(
        id="typo",
        shows="invalid request",
        phases="rejected",
        outcome="INVALID_REQUEST job.comand",
        read=_field,
        jobs=0,
    ),
    Case(
        id=TWICE,
        shows="published twice",
        phases="created started succeeded",
        outcome='"order handled"',
        read=_result,
    ),
)
