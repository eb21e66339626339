"""How much memory thousands of tracked Jobs take."""

import gc
import json
import tracemalloc

import pytest

from events.names import FINALIZER
from k8s.informer.jobs import Contents, JobFeed, JobListing, PodFeed, PodListing
from k8s.manifests.job import render
from k8s.reading.job import parse_job
from k8s.reading.pod import parse_pod
from tests.k8s.objects import make_pod
from tests.k8s.requests import make_request, options

JOBS = 2_500
"""Dictionaries are then as full as they are with 10,000."""
ALONE, TOGETHER = 1_050, 1_850
"""Bytes per Job, without and with a pod that runs."""


MARK = "000000000000"
"""Placeholder for the number of the Job, in names and uids of the templates."""


def _job(version: int = 1) -> str:
    """A running Job as we create it, with names like those of a real cluster."""
    rendered = render(make_request(id=f"9b2d1c7e-5a44-4f0e-9d6c-{MARK}", service="thumbnails"), options=options())
    manifest = rendered.job
    manifest["metadata"] |= {
        "name": f"job-{MARK}",
        "uid": f"5c994eb8-71a8-4026-acdb-{MARK}",
        "resourceVersion": f"{version}{MARK}",
        "creationTimestamp": "2026-11-21T22:17:11Z",
    }
    return json.dumps(manifest | {"status": {"active": 1, "ready": 1, "startTime": "2026-11-21T22:17:11Z"}})


def _pod() -> str:
    manifest = make_pod(f"job-abcdefghijkl-{MARK}", "x", startTime="2026-11-21T22:17:11Z")
    manifest["metadata"]["uid"] = f"a825523b-c5e2-4aca-87d9-{MARK}"
    manifest["metadata"]["labels"] = {"batch.kubernetes.io/controller-uid": f"5c994eb8-71a8-4026-acdb-{MARK}"}
    running = {"name": "main", "state": {"running": {"startedAt": "2026-11-21T22:17:12Z"}}}
    manifest["status"]["containerStatuses"] = [running]
    return json.dumps(manifest)


def _numbered(template: str, index: int) -> bytes:
    return template.replace(MARK, f"{index:012d}").encode()


def _allocated() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def test_tracked_job_that_changes_takes_little_alone_and_at_most_two_kilobytes_with_its_pod() -> None:
    contents = Contents()
    jobs, pods = JobFeed(contents, "ns"), PodFeed(contents, "ns")
    versions, pod = [_job(version) for version in (1, 2)], _pod()
    tracemalloc.start()
    try:
        before = _allocated()
        for index in range(JOBS):
            for job in versions:
                jobs.changed(parse_job(_numbered(job, index)), index)
        contents.changes.clear()
        alone = (_allocated() - before) / JOBS
        for index in range(JOBS):
            pods.changed(parse_pod(_numbered(pod, index)), index)
        contents.changes.clear()
        together = (_allocated() - before) / JOBS
    finally:
        tracemalloc.stop()
    print(f"{alone:.0f} bytes per Job, {together:.0f} with its pod")
    assert len(contents.jobs) == JOBS
    assert len(contents.pods("5c994eb8-71a8-4026-acdb-000000000042")) == 1
    assert alone <= ALONE
    assert together <= TOGETHER


@pytest.mark.parametrize("count", [1000, pytest.param(10_000, marks=pytest.mark.long)])
def test_pods_of_a_job_that_all_leave_messages_take_little_while_listed_and_while_kept(count: int) -> None:
    contents = Contents()
    listing, pods = PodListing(contents), PodFeed(contents, "ns")
    contents.put_job(parse_job(_numbered(_job(), 42)))
    left = {"exitCode": 0, "message": "x" * 4096, "finishedAt": "2026-11-21T22:17:13Z"}
    pod = json.loads(_pod().replace(f"acdb-{MARK}", f"acdb-{42:012d}"))
    pod["status"] = {"phase": "Succeeded", "containerStatuses": [{"name": "main", "state": {"terminated": left}}]}
    template = json.dumps(pod)
    tracemalloc.start()
    try:
        before = _allocated()
        for index in range(count):
            listing.append((parse_pod(_numbered(template, index)), index))
        listed = _allocated() - before
        for pod_, version in listing:
            pods.changed(pod_, version)
        del listing
        kept = _allocated() - before
    finally:
        tracemalloc.stop()
    print(f"{listed / 2**20:.1f} MiB while {count} pods are listed, {kept / 2**20:.1f} MiB kept")
    assert len(contents.pods(f"5c994eb8-71a8-4026-acdb-{42:012d}")) == count
    # Some 16 KiB of results, and what is kept of any pod. All messages would be 4 KiB more of each.
    assert listed <= 65_536 + count * 1000
    assert kept <= 65_536 + count * 1000


def test_jobs_released_long_ago_take_nothing_while_they_are_listed() -> None:
    contents = Contents()
    listing, template = JobListing(contents), _job()
    assert FINALIZER in template
    released = template.replace(FINALIZER, "another/one")
    contents.put_job(parse_job(_numbered(template, 1)))
    for index in range(1, 1001):
        listing.append((parse_job(_numbered(released, index)), index))
    assert [job.name for job, _ in listing] == ["job-000000000001"], "it is known, and has lost our finalizer meanwhile"
    kept = parse_job(_numbered(template, 1001))
    listing.append((kept, 1001))
    assert list(listing)[1:] == [(kept, 1001)]


def test_pods_of_jobs_that_are_over_take_nothing_while_they_are_listed() -> None:
    contents = Contents()
    listing = PodListing(contents)
    contents.jobs_passed("ns", 1000)
    template = _pod()
    for index in range(1, 1001):
        listing.append((parse_pod(_numbered(template, index)), index))
    assert list(listing) == []
    newer = parse_pod(_numbered(template, 7))
    listing.append((newer, 1001))
    assert list(listing) == [(newer, 1001)], "its Job may still come"
