"""A Lease that was deleted, whose former holder may still act, and claims that nobody answered."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from aiohttp import web

from k8s.api.clock import boottime
from k8s.api.cluster import Cluster, connect
from k8s.base import LeadershipLost
from k8s.election.lease import prepare_lease
from tests.k8s.conftest import eventually
from tests.k8s.election.test_lease import FAST, Terms, candidate, holder, leading
from tests.k8s.server import LEASES, Server, status
from tests.patience import PATIENCE


@pytest.fixture
async def other(kubeconfig: Path) -> AsyncIterator[Cluster]:
    async with connect(kubeconfig=kubeconfig, timeout=PATIENCE) as cluster:
        yield cluster


@pytest.fixture
async def prepared(cluster: Cluster) -> None:
    await prepare_lease(cluster, namespace="ns", name="jobrelay")


@pytest.mark.usefixtures("prepared")
async def test_prepared_lease_is_led_by_the_first_at_once_and_prepared_only_once(
    cluster: Cluster, server: Server
) -> None:
    begun = boottime()
    async with leading(cluster, "a") as leadership:
        assert boottime() - begun < FAST.doubt
        assert (leadership.previous, leadership.former_until) == (None, None)
        await prepare_lease(cluster, namespace="ns", name="jobrelay")
        assert holder(server) == "a"


@pytest.mark.usefixtures("prepared")
async def test_newcomer_who_finds_no_lease_waits_for_a_leader_that_cannot_learn_that_it_is_deleted(
    cluster: Cluster, other: Cluster, server: Server
) -> None:
    async def failing(request: web.Request) -> web.Response:
        sent = await request.json()
        if sent["spec"]["holderIdentity"] == "a":
            return web.json_response(status(500, "No"), status=500)
        return web.json_response(server.put(LEASES, sent))

    terms = Terms()
    async with candidate(cluster, "a", terms):
        await eventually(lambda: terms.now == {"a"})
        written = server.version
        await eventually(lambda: server.version > written)
        # Its renewals fail. Until its last one is over it may act on everything else.
        server.fault(failing, method="PUT", times=10_000)
        server.delete(LEASES, "jobrelay")
        async with candidate(other, "b", terms):
            await eventually(lambda: "b" in terms.now)
    assert terms.overlaps() == []
    assert terms.spans[0][0] == "a"


async def test_lease_of_which_no_answer_says_that_it_was_created_is_doubted_as_long(
    cluster: Cluster, server: Server
) -> None:
    async def lost(request: web.Request) -> web.Response:
        server.put(LEASES, (await request.json()) | {"metadata": {"name": "jobrelay", "uid": "u"}})
        return web.Response(status=500)

    server.fault(lost, method="POST")
    begun = boottime()
    async with leading(cluster, "a"):
        assert boottime() - begun >= FAST.doubt
    assert holder(server) == ""


async def test_lease_in_doubt_is_not_given_back_for_whoever_comes_next_must_doubt_it_too(
    cluster: Cluster, server: Server
) -> None:
    terms = Terms()
    async with candidate(cluster, "a", terms):
        await eventually(lambda: (LEASES, "jobrelay") in server.objects)
    assert terms.spans == []
    assert holder(server) == "a"


@pytest.mark.usefixtures("prepared")
@pytest.mark.parametrize("applied", [True, False])
async def test_claim_that_was_not_answered_when_its_process_ends_is_given_back(
    cluster: Cluster, server: Server, *, applied: bool
) -> None:
    came = asyncio.Event()

    async def hang(request: web.Request) -> web.Response:
        if applied:
            server.put(LEASES, await request.json())
        came.set()
        await asyncio.Event().wait()
        raise AssertionError

    server.fault(hang, method="PUT")
    async with candidate(cluster, "a", Terms()):
        await came.wait()
        assert holder_or_nobody(server) == ("a" if applied else "")
    assert holder(server) == ""
    left = server.objects[(LEASES, "jobrelay")]["metadata"]["resourceVersion"]
    assert server.requests[-1][0] == "PUT"
    assert server.version == int(left)


@pytest.mark.usefixtures("prepared")
async def test_claim_that_was_not_answered_is_left_to_the_candidate_that_was_faster(
    cluster: Cluster, server: Server
) -> None:
    came = asyncio.Event()

    async def taken(_: web.Request) -> web.Response:
        server.put(LEASES, {"metadata": {"name": "jobrelay"}, "spec": {"holderIdentity": "b"}})
        came.set()
        await asyncio.Event().wait()
        raise AssertionError

    server.fault(taken, method="PUT")
    with suppress(LeadershipLost):
        async with candidate(cluster, "a", Terms()):
            await came.wait()
    assert holder(server) == "b"


def holder_or_nobody(server: Server) -> str:
    return str((server.objects[(LEASES, "jobrelay")].get("spec") or {}).get("holderIdentity") or "")
