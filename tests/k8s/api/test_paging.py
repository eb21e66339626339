"""Pages of lists are small in bytes, however large their objects are."""

import re

from k8s.api.cluster import MAX_EVENTS, Cluster
from k8s.api.paging import FIRST, MOST, PAGE_BYTES, Paging
from tests.k8s.objects import make_pod
from tests.k8s.server import EVENTS, JOBS, PODS, Server


def limits(server: Server) -> list[int]:
    return [int(found[1]) for _, path in server.requests if (found := re.search(r"limit=(\d+)", path))]


def test_a_page_has_as_many_objects_as_fit() -> None:
    paging = Paging()
    assert paging.limit == FIRST
    paging.took(50 * 3000, 50)
    assert paging.limit == MOST
    paging.took(500 * 20_000, 500)
    assert paging.limit == PAGE_BYTES // 20_000
    paging.took(3 * PAGE_BYTES, 1)
    assert paging.limit == 1
    paging.took(100, 0)
    assert paging.limit == MOST


async def test_lists_of_large_objects_come_in_small_pages(cluster: Cluster, server: Server) -> None:
    for number in range(FIRST + 10):
        note = {"note": "x" * 100_000}
        server.put(JOBS, {"metadata": {"name": f"j{number}", "uid": "u", "annotations": note}})
        pod = make_pod(f"p{number}", "a")
        pod["metadata"]["annotations"] = note
        server.put(PODS, pod)
    assert len(await cluster.list_jobs("ns", "a=b")) == FIRST + 10
    assert limits(server) == [FIRST, PAGE_BYTES // 100_300]
    server.requests.clear()
    assert len(await cluster.pods_of("ns", "uid-of-a")) == FIRST + 10
    assert limits(server) == [FIRST, PAGE_BYTES // 100_300]


async def test_of_any_number_of_events_about_an_object_some_are_read(cluster: Cluster, server: Server) -> None:
    times = {"firstTimestamp": "2026-11-21T22:17:11Z"}
    for number in range(MAX_EVENTS + 10):
        server.put(EVENTS, {"metadata": {"name": f"e{number}"}, "reason": "r" * 1000, "message": "x" * 9000, **times})
    found = await cluster.warnings("ns", "u")
    assert len(found) == MAX_EVENTS
    assert {len(notice.reason) for notice in found} == {256}
    assert all(len(notice.message.encode()) <= 2048 for notice in found)
