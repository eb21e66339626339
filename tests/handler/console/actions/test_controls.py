"""Requests are cancelled, suspended and resumed by events that say who asks; what has ended is refused at once."""

from pathlib import Path

import pytest

from adapters.base import TopicRefused
from adapters.memory import MemoryBroker
from handler.console.actions.controls import control
from handler.console.http.problems import Problem
from handler.history.base import Action
from k8s.api.cluster import Cluster
from tests.handler.console.actions.acting import ADA, Site, site
from tests.handler.relay import phase_of
from tests.handler.samples import make_request, waits_for


async def _refused(site: Site, verb: str, number: int, event_id: str | None = None) -> tuple[int, str]:
    with pytest.raises(Problem) as raised:
        await control(site.backend, ADA, verb, number, event_id)
    return raised.value.status, raised.value.code


async def test_a_request_is_suspended_resumed_and_cancelled_and_the_audit_says_by_whom(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    async with site(broker, cluster) as here:
        await here.client.publish(make_request("r a/b", script=waits_for(tmp_path / "never")))
        number = (await here.recorded("r a/b", "started")).pk
        await control(here.backend, ADA, "suspend", number)
        await here.recorded("r a/b", "suspended")
        assert await _refused(here, "suspend", number) == (409, "NOT_POSSIBLE")
        await control(here.backend, ADA, "resume", number)
        await here.recorded("r a/b", "resumed", "started")
        accepted = await control(here.backend, ADA, "cancel", number, "cancel-1")
        assert (accepted.event_id, accepted.href) == ("cancel-1", f"/requests/{number}")
        assert accepted.answer == "/actions/cancel-1"
        await here.recorded("r a/b", "cancelled")
        actions = await here.answered(3)
        assert [one.verb for one in actions] == ["cancel", "resume", "suspend"]
        assert {(one.actor, one.outcome, one.request_id) for one in actions} == {("ada", "accepted", "r a/b")}
        assert await _refused(here, "cancel", number) == (409, "FINISHED")
        assert await _refused(here, "cancel", 10**9) == (404, "NOT_FOUND")
        assert await _refused(here, "cancel", 1 << 70) == (404, "NOT_FOUND")


async def test_an_event_id_is_one_action(broker: MemoryBroker, cluster: Cluster, tmp_path: Path) -> None:
    async with site(broker, cluster) as here:
        await here.client.publish(make_request("once", script=waits_for(tmp_path / "never")))
        number = (await here.recorded("once", "started")).pk
        for _ in range(2):
            await control(here.backend, ADA, "cancel", number, "twice")
        assert await _refused(here, "suspend", number, "twice") == (409, "EVENT_ID_TAKEN")
        assert await _refused(here, "suspend", number, "no id\n") == (400, "INVALID_PARAMETERS")
        await here.recorded("once", "cancelled")
        actions: list[Action] = await here.answered()
        answers = [event for event in await here.client.events("twice") if phase_of(event) in ("accepted", "rejected")]
        assert len(actions) == len(answers) == 1


async def test_a_page_that_only_shows_publishes_nothing(broker: MemoryBroker, cluster: Cluster) -> None:
    async with site(broker, cluster, ui_read_only="on") as here:
        await here.client.publish(make_request("kept", script="sleep 600"))
        number = (await here.recorded("kept", "started")).pk
        assert await _refused(here, "cancel", number) == (403, "READ_ONLY")
        depth = await broker.depth()
        assert not any(one.ready for one in depth.values())


async def test_what_could_not_be_published_is_not_taken_for_done(
    broker: MemoryBroker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(broker, cluster) as here:
        await here.client.publish(make_request("later", script="sleep 600"))
        number = (await here.recorded("later", "started")).pk
        with monkeypatch.context() as patched:
            patched.setattr(broker, "max_payload", 0)
            with pytest.raises(TopicRefused):
                await control(here.backend, ADA, "cancel", number, "again")
        await control(here.backend, ADA, "cancel", number, "again")
        await here.recorded("later", "cancelled")
