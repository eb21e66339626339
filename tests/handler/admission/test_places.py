"""What admission is told of a Job: its key, shared or its service's own, and its priority within bounds."""

from typing import Any

import pytest

from events.jobs.observed import Job
from events.jobs.queueing import Queueing
from handler.admission.data import Entry, Limits, Snapshot
from handler.admission.decision import admit
from handler.admission.places import entry_of


def entry(name: str, *, service: str | None = None, own_keys: bool = False, **queueing: Any) -> Entry:
    job = Job(
        namespace="jobs",
        name=name,
        uid=f"uid-{name}",
        version=1,
        created=0.0,
        request_id=name,
        source="/s",
        service=service,
        queued="",
    )
    return entry_of(("jobs", name), job, Queueing(**queueing), needs=None, own_keys=own_keys)


@pytest.mark.parametrize("own_keys", [False, True])
def test_a_key_holds_back_other_services_only_where_it_is_shared(*, own_keys: bool) -> None:
    alone: dict[str, Any] = {"own_keys": own_keys, "key": "k", "limit": 1, "exclusive": True}
    running = entry("holds", service="a", **alone)
    waiting = [entry("same", service="a", **alone), entry("other", service="b", **alone), entry("none", **alone)]
    decisions = admit(Snapshot(active=[running], waiting=waiting), Limits(), 1.0)
    released = {release.key[1] for release in decisions.released}
    assert released == ({"other", "none"} if own_keys else set())


def test_keys_of_services_cannot_be_confused() -> None:
    mine = {
        entry("x", service=service, own_keys=True, key=key).concurrency
        for service, key in (("a", "b/c"), ("a-b", "c"), (None, "a/b/c"), ("a", "/b/c"))
    }
    assert len(mine) == 4
    assert entry("x", service="a", own_keys=True).concurrency is None


@pytest.mark.parametrize(("written", "counts"), [(-5, 0), (0, 0), (1000, 1000), (2_000_000_000, 1000)])
def test_no_priority_counts_for_more_than_a_request_may_name_whoever_wrote_it(written: int, counts: int) -> None:
    assert entry("x", priority=written).priority == counts
