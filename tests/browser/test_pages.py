"""Every page, in light and dark, with and without scripts, on a telephone and on a desk: nothing is wrong with it."""

from collections.abc import Iterator

import pytest
from playwright.async_api import Browser

from tests.browser.accessibility import COLOURS, too_wide, violations
from tests.browser.installation import BROKEN, FAILED, HOSTILE, RUNNING, SCHEDULE, TYPO, WAITING, Installation
from tests.browser.visits import visit

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


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
async def test_nobody_is_kept_out_of_any_page(browser: Browser, installation: Installation, scripts: bool) -> None:
    found = []
    # axe-core itself is a script: our own are taken away for it, not those of the browser.
    async with visit(browser, installation.page.url, without_module=not scripts) as visiting:
        for path in paths(installation):
            await visiting.go(path)
            # Without its module a page is the same at each width but for what the style sheet does.
            for width in WIDTHS if scripts else WIDTHS[:1]:
                await visiting.page.set_viewport_size({"width": width, "height": 800})
                await visiting.page.emulate_media(color_scheme="light")
                light = [*await too_wide(visiting.page), *await violations(visiting.page)]
                await visiting.page.emulate_media(color_scheme="dark")
                dark = await violations(visiting.page, *COLOURS)
                found += [f"{path} at {width}: {line}" for line in (*light, *(f"dark: {line}" for line in dark))]
    assert found == []


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
