"""Lists and requests that change while somebody looks at them, in Chromium."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from events.phases import Phase
from handler.history.base import Entry
from k8s.api.cluster import Cluster, connect
from k8s.devcluster.server import serve
from tests.browser.chromium import launched, need_chromium
from tests.browser.visits import Visit, visit
from tests.handler.commands.history.records import told
from tests.handler.console.live.feeds import Record, backend_of, recording, serving

LENGTH = 50
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with launched(need_chromium()) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    async with (
        serve(tmp_path_factory.mktemp("cluster")) as running,
        connect(kubeconfig=running.kubeconfig) as connected,
    ):
        yield connected


@asynccontextmanager
async def looking(
    browser: Browser, cluster: Cluster, path: str = "/", **before: Phase
) -> AsyncIterator[tuple[Visit, Record]]:
    """Somebody who looks at a page, and the record that they look at."""
    async with recording() as record:
        await record.add(*(told(name, phase) for name, phase in before.items()))
        async with serving(backend_of(record.store, cluster)) as url, visit(browser, url) as there:
            await there.go(path)
            await there.page.locator("#live.on").wait_for()
            yield there, record


async def ids(page: Page) -> Sequence[str]:
    return await page.locator("[data-live] tbody [data-cell=id]").all_inner_texts()


async def phase_of(page: Page, number: int, phase: str) -> None:
    await page.locator(f"tr[data-number='{number}'] .phase-{phase}").wait_for()


def created(count: int, *, first: int = 0) -> list[Entry]:
    return [told(f"n-{number}", Phase.CREATED, at=100 + number) for number in range(first, first + count)]


async def test_the_newest_come_on_top_and_the_list_stays_as_long_as_it_is(browser: Browser, cluster: Cluster) -> None:
    async with looking(browser, cluster, a=Phase.CREATED, b=Phase.CREATED) as (there, record):
        assert await ids(there.page) == ["b", "a"]
        await record.add(told("a", Phase.STARTED, at=1), told("c", Phase.FAILED, at=2, exit_code=3, error_code="EXIT"))
        await phase_of(there.page, 3, "failed")
        assert await ids(there.page) == ["c", "a", "b"]
        assert await there.page.locator("tr[data-number='3'] [data-cell=exitCode]").inner_text() == "3"
        assert await there.page.locator("tr[data-number='3'] a").get_attribute("href") == "/requests/3"
        for part in range(4):
            await record.add(*created(60, first=part * 60))
        await phase_of(there.page, 243, "created")
        assert await ids(there.page) == [f"n-{number}" for number in range(239, 189, -1)]


async def test_rows_look_the_same_whoever_has_made_them(browser: Browser, cluster: Cluster) -> None:
    name, evil = "x" * 70, "<script>alert(1)</script>\u202etxt\n\x07"
    async with looking(browser, cluster) as (there, record):
        await record.add(
            told(name, Phase.CREATED, service=evil, image=evil),
            told(
                evil, Phase.FAILED, at=4, started=1.0, finished=4.5, error_code="E", message=evil * 9, service="s" * 40
            ),
        )
        await phase_of(there.page, 2, "failed")
        live = [await row.inner_text() for row in await there.page.locator("[data-live] tbody tr").all()]
        await there.page.reload()
        assert [await row.inner_text() for row in await there.page.locator("[data-live] tbody tr").all()] == live


async def test_nothing_moves_under_the_pointer_or_while_some_are_chosen(browser: Browser, cluster: Cluster) -> None:
    async with looking(browser, cluster, a=Phase.CREATED, b=Phase.CREATED) as (there, record):
        page, fresh = there.page, there.page.locator("#fresh")
        await page.locator("tr[data-number='2']").hover()
        await record.add(told("a", Phase.STARTED, at=1), *created(3))
        await phase_of(page, 1, "started")
        assert await ids(page) == ["b", "a"]
        await fresh.wait_for()
        assert await fresh.inner_text() == "Show 3 new"
        await page.mouse.move(0, 0)
        await phase_of(page, 5, "created")
        assert await ids(page) == ["n-2", "n-1", "n-0", "a", "b"]
        await page.locator("tr[data-number='1'] input").check()
        await page.mouse.move(0, 0)
        await record.add(*created(1, first=3))
        await fresh.wait_for()
        assert len(await ids(page)) == 5
        await fresh.click()
        await phase_of(page, 6, "created")
        assert await page.locator("tr[data-number='1'] input").is_checked()
        assert await page.locator("#chosen").inner_text() == "1 selected"


async def test_what_does_not_match_any_more_leaves_the_list(browser: Browser, cluster: Cluster) -> None:
    async with looking(browser, cluster, "/?phase=created", a=Phase.CREATED, b=Phase.CREATED) as (there, record):
        await record.add(told("a", Phase.STARTED, at=1), told("c", Phase.CREATED, at=2))
        await phase_of(there.page, 3, "created")
        assert await ids(there.page) == ["c", "b"]


async def test_too_much_that_was_missed_is_loaded_anew(browser: Browser, cluster: Cluster) -> None:
    async with looking(browser, cluster, a=Phase.CREATED) as (there, record):
        await there.page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
        await there.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        await record.add(*created(1200))
        await there.page.evaluate("delete document.hidden")
        await there.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        await phase_of(there.page, 1201, "created")
        assert len(await ids(there.page)) == LENGTH
        await record.add(*created(1, first=1200))
        await phase_of(there.page, 1202, "created")
        assert len(await ids(there.page)) == LENGTH


async def test_the_page_of_a_request_follows_it(browser: Browser, cluster: Cluster) -> None:
    async with looking(browser, cluster, "/requests/1", a=Phase.CREATED) as (there, record):
        await record.add(told("a", Phase.STARTED, at=1))
        await there.page.locator("#timeline .phase-started").wait_for()
        await there.page.locator(".headline .phase-started").wait_for()
        assert await there.page.locator("#live").inner_text() == "Live: started"
        await record.add(told("a", Phase.SUCCEEDED, at=2, finished=1.0, result=b'{"sum": 3}'))
        await there.page.locator("#timeline .phase-succeeded").wait_for()
        assert '"sum": 3' in await there.page.locator("main").inner_text()


async def test_keys_move_through_the_list(browser: Browser, cluster: Cluster) -> None:
    async with looking(browser, cluster, a=Phase.CREATED, b=Phase.CREATED) as (there, _):
        page = there.page
        for key, expected in (("j", "r2"), ("j", "r1"), ("j", "r1"), ("k", "r2"), ("k", "r2"), ("/", "q")):
            await page.keyboard.press(key)
            assert await page.evaluate("document.activeElement.id") == expected
        await page.keyboard.type("j?")
        assert await page.locator("#q").input_value() == "j?"
        await page.locator("h1").click()
        await page.keyboard.press("?")
        await page.locator("dialog#help[open]").wait_for()
        await page.get_by_label("Keys are on").uncheck()
        await page.keyboard.press("Escape")
        await page.keyboard.press("?")
        assert not await page.locator("dialog#help").is_visible()


async def test_a_form_says_what_is_wrong_beside_what_was_typed(browser: Browser, cluster: Cluster) -> None:
    async with recording() as record, serving(backend_of(record.store, cluster)) as url, visit(browser, url) as there:
        await there.go("/submit")
        page = there.page
        await page.locator("[name='job.command']").fill("sh -c 'not closed")
        slot = page.locator("[data-error-for='job.command']")
        await slot.wait_for()
        assert "quot" in (await slot.inner_text()).lower()
        assert await page.locator("[name='job.command']").get_attribute("aria-invalid") == "true"
        assert not await page.locator("[data-error-for='job.image']").is_visible(), "nobody has typed there yet"
        await page.locator("[name='job.command']").fill("true")
        await slot.wait_for(state="hidden")
