"""Reading records of the lifecycle log: ours, and what anybody may have published there."""

from typing import Any
from urllib.parse import quote

import msgspec
import orjson
import pytest
from hypothesis import given, settings, strategies as st

from events.cloudevent.event import build, encode_structured
from events.lifecycle.events import lifecycle_event
from events.names import CONTROL_TYPE, JOB_TYPE
from events.phases import Phase
from handler.history.base import Action, Entry, Key, PodRun, Unreadable
from handler.history.bounds import (
    MAX_BODY,
    MAX_BYTES,
    MAX_ID,
    MAX_KEY,
    MAX_MESSAGE,
    MAX_NAME,
    MAX_READ,
    MAX_RESULT,
    MAX_TAGS,
)
from handler.history.recording.facts import read
from handler.history.rows import advance, stat_of
from k8s.reading.job import job_of
from tests.events.lifecycle.played import PLAYED
from tests.handler.history.recording.records import STORED, lifecycle, record_of, stored
from tests.long import examples

HOSTILE = "a value of an event"


def entry_of(event: Any, **more: Any) -> Entry:
    found = read(record_of(event, **more))
    assert isinstance(found, Entry)
    return found


def unreadable(body: object, **more: Any) -> Unreadable:
    found = read(stored(body, 7, **more))
    assert isinstance(found, Unreadable)
    assert found.sequence == 7
    assert HOSTILE not in found.reason
    return found


def test_created_says_what_was_asked_for() -> None:
    asked = {
        "type": "dev.jobrelay.job.requested", "eventTime": "2026-01-15T07:59:00.5Z", "function": "thumbnail",
        "image": "alpine:3", "cpu": 0.5, "memory": 134217728, "gpus": 1, "parallelism": 1, "priority": 7,
        "replayOf": "r-0",
    }  # fmt: skip
    found = entry_of(lifecycle("created", tags=["night", "big", "night"], request=asked, jobId="uid-1"))
    assert found.key == Key("r-1", "cause-r-1", "/shop")
    assert (found.id, found.phase, found.time, found.tags) == (
        "uid-1/created", Phase.CREATED, STORED, ("night", "big")
    )  # fmt: skip
    assert found.changes == {
        "attempt": 1, "service": "billing", "namespace": "jobs", "job": "job-uid-1", "job_uid": "uid-1",
        "function": "thumbnail", "image": "alpine:3", "cpu": 0.5, "memory": 134217728, "gpus": 1, "priority": 7,
        "event_time": STORED - 60 + 0.5, "replay_of": "r-0",
    }  # fmt: skip
    assert orjson.loads(found.body)["data"]["detail"]["request"] == asked


def test_started_names_its_pod() -> None:
    found = entry_of(lifecycle("started", podId="p", podName="job-x", node=None, attempt=2))
    assert found.pod == PodRun(uid="p", name="job-x", namespace="jobs", attempt=2, started=STORED)
    assert entry_of(lifecycle("started", podId=3, podName="job-x")).pod is None


def test_an_end_says_how_it_went() -> None:
    found = entry_of(
        lifecycle(
            "failed",
            time=STORED,
            startedAt="2026-01-15T07:59:00Z",
            finishedAt="2026-01-15T08:00:00Z",
            duration=59,
            exitCode=137,
            result={"pages": [1, 2]},
            error={"errorCode": "OOM_KILLED", "message": "too much"},
            usage={"peaks": {"cpu": 1, "memory": 5}, "samples": 1},
        )
    )
    row = advance(None, found)
    assert (row.started, row.finished, row.exit_code, row.result) == (STORED - 60, STORED, 137, b'{"pages":[1,2]}')
    assert (row.error_code, row.message, row.peak_cpu, row.peak_memory) == ("OOM_KILLED", "too much", 1.0, 5)
    assert found.run == 59
    assert entry_of(lifecycle("succeeded", startedAt="2026-01-15T07:59:00Z")).run == 60


def test_what_follows_clears_what_was_wrong() -> None:
    row = advance(None, entry_of(lifecycle("stalled", error={"errorCode": "IMAGE_PULL", "message": "no such image"})))
    assert (row.reason, row.message) == ("IMAGE_PULL", "no such image")
    row = advance(row, entry_of(lifecycle("started", podId="p", podName="n")))
    assert (row.reason, row.message) == (None, None)
    row = advance(row, entry_of(lifecycle("suspended", by="kueue")))
    assert row.reason == "kueue"
    assert advance(row, entry_of(lifecycle("resumed", by="kueue"))).reason is None


def test_rejected_has_no_job_and_the_time_of_the_log() -> None:
    found = entry_of(lifecycle("rejected", uid=None, error={"errorCode": "FORBIDDEN", "message": "no"}))
    assert (found.time, found.changes) == (
        STORED, {"service": "billing", "error_code": "FORBIDDEN", "message": "no"}
    )  # fmt: skip


@pytest.mark.parametrize(("verb", "outcome", "code"), [("cancel", "accepted", None), ("resume", "rejected", "UNKNOWN")])
def test_answers_to_control_events_are_actions(verb: str, outcome: str, code: str | None) -> None:
    attributes = {
        "specversion": "1.0", "type": f"{CONTROL_TYPE}.{outcome}", "source": "/jobrelay/jobrelay",
        "id": f"control/x/{outcome}", "subject": "command-1", "actor": "ann",
    }  # fmt: skip
    error = {"error": {"errorCode": code, "message": "?"}} if code else {"jobs": ["job-x"]}
    event = build(attributes, {"id": "command-1", "status": None, "detail": {"verb": verb, "subject": "r-1", **error}})
    assert read(record_of(event, key=f"_control.command-1.{outcome}")) == Action(
        id=f"control/x/{outcome}", time=STORED, actor="ann", verb=verb, request_id="r-1", outcome=outcome, code=code
    )


@pytest.mark.parametrize(("phase", "code"), [("created", None), ("scheduled", None), ("rejected", "FORBIDDEN")])
@pytest.mark.parametrize(("replayof", "verb"), [(None, "submit"), ("r-0", "again")])
def test_who_asked_for_a_request_is_an_action(phase: str, code: str | None, replayof: str | None, verb: str) -> None:
    error: dict[str, Any] = {"error": {"errorCode": code, "message": "?"}} if code else {}
    event = lifecycle(phase, attributes={"actor": "ann", "replayof": replayof}, **error)
    assert entry_of(event).asked == Action(
        id=f"uid-1/{phase}", time=STORED, actor="ann", verb=verb, request_id="r-1", outcome=phase, code=code
    )


def test_nobody_is_named_who_did_not_ask() -> None:
    assert entry_of(lifecycle("created")).asked is None
    assert entry_of(lifecycle("created", attributes={"actor": ""})).asked is None
    assert entry_of(lifecycle("started", attributes={"actor": "ann"})).asked is None


def test_a_request_whose_id_did_not_fit_is_named_by_its_topic_and_one_without_any_by_its_event() -> None:
    event = build({**lifecycle("failed").get_attributes(), "subject": None}, {"id": None, "status": 3, "detail": {}})
    assert entry_of(event, key="billing.~hash.failed").key.id == "~hash"
    assert entry_of(event, key="billing._.failed").key.id == "uid-1/failed"


def test_events_of_others_are_passed_over() -> None:
    assert read(record_of(lifecycle("created", attributes={"type": "com.example.created"}))) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"{" * 5000,
        b"[]",
        b'{"specversion":"1.0"}',
        {"specversion": "1.0", "id": HOSTILE, "source": "/a b", "type": JOB_TYPE + ".created"},
        {"specversion": "1.0", "id": HOSTILE, "source": "/a", "type": JOB_TYPE + ".levitated"},
        {"specversion": "1.0", "id": HOSTILE, "source": "/a", "type": JOB_TYPE + ".created"},
        {"specversion": "1.0", "id": HOSTILE, "source": "/a", "type": JOB_TYPE + ".created", "data": [1]},
        {"specversion": "1.0", "id": HOSTILE, "source": "/a", "type": JOB_TYPE + ".created", "data": {"detail": 1}},
        {"specversion": "1.0", "id": "i", "source": "/a", "type": JOB_TYPE + ".created", "data_base64": "AAAA"},
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_kept_as_bytes(body: object) -> None:
    found = unreadable(body)
    assert found.reason
    assert found.body == (body if isinstance(body, bytes) else orjson.dumps(body))


def test_numbers_that_no_database_holds_are_left_out() -> None:
    body = orjson.dumps({**_document("created"), "data": {"detail": {"request": {"cpu": 1, "memory": 2}}}})
    found = read(stored(body.replace(b'"cpu":1', b'"cpu":1e400').replace(b'"memory":2', b'"memory":1' + b"0" * 30)))
    assert isinstance(found, Entry)
    assert not found.changes.keys() & {"cpu", "memory"}


def test_what_is_kept_is_bounded() -> None:
    huge = b"x" * (MAX_READ + 1)
    found = unreadable(huge)
    assert len(found.body) == MAX_BYTES
    assert f"more than {MAX_READ}" in found.reason
    long = {f"ce-x{number}": quote('"' * 8000) for number in range(70)}
    headers = {f"ce-{name}": str(value) for name, value in _document("created").items()}
    found = unreadable({"detail": {}}, headers={"Content-Type": "application/json", **headers, **long})
    assert f"more than {MAX_BODY}" in found.reason


def test_long_texts_that_tell_requests_apart_still_do() -> None:
    first, second = ("ä" * MAX_ID + end for end in ("1", "2"))
    one, other = (
        read(stored({**_document("started"), "subject": None, "data": {"id": text, "detail": {}}}))
        for text in (first, second)
    )
    assert isinstance(one, Entry)
    assert isinstance(other, Entry)
    assert one.key.id != other.key.id
    assert len(one.key.id.encode()) <= MAX_ID
    assert read(stored(_document("started", causationid="c" * 5000))) == read(
        stored(_document("started", causationid="c" * 5000))
    )


def test_a_time_ahead_of_the_log_is_not_believed() -> None:
    assert entry_of(lifecycle("created", time=STORED + 3600)).time == STORED + 3600
    assert entry_of(lifecycle("created", time=STORED + 100_000)).time == STORED
    assert entry_of(lifecycle("created", attributes={"time": "0001-01-01T00:00:00Z"})).time == STORED


def _document(phase: str, **attributes: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0", "type": f"{JOB_TYPE}.{phase}", "id": f"u/{phase}",
        "source": "/namespaces/a/jobs/b", "subject": "r", **attributes,
    }  # fmt: skip


NAMES = st.sampled_from([
    *("service", "phase", "attempt", "tags", "metadata", "request", "eventTime", "function", "image", "cpu", "memory"),
    *("gpus", "priority", "podId", "podName", "node", "peaks", "usage", "error", "errorCode", "message", "by"),
    *("duration", "startedAt", "finishedAt", "exitCode", "result", "results", "verb", "subject", "reason", "shortened"),
])  # fmt: skip
TEXTS = st.sampled_from(["\0", "x" * 9000, "ä" * 3000, "2026-01-15T08:00:00Z", "9999-12-31T23:59:59Z"])
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8) | TEXTS
)  # fmt: skip
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5))
TYPES = [*(f"{JOB_TYPE}.{phase}" for phase in Phase), f"{CONTROL_TYPE}.accepted", f"{CONTROL_TYPE}.rejected"]


@given(
    kind=st.sampled_from(TYPES),
    identity=st.sampled_from(["u/x", "x", "i" * 8000, "ä/" * 500]),
    attributes=st.dictionaries(
        st.sampled_from(["subject", "causationid", "requestsource", "time", "actor"]), st.text(max_size=9)
    ),
    detail=st.dictionaries(NAMES, VALUES, max_size=12),
    request=VALUES,
)
@settings(max_examples=examples(120))
def test_whatever_the_data_are_what_is_read_fits_each_database(
    kind: str, identity: str, attributes: dict[str, Any], detail: Any, request: Any
) -> None:
    source = "/namespaces/a/jobs/b"
    document = {"specversion": "1.0", "type": kind, "id": identity, "source": source, **attributes}
    found = read(stored({**document, "data": {"id": request, "detail": detail}}))
    if isinstance(found, Entry):
        row = advance(None, found)
        _fits(msgspec.structs.asdict(row))
        _fits({"id": found.id, "time": found.time, "run": found.run, "tags": found.tags})
        stat = stat_of(row, found)
        _fits({} if stat is None else msgspec.structs.asdict(stat))
        _fits({} if found.pod is None else msgspec.structs.asdict(found.pod))
        assert len(found.body) <= MAX_BODY
    elif isinstance(found, Action):
        _fits(msgspec.structs.asdict(found))
    else:
        assert isinstance(found, Unreadable)


def _fits(fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        if isinstance(value, str):
            assert "\0" not in value
            assert len(value.encode()) <= (4 * MAX_MESSAGE if name in ("message", "image") else MAX_ID)
        elif isinstance(value, Key):
            assert len(value.id.encode()) <= MAX_ID
            assert max(len(value.cause.encode()), len(value.source.encode())) <= MAX_KEY
        elif isinstance(value, tuple):
            assert len(value) <= MAX_TAGS
            assert all(len(tag) <= MAX_NAME and "\0" not in tag for tag in value)
        elif isinstance(value, float):
            assert abs(value) < 1e18
        elif isinstance(value, int):
            assert -(2**31) <= value < (2**63 if name in ("memory", "peak_memory") else 2**31) or name == "hour"
        else:
            assert value is None or len(value) <= MAX_RESULT


@given(st.binary(max_size=200) | VALUES)
@settings(max_examples=examples(60))
def test_whatever_the_bytes_are(body: object) -> None:
    assert not isinstance(read(stored(body)), Entry)


@pytest.mark.parametrize("name", PLAYED)
def test_the_events_of_jobrelay_itself_are_all_read(name: str) -> None:
    story = PLAYED[name]
    job = next(job_of(change.manifest) for change in reversed(story.changes) if change.kind == "jobs")
    job = msgspec.structs.replace(job, source="/shop", request_id="r-1")
    told = story.told()
    row = None
    for transition in told:
        found = read(stored(encode_structured(lifecycle_event(job, transition)), time=transition.time))
        assert isinstance(found, Entry)
        assert (found.id, found.phase, found.time) == (transition.id(job), transition.phase, int(transition.time))
        row = advance(row, found)
    assert row is not None
    assert (row.job, row.job_uid, row.namespace, row.key.id) == (job.name, job.uid, job.namespace, job.request_id)
    if told[-1].terminal:
        detail = told[-1].detail
        code = detail["error"]["errorCode"] if "error" in detail else None
        assert (row.phase, row.exit_code, row.error_code) == (told[-1].phase, detail.get("exitCode"), code)
        assert (row.result is None) == ("result" not in detail and "results" not in detail)
        assert row.finished is not None
