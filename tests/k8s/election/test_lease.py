"""Election against a server that hangs, refuses and forgets: never two leaders, and never none for long."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from k8s.api.clock import boottime
from k8s.api.cluster import Cluster, connect
from k8s.base import Conflict, LeadershipLost
from k8s.election.lease import Leadership, lead, prepare_lease
from k8s.election.record import PUBLISHED_TO, LeaseTiming
from tests.k8s.conftest import eventually
from tests.k8s.server import LEASES, Server, status
from tests.patience import PATIENCE, within

FAST = LeaseTiming(lease=3.0, renew_deadline=2.3, retry=0.1, call=0.2)


class Clock:
    """`boottime`, plus what a test adds: the machine slept, or the process was stopped."""

    def __init__(self) -> None:
        self.slept = 0.0

    def __call__(self) -> float:
        return boottime() + self.slept


@dataclass
class Terms:
    """Which candidates led, from when to when."""

    spans: list[tuple[str, float, float]] = field(default_factory=list)
    now: set[str] = field(default_factory=set)

    def overlaps(self) -> list[tuple[str, str]]:
        return [
            (a, b)
            for a, since_a, until_a in self.spans
            for b, since_b, until_b in self.spans
            if a != b and since_a < until_b and since_b < until_a
        ]


@asynccontextmanager
async def leading(
    cluster: Cluster,
    identity: str,
    *,
    published_to: Callable[[], float] = lambda: 0.0,
    clock: Callable[[], float] = boottime,
    timing: LeaseTiming = FAST,
) -> AsyncIterator[Leadership]:
    async with lead(
        cluster, namespace="ns", name="jobrelay", identity=identity, timing=timing, clock=clock
    ) as leadership:
        leadership.reports(published_to=published_to, counts=lambda: None)
        yield leadership


@asynccontextmanager
async def candidate(cluster: Cluster, identity: str, terms: Terms) -> AsyncIterator[asyncio.Task[None]]:
    """Runs for leader in the background, again and again, and notes when it led. Cancelled at the end."""

    async def run() -> None:
        while True:
            try:
                async with leading(cluster, identity) as leadership:
                    since = boottime()
                    terms.now.add(identity)
                    try:
                        await _work(leadership)
                    finally:
                        terms.now.discard(identity)
                        terms.spans.append((identity, since, boottime()))
            except LeadershipLost:
                continue

    async with asyncio.TaskGroup() as group:
        task = group.create_task(run())
        try:
            yield task
        finally:
            task.cancel()


async def _work(leadership: Leadership) -> None:
    while True:
        leadership.check(FAST.call)
        await asyncio.sleep(0.005)


@pytest.fixture
async def other(kubeconfig: Path) -> AsyncIterator[Cluster]:
    async with connect(kubeconfig=kubeconfig, timeout=PATIENCE) as cluster:
        yield cluster


@pytest.fixture
async def unheld(cluster: Cluster) -> None:
    await prepare_lease(cluster, namespace="ns", name="jobrelay")


nobody_led = pytest.mark.usefixtures("unheld")
"""The first candidate leads at once; where there is no Lease, it waits for a leader that may have been."""


def holder(server: Server) -> str:
    return str(server.objects[(LEASES, "jobrelay")]["spec"]["holderIdentity"])


async def test_lease_is_created_renewed_and_given_back(cluster: Cluster, server: Server) -> None:
    async with leading(cluster, "a", published_to=lambda: 1_700_000_000.25) as leadership:
        assert leadership.previous is None
        assert leadership.write_timeout == FAST.call
        leadership.check(leadership.write_timeout)
        first = server.objects[(LEASES, "jobrelay")]
        assert first["spec"]["holderIdentity"] == "a"
        assert first["spec"]["leaseDurationSeconds"] == FAST.lease
        assert first["spec"]["leaseTransitions"] == 0
        assert first["spec"]["renewTime"].endswith("Z")
        assert len(first["spec"]["renewTime"]) == len("2026-01-01T00:00:00.000000Z")
        assert PUBLISHED_TO not in first["metadata"].get("annotations", {}), "nothing is claimed before the first work"
        await eventually(
            lambda: PUBLISHED_TO in server.objects[(LEASES, "jobrelay")]["metadata"].get("annotations", {})
        )
        renewed = server.objects[(LEASES, "jobrelay")]
        assert renewed["metadata"]["annotations"][PUBLISHED_TO] == "2023-11-14T22:13:20.250000Z"
        assert renewed["spec"]["acquireTime"] == first["spec"]["acquireTime"]
        assert renewed["spec"]["renewTime"] > first["spec"]["renewTime"]
    left = server.objects[(LEASES, "jobrelay")]["spec"]
    assert (left["holderIdentity"], left["leaseDurationSeconds"]) == ("", 1)


@nobody_led
async def test_next_leader_takes_a_released_lease_at_once_and_knows_what_was_published(
    cluster: Cluster, other: Cluster, server: Server
) -> None:
    slow = LeaseTiming()  # as in production
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        await stack.enter_async_context(leading(cluster, "a", published_to=lambda: 1_700_000_000.5, timing=slow))

        async def succeed() -> tuple[float, float | None]:
            async with leading(other, "b", timing=slow) as leadership:
                return boottime(), leadership.previous

        second = group.create_task(succeed())
        await asyncio.sleep(0.3)  # b has seen that a leads
        assert not second.done()
        released = boottime()
        await stack.aclose()
        assert holder(server) == ""
    at, previous = second.result()
    assert at - released < 1.0
    assert previous == 1_700_000_000.5


@nobody_led
async def test_published_time_never_goes_back(cluster: Cluster, server: Server) -> None:
    async with leading(cluster, "a", published_to=lambda: 1_700_000_000.0):
        pass
    async with leading(cluster, "b", published_to=lambda: 5.0) as leadership:
        assert leadership.previous == 1_700_000_000.0
        written = len(server.requests)
        await eventually(lambda: len(server.requests) > written + 2)
        annotations = server.objects[(LEASES, "jobrelay")]["metadata"]["annotations"]
        assert annotations[PUBLISHED_TO] == "2023-11-14T22:13:20.000000Z"


@nobody_led
async def test_published_time_in_the_future_is_not_kept(cluster: Cluster, server: Server) -> None:
    async with leading(cluster, "a", published_to=lambda: 4_000_000_000.0):
        pass
    async with leading(cluster, "b", published_to=lambda: 5.0):
        await eventually(lambda: _mark(server) == "1970-01-01T00:00:05.000000Z")


def _mark(server: Server) -> str:
    return str(server.objects[(LEASES, "jobrelay")]["metadata"]["annotations"][PUBLISHED_TO])


async def test_expired_lease_is_taken_only_after_lease_and_call_since_we_saw_its_last_change(
    cluster: Cluster, server: Server
) -> None:
    spec = {"holderIdentity": "dead", "leaseDurationSeconds": 1, "renewTime": "2001-01-01T00:00:00.000000Z"}
    begun = boottime()
    server.put(LEASES, {"metadata": {"name": "jobrelay", "uid": "u"}, "spec": spec})
    async with leading(cluster, "a"):
        assert boottime() - begun >= 1 + FAST.call, "by its renewTime it ended long ago, but we saw it just now"
    assert server.objects[(LEASES, "jobrelay")]["spec"]["leaseTransitions"] == 1


@nobody_led
async def test_error_of_the_block_comes_out_unchanged_and_the_lease_is_given_back(
    cluster: Cluster, server: Server
) -> None:
    with pytest.raises(Conflict, match="mine"):
        async with leading(cluster, "a"):
            raise Conflict("mine")
    assert holder(server) == ""


@nobody_led
async def test_cancelled_leader_gives_the_lease_back(cluster: Cluster, server: Server) -> None:
    terms = Terms()
    async with candidate(cluster, "a", terms):
        await eventually(lambda: "a" in terms.now)
    assert holder(server) == ""


@nobody_led
@pytest.mark.parametrize("fault", ["hang", "refuse", "fail", "forbid"])
async def test_leader_that_cannot_renew_stops_before_the_lease_ends(
    cluster: Cluster, server: Server, fault: str
) -> None:
    with pytest.raises(LeadershipLost):
        async with leading(cluster, "a"):
            begun = boottime()
            if fault == "hang":
                server.hang()
            elif fault == "refuse":
                await server.stop()
            else:
                code = {"fail": 500, "forbid": 403}[fault]
                server.answer(code, status(code, "No"), times=10_000)
            try:
                async with asyncio.timeout(PATIENCE):
                    await asyncio.Event().wait()
            except asyncio.CancelledError:
                assert boottime() - begun < FAST.lease
                raise


@nobody_led
async def test_renewal_outlives_a_short_outage(cluster: Cluster, server: Server) -> None:
    async with leading(cluster, "a") as leadership:
        server.answer(500, status(500, "No"), method="PUT", times=2)
        written = server.version
        await eventually(lambda: server.version > written + 2)
        leadership.check(FAST.call)


@nobody_led
async def test_lost_answer_to_a_renewal_does_not_end_leadership(cluster: Cluster, server: Server) -> None:
    async with leading(cluster, "a") as leadership:
        # As if our renewal had been applied and its answer lost. A user's kubectl annotate looks the same.
        server.put(LEASES, server.objects[(LEASES, "jobrelay")])
        written = server.version
        await eventually(lambda: server.version > written + 2)
        leadership.check(FAST.call)


@nobody_led
async def test_lease_that_a_user_changed_meanwhile_is_given_back_all_the_same(cluster: Cluster, server: Server) -> None:
    calm = LeaseTiming()  # no renewal within this test
    async with leading(cluster, "a", timing=calm):
        found = server.objects[(LEASES, "jobrelay")]
        server.put(LEASES, {**found, "metadata": {**found["metadata"], "labels": {"by": "somebody"}}})
    assert holder(server) == ""
    assert server.objects[(LEASES, "jobrelay")]["metadata"]["labels"] == {"by": "somebody"}


@nobody_led
async def test_answer_that_is_no_lease_is_tried_again(cluster: Cluster, server: Server) -> None:
    async with leading(cluster, "a") as leadership:
        server.answer(200, "[]", method="PUT")
        server.answer(200, "<html>", method="PUT")
        written = server.version
        await eventually(lambda: server.version > written + 2)
        leadership.check(FAST.call)


@nobody_led
async def test_lease_taken_by_another_candidate_is_lost_at_once(cluster: Cluster, server: Server) -> None:
    with pytest.raises(LeadershipLost, match="thief"):
        async with asyncio.timeout(PATIENCE), leading(cluster, "a"):
            found = server.objects[(LEASES, "jobrelay")]
            server.put(LEASES, {**found, "spec": {**found["spec"], "holderIdentity": "thief"}})
            await asyncio.Event().wait()
    assert holder(server) == "thief", "what is not ours is not given back"


@nobody_led
async def test_deleted_lease_ends_leadership_and_there_are_never_two_leaders(
    cluster: Cluster, other: Cluster, server: Server
) -> None:
    terms = Terms()
    async with candidate(cluster, "a", terms):
        await eventually(lambda: terms.now == {"a"})
        async with candidate(other, "b", terms):
            await asyncio.sleep(0.2)
            server.delete(LEASES, "jobrelay")
            await eventually(lambda: len(terms.spans) == 1)
            await eventually(lambda: len(terms.now) == 1)
    assert terms.overlaps() == []


@nobody_led
async def test_lease_deleted_before_a_newcomer_looks_never_makes_two_leaders(
    cluster: Cluster, other: Cluster, server: Server
) -> None:
    terms = Terms()
    async with candidate(cluster, "a", terms):
        await eventually(lambda: terms.now == {"a"})
        server.delete(LEASES, "jobrelay")
        async with candidate(other, "b", terms):
            await eventually(lambda: "b" in terms.now)
    assert terms.overlaps() == []


@nobody_led
@pytest.mark.parametrize("fault", ["hang", "refuse"])
async def test_two_candidates_never_lead_together_through_outages(
    cluster: Cluster, other: Cluster, server: Server, fault: str
) -> None:
    terms = Terms()
    async with candidate(cluster, "a", terms), candidate(other, "b", terms):
        for _ in range(2):
            await eventually(lambda: len(terms.now) == 1)
            if fault == "hang":
                server.hang()
            else:
                await server.stop()
            await eventually(lambda: not terms.now)
            if fault == "hang":
                server.unhang()
            else:
                await server.start()
        await eventually(lambda: len(terms.now) == 1)
    assert terms.overlaps() == []
    assert len(terms.spans) == 3


@nobody_led
async def test_write_is_refused_after_the_process_was_stopped(cluster: Cluster) -> None:
    clock = Clock()
    with pytest.raises(LeadershipLost):
        async with leading(cluster, "a", clock=clock) as leadership:
            leadership.check(FAST.call)
            clock.slept = 60.0  # SIGSTOP, then SIGCONT: nothing of ours ran in between
            leadership.check(FAST.call)


@nobody_led
async def test_write_must_end_before_the_lease_does(cluster: Cluster) -> None:
    async with leading(cluster, "a") as leadership:
        with pytest.raises(LeadershipLost):
            leadership.check(FAST.lease + 0.01)


@nobody_led
async def test_renewal_answered_only_after_the_process_was_stopped_does_not_count(
    cluster: Cluster, server: Server
) -> None:
    clock = Clock()

    with pytest.raises(LeadershipLost, match="renewed"):
        async with asyncio.timeout(PATIENCE), leading(cluster, "a", clock=clock):
            server.hang()
            await eventually(lambda: server.requests[-1][0] == "PUT")
            clock.slept = 60.0
            server.unhang()
            await asyncio.Event().wait()


@pytest.mark.stricter
async def test_candidate_keeps_trying_while_the_server_is_down(cluster: Cluster, server: Server) -> None:
    await server.stop()
    begun = time.monotonic()
    terms = Terms()
    async with candidate(cluster, "a", terms):
        await asyncio.sleep(0.1)
        await server.start()
        await eventually(lambda: "a" in terms.now)
    assert time.monotonic() - begun < within(5)
