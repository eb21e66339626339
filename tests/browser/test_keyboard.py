"""By the keyboard alone, with and without scripts: what failed is found, understood, run again and watched."""

import asyncio

import pytest
from playwright.async_api import Browser, Page

from tests.browser.installation import FAILED, Installation
from tests.browser.visits import Visit, visit
from tests.patience import PATIENCE

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

MOST_TABS = 120
"""Nobody presses Tab more often to get anywhere."""


async def tab_to(page: Page, selector: str) -> None:
    """Press Tab until the element is focused."""
    for _ in range(MOST_TABS):
        if await page.locator(f"{selector}:focus").count():
            return
        await page.keyboard.press("Tab")
    pytest.fail(f"Tab does not lead to {selector} on {page.url}")


async def choose(page: Page, selector: str, text: str) -> None:
    """Type into a field, or the first letters of what a list has."""
    await tab_to(page, selector)
    if not await page.locator(f"select{selector}").count():
        await page.keyboard.press("Control+A")
    await page.keyboard.type(text)


async def enter(page: Page) -> None:
    """Press Enter, and wait for the page that it leads to."""
    async with page.expect_navigation():
        await page.keyboard.press("Enter")


async def find_and_read(page: Page) -> None:
    """Filter the list for what failed in the last day, open the request, read why."""
    await choose(page, "#q", FAILED[:7])
    await choose(page, "#phase", "failed")
    await enter_filter(page)
    await tab_to(page, ".rows tbody a")
    assert await page.locator(".rows tbody tr").count() == 1
    await enter(page)
    assert "missing/invoices:7" in await page.locator(".why").inner_text()


async def enter_filter(page: Page) -> None:
    await tab_to(page, ".filter button")
    await enter(page)


async def watch(visiting: Visit, phase: str, *, scripts: bool) -> None:
    """Until the page of a request says so: by itself, or each time that it is loaded again."""
    page = visiting.page
    async with asyncio.timeout(PATIENCE):
        while "/done" in page.url:
            await tab_to(page, "main a.primary")
            await enter(page)
        while phase not in (shown := await page.locator("main .why").first.inner_text()):
            assert "failed" not in shown, shown
            await asyncio.sleep(0.1)
            if not scripts:
                await page.reload()


@pytest.mark.parametrize("scripts", [True, pytest.param(False, marks=pytest.mark.long)], ids=["scripts", "no scripts"])
async def test_the_failed_run_of_an_hour_ago_is_found_and_run_again_with_another_image(
    browser: Browser, installation: Installation, scripts: bool
) -> None:
    async with visit(browser, installation.page.url, java_script_enabled=scripts) as visiting:
        page = visiting.page
        await visiting.go("/")
        if scripts:
            await page.keyboard.press("/")
            assert await page.locator("#q:focus").count(), "a key leads to the search"
        await find_and_read(page)
        await tab_to(page, "a.primary")
        await enter(page)
        assert FAILED in await page.locator("h1").inner_text()
        await choose(page, "[name='job.image']", "busybox:1.37")
        await enter(page)
        await watch(visiting, "succeeded", scripts=scripts)
        found = await page.locator("dl.facts").first.inner_text()
    assert "busybox:1.37" in found
    assert FAILED in found, "whose replay it is"
