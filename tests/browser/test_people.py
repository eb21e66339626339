"""Who is let in, and what each of them can do: buttons are shown to those alone who may press them."""

from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.browser.accessibility import violations
from tests.browser.installation import FAILED, RUNNING, Installation
from tests.browser.visits import visit

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

OPERATOR, VIEWER = "operator-token-of-these-tests", "viewer-token-of-these-tests"
ACTIONS = "main form[method=post] button, main a[href*='/submit']"
"""What asks for an action, or leads there."""


def tokens(directory: Path) -> dict[str, object]:
    """Settings of a page that asks for one of two tokens."""
    files = {"ui_token_file": OPERATOR, "ui_view_token_file": VIEWER}
    for name, token in files.items():
        (directory / name).write_text(token)
    return {"ui_auth": "token", **{name: directory / name for name in files}}


@pytest.mark.parametrize(("token", "acts"), [(OPERATOR, True), (VIEWER, False)], ids=["operator", "viewer"])
async def test_a_token_lets_in_to_what_it_is_for(
    browser: Browser, installation: Installation, tmp_path: Path, token: str, acts: bool
) -> None:
    async with installation.another(**tokens(tmp_path)) as url, visit(browser, url) as visiting:
        page = visiting.page
        await page.goto(f"{url}/requests/{installation.numbers[FAILED]}")
        if not await page.locator("#secret").count():
            await page.get_by_role("link", name="Log in").click()
        assert await violations(page) == []
        # The browser says of each answer with an error that there was one: these two were meant.
        visiting.wrong.clear()
        await page.locator("#secret").fill("not-the-token-of-anybody")
        await page.keyboard.press("Enter")
        await page.locator("[role=alert]").wait_for()
        assert await violations(page) == []
        visiting.wrong.clear()
        await page.locator("#secret").fill(token)
        async with page.expect_navigation():
            await page.keyboard.press("Enter")
        for name in (FAILED, RUNNING):
            await visiting.go(f"/requests/{installation.numbers[name]}")
            assert bool(await page.locator(ACTIONS).count()) is acts
        async with page.expect_navigation():
            await page.get_by_role("button", name="Log out").click()
        answer = await page.goto(f"{url}/queue")
        assert answer is not None
        assert await page.locator("main table, main .lanes").count() == 0
        visiting.wrong.clear()


async def test_a_page_that_is_only_read_has_no_buttons(browser: Browser, installation: Installation) -> None:
    async with installation.another(ui_read_only="on") as url, visit(browser, url) as visiting:
        numbers = [installation.numbers[name] for name in (FAILED, RUNNING)]
        for path in ("/", "/queue", "/schedules", "/dead", *(f"/requests/{number}" for number in numbers)):
            await visiting.go(path)
            assert await visiting.page.locator(ACTIONS).count() == 0, path
