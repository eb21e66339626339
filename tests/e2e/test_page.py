"""The page of the role `console` beside an installation: what it shows and asks for is so on any cluster and broker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.e2e.conftest import Stage
from tests.e2e.observer import request
from tests.e2e.site import Relay, until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

TOKEN = "the-token-of-these-tests"
NAME = "each-year"
SCRIPT = "for i in 1 2 3 4 5 6; do echo line $i; sleep 1; done"


@asynccontextmanager
async def program(relay: Relay, token: str) -> AsyncIterator[aiohttp.ClientSession]:
    """Who asks the page's JSON API."""
    report = await relay.report()
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(f"{report['page']}api/v1/", headers=headers) as session:
        yield session


async def asked(session: aiohttp.ClientSession, path: str, **query: Any) -> Any:
    async with session.get(path, params=query) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def test_a_schedule_is_shown_and_run_by_the_page_and_its_log_is_followed(stage: Stage, tmp_path: Path) -> None:
    site, observer, seconds = stage.site, stage.observer, stage.seconds()
    token = tmp_path / "token"
    token.write_text(TOKEN)
    async with (
        site.relay(observer.instance, role="console", ui_auth="token", ui_token_file=token) as relay,
        program(relay, TOKEN) as session,
    ):
        await observer.publish(request(NAME, SCRIPT, image=site.image, schedule="0 0 1 1 *", timeZone="Etc/UTC"))
        await observer.reached(NAME, "scheduled", seconds=seconds)
        listed = (await asked(session, "schedules"))["schedules"]
        assert [one["cron"] for one in listed if one["id"] == NAME] == ["0 0 1 1 *"]
        async with session.post(f"schedules/{NAME}/run", json={}) as answer:
            assert answer.status == 202, await answer.text()

        async def running() -> Any:
            found = (await asked(session, "requests", q=f"{NAME}@"))["requests"]
            return next((one for one in found if one["phase"] == "started"), None)

        run = await until(running, seconds=seconds)
        (pod,) = (await asked(session, f"requests/{run['number']}/pods"))["pods"]
        query = {"pod": pod["name"], "container": pod["containers"][0]}
        async with session.get(f"requests/{run['number']}/logs/stream", params=query) as answer:
            assert answer.status == 200
            said = b"".join([line async for line in answer.content if not line.startswith(b":")])
        for number in range(1, 7):
            assert f"line {number}".encode() in said
        assert b"event: end" in said
        end = await observer.ended(run["id"], seconds=seconds)
        await observer.command("cancel", NAME)
        await observer.reached(NAME, "unscheduled", seconds=seconds)
    assert end.get_type().endswith(".succeeded")
