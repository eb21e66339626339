"""`python -m tests.docs.pictures`, which `make docs` calls where the page has changed: README's two pictures of it.

They show what the demo has done, in light and dark. Nothing compares them: times and numbers differ each time.
"""

import asyncio
import tempfile
from pathlib import Path

from playwright.async_api import Browser, Page

from handler.commands.demo.demo import _Demo
from handler.local.stack import Stack, start
from tests.browser.chromium import found, launched
from tests.paths import ROOT

PLACE = ROOT / "tests" / "docs"
SCHEMES = ("light", "dark")
WIDTH, HEIGHT = 1200, 740
BYTES = 150_000
"""At most, of each: whoever clones the repository gets them, too."""


def picture(scheme: str) -> Path:
    """The file of this scheme's picture."""
    return PLACE / f"page-{scheme}.png"


async def draw(program: str) -> None:
    """Run the demo, and keep how its requests look in this browser."""
    with tempfile.TemporaryDirectory(prefix="jobrelay-pictures-") as directory:
        async with start(Path(directory), console=True) as stack, launched(program) as browser:
            assert await _Demo(stack).run()
            await _take(browser, stack)


async def _take(browser: Browser, stack: Stack) -> None:
    assert stack.page is not None
    size = {"width": WIDTH, "height": HEIGHT}
    context = await browser.new_context(viewport=size, locale="en-GB", timezone_id="UTC")  # type: ignore[arg-type]
    page = await context.new_page()
    await page.goto(stack.page.url)
    await _log_in(page, stack.page.token)
    await page.goto(stack.page.url)
    # What is live says so once it is.
    await page.locator("#live", has_text="Live").wait_for()
    for scheme in SCHEMES:
        await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        await page.screenshot(path=picture(scheme))


async def _log_in(page: Page, token: str) -> None:
    if not await page.locator("#secret").count():
        await page.get_by_role("link", name="Log in").click()
    await page.locator("#secret").fill(token)
    async with page.expect_navigation():
        await page.keyboard.press("Enter")


if __name__ == "__main__":
    if (chromium := found()) is None:
        print("README keeps its pictures: there is no chromium (`make chromium`)")
    else:
        asyncio.run(draw(chromium))
