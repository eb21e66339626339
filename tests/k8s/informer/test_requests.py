"""Objects are found by the request that they are of, whatever came and went before."""

import asyncio

import pytest
from hypothesis import given, strategies as st

from events.jobs.observed import Job
from k8s.informer.requests import ByRequest

ids, sources, names = st.sampled_from("ab"), st.sampled_from(["/s", "/t"]), st.sampled_from("xyz")


def make_job(name: str, request_id: str, source: str) -> Job:
    return Job(namespace="ns", name=name, uid=name, version=1, created=0.0, request_id=request_id, source=source)


@pytest.mark.stricter
@given(st.lists(st.tuples(names, ids, sources) | names, max_size=20))
def test_exactly_what_is_there_is_found(steps: list[tuple[str, str, str] | str]) -> None:
    """A step is a Job that comes or changes (its name, id and source), or the name of one that goes."""
    index, there = ByRequest[Job](), dict[str, Job]()
    for step in steps:
        if isinstance(step, tuple):
            job = make_job(*step)
            index.put(job, there.get(job.name))
            there[job.name] = job
        elif step in there:
            index.drop(there.pop(step))
    for request_id in "ab":
        of_id = {name for name, job in there.items() if job.request_id == request_id}
        assert {job.name for job in index.of(request_id)} == of_id
        for source in ("/s", "/t"):
            found = [job.name for job in index.of(request_id, source)]
            assert sorted(found) == sorted(name for name in of_id if there[name].source == source)


def test_who_waits_for_a_request_hears_of_each_of_its_objects_and_of_no_other() -> None:
    index, event = ByRequest[Job](), asyncio.Event()
    with index.awaited("a", event):
        index.put(make_job("x", "b", "/s"), None)
        assert not event.is_set()
        index.put(first := make_job("y", "a", "/s"), None)
        assert event.is_set()
        event.clear()
        index.put(make_job("y", "a", "/s"), first)
        assert event.is_set()
    event.clear()
    index.put(make_job("z", "a", "/s"), None)
    assert not event.is_set()
