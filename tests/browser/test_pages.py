"""Every page, in light and dark, with and without scripts, on a telephone and on a desk: nothing is wrong with it."""

from collections.abc import Iterator

import pytest
from playwright.async_api import Browser, Page

from tests.browser.accessibility import COLOURS, too_wide, violations
from tests.browser.installation import BROKEN, FAILED, HOSTILE, RUNNING, SCHEDULE, TYPO, WAITING, Installation
from tests.browser.visits import visit
from tests.long import LONG

pytestmark = [pytest.mark.asyncio(loop_scope="session")]

WIDTHS = (320, 1280)


def paths(installation: Installation) -> Iterator[str]:
    """Of every page."""
    yield "/"
    for name in (FAILED, BROKEN, RUNNING, WAITING, SCHEDULE, TYPO, HOSTILE):
        yield f"/requests/{installation.numbers[name]}"
    yield from (
        "/queue",
        "/schedules",
        "/dead",
        "/submit",
        "/submit?as=document",
        "/submit?as=event",
        "/audit",
        "/stats",
    )
    yield f"/submit?again={installation.numbers[FAILED]}"
    yield "/?phase=failed&since=24h&service=nobody"


@pytest.mark.stricter
@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
async def test_nobody_is_kept_out_of_any_page(browser: Browser, installation: Installation, scripts: bool) -> None:
    found = []
    # axe-core itself is a script: our own are taken away for it, not those of the browser.
    async with visit(browser, installation.page.url, without_module=not scripts) as visiting:
        for path in paths(installation):
            await visiting.go(path)
            for width in WIDTHS:
                await visiting.page.set_viewport_size({"width": width, "height": 800})
                lines = await too_wide(visiting.page)
                # What axe-core finds depends little on the width, and takes most of the time.
                if LONG or width == WIDTHS[0]:
                    lines += await _found_by_axe(visiting.page, dark=LONG or scripts)
                found += [f"{path} at {width}: {line}" for line in lines]
    assert found == []


async def _found_by_axe(page: Page, *, dark: bool) -> list[str]:
    """`dark`: in that theme, too; colours are the style sheet's, with scripts and without."""
    await page.emulate_media(color_scheme="light")
    light = await violations(page)
    if not dark:
        return light
    await page.emulate_media(color_scheme="dark")
    return [*light, *(f"dark: {line}" for line in await violations(page, *COLOURS))]


async def test_a_printed_page_has_what_is_read_and_nothing_to_press(
    browser: Browser, installation: Installation
) -> None:
    async with visit(browser, installation.page.url) as visiting:
        await visiting.page.emulate_media(media="print", color_scheme="dark")
        for path in ("/", f"/requests/{installation.numbers[BROKEN]}"):
            await visiting.go(path)
            for selector in ("nav", "button", "form.filter", "footer"):
                shown = [await one.is_visible() for one in await visiting.page.locator(selector).all()]
                assert not any(shown), f"{selector} of {path}"
            assert await visiting.page.locator("h1").is_visible()
            paper = await visiting.page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert paper in ("rgb(255, 255, 255)", "rgba(0, 0, 0, 0)")
