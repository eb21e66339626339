"""Logs that are followed: each line once, whatever breaks, until the container has ended."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from msgspec import structs
from playwright.async_api import expect

from adapters.memory import MemoryBroker
from handler.console.live import following
from handler.console.live.following import Following
from handler.console.views.logs import LogQuery, place_of
from handler.console.views.request import request_of
from handler.history.base import LogState, Request
from k8s.api.cluster import Cluster
from k8s.base import Unavailable
from tests.browser.chromium import launched, need_chromium
from tests.browser.visits import visit
from tests.handler.console.live.feeds import Stream, streaming
from tests.handler.console.served import Served, served
from tests.handler.relay import Client, running
from tests.handler.samples import make_request, until


@pytest.fixture
async def page(broker: MemoryBroker, cluster: Cluster) -> AsyncIterator[tuple[Served, Client]]:
    async with running(broker, cluster) as client, served(broker, cluster) as page:
        yield page, client


async def begun(page: Served, request_id: str) -> int:
    """The number of this request, once a pod of it has a log."""

    async def look() -> int | None:
        found = await page.backend.reader.find(request_id)
        if not found:
            return None
        pods = (await (await page.get(f"/api/v1/requests/{found[0].pk}/pods")).json())["pods"]
        return found[0].pk if any(pod["started"] for pod in pods) else None

    return await until(look)


async def text(stream: Stream, length: int) -> str:
    """So much of the log, at least."""
    found = ""
    while len(found) < length:
        found += (await stream.until("log")).data
    return found


def script(tmp_path: Path) -> str:
    """Writes a line for each file that appears, and ends after the third."""
    steps = (f'until test -e "{tmp_path}/{step}"; do sleep 0.05; done; echo step {step}' for step in (1, 2, 3))
    return f"echo begun; {'; '.join(steps)}; printf 'no end \\377'"


async def test_a_log_is_followed_to_its_end(page: tuple[Served, Client], tmp_path: Path) -> None:
    seen, client = page
    await client.publish(make_request("r", script=script(tmp_path)))
    url = f"{seen.url}/api/v1/requests/{await begun(seen, 'r')}/logs/stream"
    async with streaming(url) as stream:
        assert await text(stream, 6) == "begun\n"
        (tmp_path / "1").touch()
        assert await text(stream, 7) == "step 1\n"
        last = stream.last
    (tmp_path / "2").touch()
    async with streaming(url, last=last) as stream:
        assert await text(stream, 7) == "step 2\n"
        (tmp_path / "3").touch()
        assert await text(stream, 15) == "step 3\nno end \ufffd"
        await stream.until("end")
        assert await stream.next() is None


async def test_a_log_is_followed_before_its_job_is_recorded(page: tuple[Served, Client], tmp_path: Path) -> None:
    seen, client = page
    await client.publish(make_request("r", script=script(tmp_path)))
    number = await begun(seen, "r")
    place = await until(lambda: place_of(seen.backend, number, LogQuery()))
    found = await request_of(seen.backend, number)
    early = structs.replace(found, namespace=None, job=None, job_uid=None)
    told = ""
    async for part in Following(seen.backend, early, place, tail=10, mark=None).parts():
        told += part.text
        for step in (1, 2, 3):
            (tmp_path / str(step)).touch()
    assert told == "begun\nstep 1\nstep 2\nstep 3\nno end \ufffd"


async def test_reads_that_hang_and_break_lose_nothing(
    page: tuple[Served, Client], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "QUIET_SECONDS", 0.2)
    monkeypatch.setattr(following, "LOOK_SECONDS", 0.05)
    real, reads = Cluster.pod_log, 0

    async def breaking(self: Cluster, *given: Any, **options: Any) -> AsyncIterator[bytes]:
        nonlocal reads
        reads += 1
        async for piece in real(self, *given, **options):
            yield piece
            if reads % 2:
                raise Unavailable("broken off")

    monkeypatch.setattr(Cluster, "pod_log", breaking)
    seen, client = page
    await client.publish(make_request("r", script=script(tmp_path)))
    async with streaming(f"{seen.url}/api/v1/requests/{await begun(seen, 'r')}/logs/stream") as stream:
        found = await text(stream, 6)
        for step in (1, 2, 3):
            before = reads

            async def read_again(before: int = before) -> bool:
                return reads > before + 1

            await until(read_again)
            (tmp_path / str(step)).touch()
            found += await text(stream, 7)
        while (message := await stream.next()) is not None and message.event == "log":
            found += message.data
    assert found == "begun\nstep 1\nstep 2\nstep 3\nno end \ufffd"


async def test_what_the_cluster_has_no_more_comes_from_the_history(
    page: tuple[Served, Client], cluster: Cluster
) -> None:
    seen, client = page
    await client.publish(make_request("r", script="echo one; echo two"))
    number = await begun(seen, "r")

    async def kept() -> bool:
        reader = seen.backend.reader
        logs = [log for pod in await reader.pods(number) for log in await reader.logs(pod.uid)]
        return any(log.state is LogState.WHOLE for log in logs)

    async def ended() -> Request | None:
        found = await seen.backend.reader.request(number)
        return found if found is not None and found.terminal else None

    await until(kept)
    found = await until(ended)
    namespace, job_uid = found.namespace or "", found.job_uid or ""
    await cluster.delete_pods(namespace, job_uid)

    async def gone() -> bool:
        return not await cluster.pods_of(namespace, job_uid)

    await until(gone)
    url = f"{seen.url}/api/v1/requests/{number}/logs/stream"
    async with streaming(url) as stream:
        assert await text(stream, 8) == "one\ntwo\n"
        await stream.until("end")
    async with streaming(url, last="eyJsYXN0IjoxLjB9") as stream:
        await stream.until("resync")
        await stream.until("end")


async def test_a_place_in_no_log_is_refused(page: tuple[Served, Client]) -> None:
    seen, client = page
    await client.publish(make_request("r", script="echo one"))
    url = f"{seen.url}/api/v1/requests/{await begun(seen, 'r')}/logs/stream"
    async with ClientSession() as session:
        for last in ("x", "é", "eyJsYXN0Ijoi", "W10", "bnVsbA"):
            async with session.get(url, params={"lastEventId": last}) as answer:
                problem = await answer.json(content_type=None)
                assert (answer.status, problem["errors"][0]["path"]) == (400, "lastEventId")


async def test_a_log_is_followed_in_a_browser(page: tuple[Served, Client], tmp_path: Path) -> None:
    seen, client = page
    async with launched(need_chromium()) as browser, visit(browser, seen.url) as there:
        await client.publish(make_request("r", script=script(tmp_path)))
        await there.go(f"/requests/{await begun(seen, 'r')}")
        log, switch = there.page.locator("#log-text"), there.page.get_by_label("Follow")
        await expect(log).to_have_text("begun\n")
        await expect(switch).to_be_checked()
        for step in (1, 2, 3):
            (tmp_path / str(step)).touch()
            await expect(log).to_contain_text(f"step {step}")
        await there.page.locator("#timeline .phase-succeeded").wait_for()
        await expect(log).to_contain_text("no end \ufffd")
        await expect(switch).to_be_hidden()
