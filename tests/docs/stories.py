"""The table of how pods and Jobs end or are stuck, and what is told of it: each row is a story, played again."""

from collections.abc import Iterator, Mapping

from events.lifecycle.transitions import Transition
from events.phases import Phase
from tests.events.lifecycle.played import PLAYED
from tests.events.lifecycle.stories import Story, recorded

RECORDED = {
    "cannot pull the image": recorded("kubelet-image-refused"),
    "image not there, `imagePullPolicy: Never`": recorded("kubelet-image-never", job="nev"),
    "no name of an image": recorded("kubelet-image-never", job="bad"),
    "ConfigMap missing": recorded("kubelet-missing-configmap"),
    "Secret of a volume missing": recorded("kubelet-missing-secret-volume"),
    "image of an init container missing": recorded("kubelet-init-image-missing"),
    "no node has what it asks for": recorded("job-unschedulable"),
    "quota leaves no room for a pod": recorded("pod-quota-blocks-pods"),
    "sidecar outlives the main container": recorded("kubelet-plain-sidecar-stays"),
    "program not found": recorded("kubelet-no-such-program"),
    "container fails": recorded("kubelet-log-as-message"),
    "container fails, having left a result": recorded("kubelet-message-and-failure"),
    "the same, and logs may be read": recorded("kubelet-message-and-failure", log="Traceback\n"),
    "container writes too long a message": recorded("kubelet-message-too-long"),
    "init container fails": recorded("kubelet-init-fails"),
    "init container works for long": recorded("kubelet-init-works-long"),
    "second container fails": recorded("kubelet-second-container-fails"),
    "container fails, `restartPolicy: OnFailure`": recorded("kubelet-on-failure"),
    "killed for its memory": recorded("kubelet-out-of-memory"),
    "deadline, and SIGTERM is ignored": recorded("kubelet-ignores-sigterm"),
    "deadline of the Job": recorded("job-deadline-exceeded"),
    "evicted through the API (a drain)": recorded("kubelet-evicted-by-api"),
    "pod deleted by somebody, replaced": recorded("job-pod-deleted-is-replaced"),
    "rule of `podFailurePolicy`": recorded("job-pod-failure-policy-fails-job"),
    "limit of retries": recorded("job-fails-after-retries"),
    "limit of each index": recorded("job-backoff-limit-per-index"),
}
_TELLS = frozenset({Phase.STALLED, Phase.RETRYING, Phase.SUCCEEDED, Phase.FAILED})
_LENGTH = 90


def table() -> str:
    """A Markdown table: recorded stories first."""
    rows = [*_rows("real", RECORDED), *_rows("played", PLAYED)]
    head = "| what happens | seen | told | code | message | exit code | container | log, result |"
    return "\n".join([head, "|---|---|---|---|---|---|---|---|", *rows])


def _rows(seen: str, stories: Mapping[str, Story]) -> Iterator[str]:
    for name, story in stories.items():
        for told in story.told():
            if told.phase in _TELLS and not (told.phase is Phase.SUCCEEDED and name.endswith("replaced")):
                yield f"| {' | '.join((name, seen, *_cells(told)))} |"


def _cells(told: Transition) -> Iterator[str]:
    detail = told.detail
    error = detail.get("error", {})
    yield told.phase
    yield f"`{error['errorCode']}`" if error else ""
    yield _short(error.get("message", ""))
    yield str(detail.get("exitCode", ""))
    yield error.get("container", "")
    left = [f"log: {_short(detail['logTail'])}"] if "logTail" in detail else []
    if "result" in detail:
        cut = " (cut)" if detail.get("resultTruncated") else ""
        left.append(f"result{cut}: {_short(str(detail['result']))}")
    yield "; ".join(left)


def _short(text: str) -> str:
    line = " ".join(text.split()).replace("|", "\\|")
    return line if len(line) <= _LENGTH else f"{line[: _LENGTH - 30]} … {line[-27:]}"
