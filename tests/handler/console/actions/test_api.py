"""The JSON API's actions, whole: requests are submitted, run again, acted on one by one and several at once."""

import json
from dataclasses import replace
from typing import Any

import pytest

from adapters.base import Kind, Topic
from adapters.memory import MemoryBroker
from handler.console.actions import bulk
from handler.console.actions.bulk import Selection, carry_out, plan
from handler.console.http.keys import SEAL
from handler.console.http.problems import Problem
from handler.history.base import Wanted
from k8s.api.cluster import Cluster
from tests.handler.console.actions.acting import ADA, BOB, Site, site
from tests.handler.samples import make_request

FAILS: dict[str, Any] = {"image": "busybox:1", "command": ["sh", "-c", 'test "$WORD" = right'], "env": []}


async def _post(here: Site, path: str, body: Any = None, status: int = 202) -> Any:
    options: dict[str, Any] = {} if body is None else {"json": body}
    answer = await here.page.post(f"/api/v1{path}", **options)
    found = json.loads(await answer.text())
    assert answer.status == status, found
    return found


async def _get(here: Site, path: str) -> Any:
    # As it is written: what is percent-encoded in it stays so.
    answer = await here.page.get(f"/api/v1{path}")
    assert answer.status == 200, path
    return await answer.json()


async def test_a_request_is_submitted_fails_and_is_run_again_with_a_change(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    async with site(broker, cluster) as here:
        body = {"id": "bill 1/2", "service": "billing", "job": FAILS | {"env": [{"name": "WORD", "value": "wrong"}]}}
        sent = [await _post(here, "/requests", body | {"eventId": "e-1", "lane": "high"}) for _ in range(2)]
        accepted = {"eventId": "e-1", "href": "/done?event=e-1&asked=bill+1%2F2"}
        accepted["answer"] = "/actions/e-1?asked=bill+1%2F2"
        assert sent == [accepted, accepted]
        failed = await here.recorded("bill 1/2", "failed")
        assert failed.key.source == "/jobrelay/jobrelay/page"
        assert [*await here.client.phases("bill 1/2")].count("created") == 1
        await _post(here, f"/requests/{failed.pk}/cancel", status=409)
        again = {"eventId": "e-2", "sets": ["env.WORD=right", "image=busybox:2"]}
        for _ in range(2):
            await _post(here, f"/requests/{failed.pk}/again", again)
        made = await here.made_by("e-2")
        assert made.key.id.startswith("bill 1/2-again-")
        ended = await here.recorded(made.key.id, "succeeded")
        answer = await _get(here, accepted["answer"])
        assert (answer["state"], [one["number"] for one in answer["requests"]]) == ("accepted", [failed.pk])
        assert (ended.image, ended.service, ended.replay_of) == ("busybox:2", "billing", "bill 1/2")
        assert (await broker.depth())[Topic(Kind.REQUESTS, "high")].ready == 0


async def test_what_is_wrong_with_a_request_is_told_whole_and_nothing_is_published(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    async with site(broker, cluster) as here:
        wrong = {
            "id": "x/failover",
            "lane": "fast",
            "job": {"image": "<b>" * 400, "colour": 1, "env": [{"value": "s3cret"}]},
        }
        refused = await _post(here, "/requests", wrong, status=422)
        assert refused["code"] == "INVALID_REQUEST"
        paths = ["job.colour", "job.env[0].name", "job.image", "lane", "id"]
        assert sorted(one["path"] for one in refused["errors"]) == sorted(paths)
        assert "s3cret" not in json.dumps(refused)
        assert "<script>" not in json.dumps(refused)
        told = await _post(here, "/requests?dryRun=true", wrong, status=200)
        assert told["errors"] == [{"allowed": None, **one} for one in refused["errors"]]
        assert (await _post(here, "/requests?dryRun=true", {"job": {"image": "a"}}, status=200)) == {"errors": []}
        event = {"specversion": "1.0", "type": "com.example.made", "source": "not a source"}
        told = await _post(here, "/requests?dryRun=true", event, status=200)
        assert [one["path"] for one in told["errors"]] == ["source"]
        large = {"job": {"image": "a"}, "metadata": {"x": "y" * 1_000_000}}
        assert (await _post(here, "/requests", large, status=422))["errors"]
        for body, status in (([], 400), ({"lane": 1, "job": {}}, 400), ({"eventId": "a b", "job": {}}, 400)):
            await _post(here, "/requests", body, status=status)
        assert await _is_empty(here)


async def _is_empty(here: Site) -> bool:
    page = await here.backend.reader.page(Wanted(), limit=10)
    return not page.requests and not await here.client.dead()


async def test_several_are_acted_on_after_a_plan_that_names_them(broker: MemoryBroker, cluster: Cluster) -> None:
    async with site(broker, cluster) as here:
        await here.client.publish(*(make_request(f"n-{number}", script="sleep 600") for number in range(2)))
        await here.client.publish(make_request("over"))
        ended = (await here.recorded("over", "succeeded")).pk
        numbers = [(await here.recorded(f"n-{number}", "started")).pk for number in range(2)]
        chosen = {"verb": "cancel", "numbers": [*numbers, ended, 10**9, numbers[0]]}
        planned = await _post(here, "/actions", chosen, status=200)
        assert [(one["number"], one["id"], one["applies"]) for one in planned["items"]] == [
            (numbers[0], "n-0", True),
            (numbers[1], "n-1", True),
            (ended, "over", False),
            (10**9, "", False),
        ]
        assert (planned["count"], planned["items"][2]["why"]) == (2, "it has ended (succeeded)")
        payload, mark = planned["token"].split(".")
        for bad in ("", "x.y", f"{payload}A.{mark}", f"{payload}.{mark[:-2]}AA"):
            assert (await _post(here, "/actions", {"token": bad}, status=400))["code"] == "BAD_TOKEN"
        first = await _post(here, "/actions", {"token": planned["token"]})
        assert first == await _post(here, "/actions", {"token": planned["token"]})
        assert [one["number"] for one in first["accepted"]] == numbers
        for number in range(2):
            await here.recorded(f"n-{number}", "cancelled")
        assert len(await here.answered(2)) == 2
        for one, request_id in zip(first["accepted"], ("n-0", "n-1"), strict=True):
            answer = await _get(here, one["answer"])
            assert (answer["state"], answer["verb"], answer["request"]) == ("accepted", "cancel", request_id)
        pending = await _get(here, "/actions/a%2Fb")
        assert (pending["eventId"], pending["state"]) == ("a/b", "pending")
        none = await _post(here, "/actions", {"verb": "cancel", "numbers": [ended]}, status=200)
        assert (none["count"], none["token"]) == (0, None)
        for body in (
            {},
            {"verb": "again", "numbers": [1]},
            {"verb": "cancel"},
            {"verb": "cancel", "numbers": [*range(101)]},
        ):
            await _post(here, "/actions", body, status=400)


async def test_an_action_on_a_letter_of_no_broker_names_those_there_are(broker: MemoryBroker, cluster: Cluster) -> None:
    async with site(broker, cluster) as here:
        for verb in ("replay", "drop"):
            problem = await _post(here, f"/dead/1/{verb}?broker=kafka", {}, status=404)
            assert [(fault["path"], fault["allowed"]) for fault in problem["errors"]] == [("broker", "memory")]
            assert (await _post(here, f"/dead/1/{verb}?broker=memory", {}, status=404))["code"] == "NOT_FOUND"
        letter = {"broker": "kafka", "number": 1, "digest": "x"}
        planned = await _post(here, "/actions", {"verb": "drop", "letters": [letter]}, status=200)
        assert [(one["applies"], one["why"]) for one in planned["items"]] == [(False, "there is no such broker")]
        here.backend.configured = ["memory", "nats"]
        problem = await _post(here, "/dead/1/drop", {}, status=400)
        assert problem["errors"][0]["allowed"] == "memory, nats"
        assert (await _post(here, "/dead/1/drop?broker=nats", {}, status=503))["code"] == "BROKER_UNAVAILABLE"


async def test_a_plan_is_of_one_person_and_one_session_and_for_some_minutes(
    broker: MemoryBroker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(broker, cluster) as here:
        await here.client.publish(make_request("n", script="sleep 600"))
        numbers = [(await here.recorded("n", "started")).pk]
        chosen = {"verb": "cancel", "numbers": numbers}
        token = (await _post(here, "/actions", chosen, status=200))["token"]
        here.page.session.cookie_jar.clear()
        assert (await _post(here, "/actions", {"token": token}, status=403))["code"] == "FOREIGN_TOKEN"

        seal, selection = here.page.serving.app[SEAL], Selection(verb="cancel", numbers=numbers)
        of_ada = (await plan(here.backend, seal, ADA, selection)).token
        for other in (BOB, replace(BOB, session=ADA.session), replace(ADA, session=BOB.session)):
            with pytest.raises(Problem) as caught:
                await carry_out(here.backend, seal, other, of_ada or "")
            assert (caught.value.status, caught.value.code) == (403, "FOREIGN_TOKEN")

        with monkeypatch.context() as patched:
            patched.setattr(bulk, "TOKEN_SECONDS", -1)
            token = (await _post(here, "/actions", chosen, status=200))["token"]
        assert (await _post(here, "/actions", {"token": token}, status=409))["code"] == "TOKEN_EXPIRED"
        form = {"plan": token}
        refused = await here.page.post("/requests/actions", data=form)
        assert (refused.status, "TOKEN_EXPIRED" in await refused.text()) == (409, True)
        # None of them has asked for anything.
        assert (await here.recorded("n")).phase == "started"
        await carry_out(here.backend, seal, ADA, of_ada or "")
        await here.recorded("n", "cancelled")
