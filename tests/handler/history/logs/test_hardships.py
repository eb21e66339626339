"""Logs are kept whatever nodes, namespaces, the database and the store of logs do, and nobody waits for another."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace

from events.names import NEW_RUN, Annotation
from events.phases import Phase
from handler.history.base import HistoryError, Key, LogState, PodRun, Request, StoreUnavailable
from handler.history.logs import attending, podlogs, taking, turns
from k8s.base import Cause, NotFound, Refused, Unavailable
from tests.handler.history.logs.shelves import read_back
from tests.handler.history.logs.wards import ENDED, Ward, job_manifest, make_seen
from tests.handler.samples import until
from tests.patience import PATIENCE

FORBIDDEN = Unavailable('403 pods "x" is forbidden: User "y" cannot get resource "pods/log"', cause=Cause.PERMISSION)


@pytest.fixture
def ward() -> Ward:
    return Ward()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(podlogs, "FIRST_WAIT", 0.02)
    monkeypatch.setattr(turns, "FIRST_PAUSE", 0.02)


async def raising(error: Exception) -> AsyncIterator[bytes]:
    raise error
    yield b""


async def test_a_log_is_read_once(ward: Ward) -> None:
    async with ward.keeping(make_seen("a")):
        (log,) = await ward.kept("a")
        ward.pods.put(make_seen("a", deleted=True))
        ward.pods.drop("a")
        await ward.kept("a")
    async with ward.keeping(make_seen("a"), make_seen("b")):
        await ward.kept("b")
    assert ward.asked == ["a", "b"]
    assert (log.state, log.bytes, log.dropped) == (LogState.WHOLE, 13, 0)
    assert await read_back(ward.shelves.reader, log) == b"hello from a\n"
    assert ward.value("history_logs_total", state="whole") == 2
    assert ward.value("history_log_failures_total") == 0


async def test_a_node_that_hangs_holds_nobody_up(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taking, "SECONDS", 2 * PATIENCE)

    async def says(pod: str, _: dict[str, Any]) -> AsyncIterator[bytes]:
        if pod.startswith("silent"):
            await asyncio.Event().wait()
        yield b"here\n"

    ward.says = says
    silent = [make_seen(f"silent-{number}", node="silent") for number in range(30)]
    good = [f"good-{number}" for number in range(30)]
    async with ward.keeping(*silent, *(make_seen(name, node="good") for name in good)):
        await ward.kept(*good)
    assert sum(pod.startswith("silent") for pod in ward.asked) == 6


async def test_a_node_is_asked_again_until_it_answers(ward: Ward) -> None:
    async def says(pod: str, _: dict[str, Any]) -> AsyncIterator[bytes]:
        if len(ward.asked) < 3:
            raise Unavailable("500 dial tcp 10.0.0.7:10250: i/o timeout")
        yield b"at last\n"

    ward.says = says
    async with ward.keeping(make_seen("a")):
        (log,) = await ward.kept("a")
    assert (log.state, ward.value("history_log_failures_total")) == (LogState.WHOLE, 2)


async def test_a_log_that_comes_too_slowly_is_given_up_for_now(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taking, "SECONDS", 0.1)

    async def says(pod: str, _: dict[str, Any]) -> AsyncIterator[bytes]:
        while len(ward.asked) == 1:
            yield b"x"
            await asyncio.sleep(0.01)
        yield b"whole\n"

    ward.says = says
    async with ward.keeping(make_seen("a")):
        (log,) = await ward.kept("a")
    assert (log.bytes, len(ward.asked)) == (6, 2)


async def test_a_namespace_that_refuses_is_asked_seldom_and_told_of_once(
    ward: Ward, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(attending, "ASK_AGAIN_SECONDS", 0.5)
    caplog.set_level("INFO")
    allowed = False

    async def says(pod: str, _: dict[str, Any]) -> AsyncIterator[bytes]:
        if pod.startswith("secret") and not allowed:
            raise FORBIDDEN
        yield b"here\n"

    ward.says = says
    secret = [make_seen(f"secret-{number}", namespace="secret") for number in range(9)]
    begun = asyncio.get_running_loop().time()
    async with ward.keeping(*secret, make_seen("other"), log_concurrency=1):
        await ward.kept("other")
        passed = asyncio.get_running_loop().time() - begun
        assert len(ward.asked) <= 2 + passed / 0.5
        await until(lambda: _is_asked(ward, 3))
        ward.pods.drop("secret-0")
        (log,) = await ward.kept("secret-0")
        allowed = True
        await ward.kept(*(f"secret-{number}" for number in range(1, 9)))
    assert (log.state, log.reason) == (LogState.MISSING, attending.FORBIDDEN)
    assert sum("until we may read them" in record.getMessage() for record in caplog.records) == 1
    assert sum("are kept again" in record.getMessage() for record in caplog.records) == 1


async def _is_asked(ward: Ward, times: int) -> bool:
    return len(ward.asked) >= times


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (NotFound('404 pods "a" not found'), attending.GONE),
        (Refused("400 container not found", status=400), "the node does not have it: 400 container not found"),
    ],
)
async def test_a_log_that_is_gone_is_missing(ward: Ward, error: Exception, reason: str) -> None:
    ward.says = lambda *_: raising(error)
    async with ward.keeping(make_seen("a")):
        (log,) = await ward.kept("a")
    assert (log.state, log.reason, log.bytes) == (LogState.MISSING, reason, 0)
    assert ward.value("history_log_failures_total") == 1


async def test_a_pod_that_goes_before_its_log_was_read_is_noted(ward: Ward) -> None:
    ward.says = lambda *_: raising(Unavailable("500 no route to host"))
    async with ward.keeping(make_seen("a", over=False)):
        await until(lambda: ward.noted("a"))
        ward.pods.drop("a")
        (log,) = await ward.kept("a")
    _, run, _ = ward.shelves.pods["a"]
    assert (log.state, log.reason, run.reason) == (LogState.MISSING, attending.GONE, attending.DELETED)
    assert run.finished


async def test_a_container_that_never_ran_has_no_log(ward: Ward) -> None:
    ended, idle = (type(ENDED)(name, ran=name == "main", running=False, ended=True) for name in ("main", "idle"))
    async with ward.keeping(make_seen("a", parts=(ended, idle))):
        await ward.kept("a")
        await until(lambda: _is_there(ward, "idle"))
    log = ward.shelves.headers["a", "idle"]
    assert (log.state, log.reason, ward.asked) == (LogState.MISSING, attending.NEVER_RAN, ["a"])
    assert ward.value("history_log_failures_total") == 0


async def _is_there(ward: Ward, container: str) -> bool:
    return ("a", container) in ward.shelves.headers


async def test_a_container_whose_log_cannot_be_read_keeps_no_other_from_it(ward: Ward) -> None:
    async def says(pod: str, given: dict[str, Any]) -> AsyncIterator[bytes]:
        if given["container"] == "bad":
            raise Unavailable("500 no such file")
        yield b"here\n"

    ward.says = says
    bad = type(ENDED)("bad", ran=True, running=False, ended=True)
    async with ward.keeping(make_seen("a", parts=(bad, ENDED))):
        (log,) = await ward.kept("a")
    assert log.state is LogState.WHOLE


async def test_a_database_that_is_away_for_a_while_loses_nothing(ward: Ward) -> None:
    ward.shelves.ill = 5
    async with ward.keeping(*(make_seen(str(number)) for number in range(3))):
        await ward.kept("0", "1", "2")
    assert ward.value("history_log_failures_total") == 5


async def test_a_writer_that_is_lost_ends_it(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(podlogs, "LOST_SECONDS", 0.2)

    async def lost(*_: object, **__: object) -> None:
        raise StoreUnavailable("the session is lost")

    monkeypatch.setattr(ward.shelves, "keep_pod", lost)
    with pytest.raises(StoreUnavailable, match="the session is lost"):
        await ward.keep(make_seen("a"))


class Away:
    """A store of logs that is away for so many requests."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.chunks: dict[int, bytes] = {}

    async def put(self, pod: str, container: str, number: int, body: bytes) -> None:
        if self.times:
            self.times -= 1
            raise StoreUnavailable("connection refused")
        self.chunks[number] = body


async def test_a_store_of_logs_that_is_away_ends_nothing(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(podlogs, "LOST_SECONDS", 0.0)
    away = Away(3)
    ward.bodies = away  # type: ignore[assignment]
    async with ward.keeping(make_seen("a")):
        (log,) = await ward.kept("a")
    assert (log.state, list(away.chunks), ward.shelves.chunks) == (LogState.WHOLE, [0], {})
    assert [one.state for one in ward.shelves.written] == [LogState.WHOLE]


async def test_pods_that_are_no_requests_are_left_alone(ward: Ward) -> None:
    ward.jobs = {
        "foreign": job_manifest("foreign", labels={"jobrelay.dev/instance": "another"}),
        "nobody": job_manifest("nobody", annotations={}),
        "other": job_manifest("other", uid="another"),
        "gone": None,
    }
    names = ("foreign", "nobody", "other", "gone", "ours")
    async with ward.keeping(make_seen("loose", job=""), *map(make_seen, names)):
        await ward.kept("ours")
    assert (ward.asked, list(ward.shelves.pods)) == (["ours"], ["ours"])


async def test_a_pod_whose_job_is_gone_is_of_the_request_that_had_it(ward: Ward) -> None:
    key = Key(id="orphan", cause="e1", source="/tests")
    ward.jobs = {"orphan": None}
    ward.shelves.found = [
        Request(key=replace(key, cause=cause), phase=Phase.STARTED, created=7.0, updated=8.0, job_uid=uid)
        for cause, uid in (("e0", "job-other"), ("e1", "job-orphan"))
    ]
    async with ward.keeping(make_seen("orphan")):
        await ward.kept("orphan")
    found, _, created = ward.shelves.pods["orphan"]
    assert (found, created) == (key, 7.0)


async def test_a_run_of_a_schedule_waits_for_the_controller(ward: Ward) -> None:
    ward.jobs["run"] = job_manifest("run", annotations={Annotation.RUN: NEW_RUN})
    async with ward.keeping(make_seen("run"), make_seen("other")):
        await ward.kept("other")
        ward.jobs["run"] = job_manifest("run")
        await ward.kept("run")


async def test_logs_that_are_off_are_not_read_and_pods_are_noted_all_the_same(ward: Ward) -> None:
    for settings in ({"logs": "off"}, {"log_bytes": 0}):
        async with ward.keeping(make_seen("a"), **settings):
            await until(lambda: ward.noted("a"))
        _, run, _ = ward.shelves.pods.pop("a")
        assert (run.exit_code, run.finished) == (0, 2.0)
    assert (ward.asked, ward.shelves.headers) == ([], {})


async def test_the_end_of_a_pod_is_noted_whenever_its_containers_end(ward: Ward) -> None:
    """A kubelet tells of the end of a container before it tells of that of its pod."""
    before, other = (
        make_seen("a", over=False, parts=(ENDED,)),
        type(ENDED)("other", ran=True, running=True, ended=False),
    )
    async with ward.keeping(make_seen("b", over=False, parts=(ENDED, other)), before):
        (log,) = await ward.kept("b")
        assert (log.state, ward.asked) == (LogState.WHOLE, ["b"])
        await until(lambda: ward.noted("a"))
        ward.pods.put(make_seen("a"))
        await ward.kept("a")
        assert ward.shelves.pods["a"][1].finished == 2.0
        ward.pods.put(make_seen("c", over=False, deleted=True, parts=(ENDED,)))
        await ward.kept("c")
        ward.pods.put(make_seen("c", deleted=True))
        await until(lambda: _has_ended(ward, "c"))
    assert ward.asked == ["b", "a", "c"]


async def _has_ended(ward: Ward, pod: str) -> bool:
    return ward.shelves.pods[pod][1].finished == 2.0


async def test_a_pod_that_the_database_refuses_keeps_no_other_waiting(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = ward.shelves.keep_pod

    async def refusing(key: Key, pod: PodRun, **more: Any) -> None:
        if pod.name == "bad":
            raise HistoryError("a number does not fit")
        await keep(key, pod, **more)

    monkeypatch.setattr(ward.shelves, "keep_pod", refusing)
    async with ward.keeping(make_seen("bad"), make_seen("good")):
        await ward.kept("good")
        await until(lambda: _has_failed(ward))
    assert ward.asked == ["good"]


async def _has_failed(ward: Ward) -> bool:
    return ward.value("history_log_failures_total") == 1
