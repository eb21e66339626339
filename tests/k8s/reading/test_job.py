"""Decoding Jobs and Pods: recorded objects, unreadable annotations, and bytes that are neither."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from events.jobs.annotation import MAX_STORED
from events.jobs.observed import Stray
from events.jobs.pods import Role
from events.names import Annotation
from k8s.base import Malformed
from k8s.reading.job import job_of, parse_job
from k8s.reading.metadata import MAX_NOTE
from k8s.reading.pod import parse_pod
from tests.k8s.objects import make_job
from tests.paths import TRACES


def seen(scenario: str, kind: str) -> list[bytes]:
    watch: list[Any] = json.loads((TRACES / f"{scenario}.json").read_text())["watch"]
    return [
        json.dumps(event["object"]).encode()
        for event in watch
        if event["kind"] == kind and event["type"] in {"ADDED", "MODIFIED"}
    ]


@pytest.mark.parametrize("path", sorted(TRACES.glob("*.json")), ids=lambda path: path.stem)
def test_everything_recorded_can_be_read(path: Path) -> None:
    jobs = [parse_job(raw) for raw in seen(path.stem, "jobs")]
    pods = [parse_pod(raw) for raw in seen(path.stem, "pods")]
    assert all(job.uid and job.version and job.created > 1.7e9 for job in jobs)
    assert all(pod.job_uid and pod.phase for pod in pods if pod.name.rsplit("-", 1)[0] in {job.name for job in jobs})


def test_recorded_success_is_read() -> None:
    job = parse_job(seen("job-succeeds", "jobs")[-1])
    assert (job.namespace, job.name) == ("t-job-succeeds", "ok")
    assert job.finished
    assert (job.succeeded, job.failed, job.parallelism, job.completions) == (1, 0, 1, 1)
    assert job.completion_time is not None
    assert job.start_time is not None
    assert job.completion_time - job.start_time == 2
    assert [condition.type for condition in job.conditions] == ["SuccessCriteriaMet", "Complete"]
    assert not job.has_finalizer
    assert (job.format, job.ttl, job.request_id) == (0, None, "")
    pod = parse_pod(seen("job-succeeds", "pods")[-1])
    (main,) = pod.containers
    assert (pod.phase, pod.node, pod.reason) == ("Succeeded", "fake-0", None)
    assert (main.name, main.role, main.exit_code, main.reason) == ("main", Role.MAIN, 0, "Completed")
    assert main.started is not None
    assert main.finished is not None
    assert main.finished - main.started == 1
    assert pod.job_uid == job.uid


def test_our_annotations_are_read() -> None:
    manifest = make_job("a")
    manifest["metadata"]["annotations"] |= {
        Annotation.TTL: "3600",
        Annotation.START_TIMEOUT: "600",
        Annotation.TIMEOUT: "60",
        Annotation.PAYLOAD: "pending",
        Annotation.REPLY_TO: "there",
        Annotation.BROKER: "nats",
        Annotation.TAGS: '["x"]',
    }
    job = job_of(manifest)
    assert (job.has_finalizer, job.format, job.request_id, job.source) == (True, 1, "a", "/test")
    assert (job.ttl, job.start_timeout, job.timeout) == (3600, 600, 60)
    assert (job.payload, job.reply_to, job.broker, job.tags) == ("pending", "there", "nats", '["x"]')


def test_limits_and_failed_indexes_are_read_from_the_job() -> None:
    spec = {"backoffLimitPerIndex": 2, "completionMode": "Indexed", "completions": 3}
    found = job_of({"metadata": {"name": "x"}, "spec": spec, "status": {"failedIndexes": "0,2"}})
    assert (found.backoff_limit_per_index, found.failed_indexes, found.several) == (2, "0,2", True)
    plain = job_of({"metadata": {"name": "x"}, "spec": {}, "status": {"failedIndexes": ""}})
    assert (plain.backoff_limit_per_index, plain.failed_indexes, plain.several) == (None, None, False)


@given(st.text())
def test_garbage_in_annotations_counts_as_absent(garbage: str) -> None:
    manifest = make_job("a")
    for name in (Annotation.TTL, Annotation.START_TIMEOUT, Annotation.TIMEOUT, Annotation.VERSION, Annotation.VERDICT):
        manifest["metadata"]["annotations"][name] = garbage
    job = parse_job(json.dumps(manifest).encode())
    numeric = garbage.isascii() and garbage.isdigit() and len(garbage) <= 18
    expected = int(garbage) if numeric else None
    assert (job.ttl, job.start_timeout, job.timeout) == (expected,) * 3
    assert job.format == (expected or 0)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"metadata": {"name": 1}, "spec": {}}',
        b'{"metadata": {}, "spec": {}}',
        b"\xff\xfe",
        b"null",
    ],
)
def test_nonsense_is_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed):
        parse_job(raw)
    with pytest.raises(Malformed):
        parse_pod(raw)


@given(st.binary())
def test_arbitrary_bytes_are_malformed_and_raise_nothing_else(raw: bytes) -> None:
    with pytest.raises(Malformed):
        parse_job(raw)


def test_annotations_that_we_would_not_write_count_as_absent() -> None:
    long = "x" * (MAX_NOTE + 1)
    manifest = make_job("a")
    notes = manifest["metadata"]["annotations"]
    for name in (Annotation.TAGS, Annotation.REPLY_TO, Annotation.VERDICT, Annotation.QUEUEING, Annotation.CONTEXT):
        notes[name] = long
    notes[Annotation.DEPENDENCIES] = long
    job = job_of(manifest)
    assert (job.tags, job.reply_to, job.verdict, job.queueing, job.context) == (None, None, None, None, "{}")
    assert job.dependencies == long
    notes[Annotation.DEPENDENCIES] = "x" * (MAX_STORED + 1)
    assert job_of(manifest).dependencies is None


@pytest.mark.parametrize("name", [Annotation.ID, Annotation.SOURCE])
def test_a_job_that_is_called_as_no_request_can_be_is_unidentified(name: str) -> None:
    manifest = make_job("a")
    manifest["metadata"]["annotations"][name] = "x" * (MAX_NOTE + 1)
    job = job_of(manifest)
    assert (job.request_id, job.source, job.stray) == ("", "", Stray.UNIDENTIFIED)


def test_what_many_jobs_say_is_kept_once() -> None:
    first, second = (parse_job(seen("job-succeeds", "jobs")[-1]) for _ in range(2))
    assert first.namespace is second.namespace
    assert first.conditions
    assert first.conditions[0].type is second.conditions[0].type
