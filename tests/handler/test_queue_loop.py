"""The loop around the decisions: Jobs that change while one is carried out, and changes that ask for none."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from adapters.memory import MemoryBroker
from events.observed import Job
from k8s.base import Manifest
from k8s.cluster import Cluster
from tests.handler.relay import detail, running
from tests.handler.samples import make_command, make_request, waits_for
from tests.handler.test_controller import name_of
from tests.handler.test_queue import suspended


@pytest.fixture
def one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a decision asks for is done one after the other."""
    monkeypatch.setattr("handler.queue.WRITES_AT_ONCE", 1)


def before_patch(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, act: Callable[[str], Awaitable[Any]], *request_ids: str
) -> None:
    """`act` once, with the id of the request, before the first patch is sent that lets one of these Jobs go or ends it.

    The ids are of requests from `make_request`.
    """
    patch_job, names = cluster.patch_job, {name_of(one): one for one in request_ids}

    async def patched(namespace: str, name: str, patch: Manifest, **options: Any) -> Job:
        if "spec" in patch and name in names:
            request_id = names[name]
            names.clear()
            await act(request_id)
        return await patch_job(namespace, name, patch, **options)

    monkeypatch.setattr(cluster, "patch_job", patched)


@pytest.mark.usefixtures("one_at_a_time")
async def test_what_is_suspended_after_the_decision_to_let_it_go_stays_so(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields: dict[str, Any] = {"concurrency": {"key": "k"}}
    async with running(broker, cluster) as client:
        await client.publish(make_request("busy", script=waits_for(tmp_path / "go"), exclusive=True, **fields))
        await client.reached("busy", "started")
        for name in ("first", "second"):
            await client.publish(make_request(name, **fields))
            await client.reached(name, "queued")

        async def suspend(_: str) -> None:
            await client.command(make_command("suspend", "second"))
            await client.reached("second", "suspended")

        before_patch(cluster, monkeypatch, suspend, "first")
        (tmp_path / "go").touch()
        await client.ended("first")
        assert await suspended(cluster, "second")
        await client.command(make_command("resume", "second", event_id="command-2"))
        await client.ended("second")
        assert await client.phases("second") == ["created", "queued", "suspended", "resumed", "started", "succeeded"]


@pytest.mark.usefixtures("one_at_a_time")
async def test_what_is_cancelled_after_the_decision_to_fail_it_is_cancelled(
    broker: MemoryBroker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {"a": "b", "b": "a"}
    failed: list[str] = []
    async with running(broker, cluster) as client:

        async def cancel(request_id: str) -> None:
            failed.append(request_id)
            await client.command(make_command("cancel", other[request_id]))
            await client.reached("command-1", "accepted")

        before_patch(cluster, monkeypatch, cancel, *other)
        await client.publish(make_request("a", dependencies=["b"]))
        await client.reached("a", "queued")
        await client.publish(make_request("b", dependencies=["a"]))
        codes = {name: detail(await client.ended(name))["error"]["errorCode"] for name in other}
        assert codes == {failed[0]: "DEPENDENCY_CYCLE", other[failed[0]]: "CANCELLED"}
