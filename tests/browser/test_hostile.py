"""Words of events and containers are text on every page, whatever they are."""

import pytest
from playwright.async_api import Browser

from tests.browser.installation import BROKEN, HOSTILE, Installation
from tests.browser.visits import visit

pytestmark = [pytest.mark.asyncio(loop_scope="session")]


async def test_what_people_and_containers_say_never_becomes_part_of_a_page(
    browser: Browser, installation: Installation
) -> None:
    async with visit(browser, installation.page.url) as visiting:
        page, number = visiting.page, installation.numbers[HOSTILE]
        dialogs: list[str] = []
        page.on("dialog", lambda dialog: dialogs.append(dialog.message))
        await visiting.go("/")
        row = page.locator(f"tr[data-number='{number}']")
        assert "<script>" in await row.inner_text()
        await visiting.go(f"/requests/{number}")
        title = await page.locator("h1").inner_text()
        assert title.startswith("<script>alert(1)</script> ")
        assert "\u202e" not in await page.locator("body").inner_text(), "nothing turns a line around"
        assert await page.locator("body script").count() == 0
        assert await page.locator("[href^='javascript:']").count() == 0
        for link in await page.locator("main a").all():
            assert (await link.get_attribute("href") or "").startswith(("/", "#"))
        # A link to what has the same service: its parameter is the very text.
        await page.locator("main .headline a").first.click()
        await page.wait_for_url("**/?service=*")
        assert await page.locator("input#service").input_value() == HOSTILE
        assert await row.count() == 1
        assert dialogs == []


async def test_a_log_is_text_for_the_browser_too(browser: Browser, installation: Installation) -> None:
    async with visit(browser, installation.page.url) as visiting:
        await visiting.go(f"/requests/{installation.numbers[BROKEN]}")
        async with visiting.page.expect_navigation():
            await visiting.page.get_by_role("link", name="Raw", exact=True).click()
        assert "row 12 is no number" in await visiting.page.locator("body").inner_text()
        assert await visiting.page.evaluate("document.contentType") == "text/plain"
