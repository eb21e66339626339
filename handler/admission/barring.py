"""Whether its dependencies let a waiting Job go on, keep it waiting, or end it. Does not look up outcomes."""

from collections.abc import Container, Mapping

from events.names import Reason
from events.phases import Phase
from handler.admission.data import Entry, Fail, Needs, Snapshot, Waiting

_ENDED: Mapping[str, str] = {Phase.FAILED: "failed", Phase.CANCELLED: "was cancelled"}


def barred(entry: Entry, needs: Needs, snapshot: Snapshot, now: float) -> Waiting | Fail | None:
    """Why its dependencies keep a Job from running, now or for good; None if they do not."""
    if needs.failed is not None and not needs.run_on_failure:
        request_id, outcome = needs.failed
        return _fail(entry, request_id, "DEPENDENCY_FAILED", _ENDED.get(outcome, "did not succeed"))
    if not needs.open:
        return None
    if entry.key in snapshot.loops:
        looping = snapshot.loops[entry.key]
        what = "is itself" if looping == entry.request_id else "waits for it in turn"
        return _fail(entry, looping, "DEPENDENCY_CYCLE", what)
    # Before the look-up, nobody knows whether a request never came.
    if now < needs.until or not needs.searched:
        return Waiting(key=entry.key, reason=Reason.DEPENDENCIES)
    return _out_of_time(entry, needs, snapshot.seen)


def _out_of_time(entry: Entry, needs: Needs, seen: Container[str]) -> Fail:
    for request_id in needs.open:
        if request_id not in seen:
            return _fail(entry, request_id, "DEPENDENCY_UNKNOWN", "never came, or its Job is gone already")
    return _fail(entry, needs.open[0], "DEPENDENCY_TIMEOUT", "had not ended when dependencyTimeout was over")


def _fail(entry: Entry, request_id: str, code: str, what: str) -> Fail:
    return Fail(key=entry.key, code=code, message=f"the request {request_id!r}, which it depends on, {what}")
