"""Who waits for the answer to an action sees it come."""

import pytest
from playwright.async_api import Browser

from handler.console.actions.sending import page_source
from tests.browser.accessibility import violations
from tests.browser.installation import Installation
from tests.browser.visits import visit
from tests.handler.samples import make_command, make_request

pytestmark = [pytest.mark.asyncio(loop_scope="session")]


async def test_the_page_that_has_no_answer_yet_shows_it_once_it_is_there(
    browser: Browser, installation: Installation
) -> None:
    async with visit(browser, installation.page.url) as visiting:
        page = visiting.page
        await visiting.go("/done?event=waits-for-it")
        assert await page.locator("h1").inner_text() == "Asked for, no answer yet"
        assert await violations(page) == []
        source = page_source(installation.page.backend.settings)
        await installation.client.publish(make_request("waits-for-it", service="waiting", script="sleep 600"))
        await installation.number_of("waits-for-it", "started")
        command = make_command("cancel", "waits-for-it", event_id="waits-for-it", source=source, actor="ada")
        await installation.client.command(command)
        await page.get_by_role("heading", name="Accepted").wait_for()
