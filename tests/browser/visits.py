"""A browser's visit to the page, and everything that must not happen during it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Route

MILLISECONDS = 1000.0
_NEAR = "data:", "blob:", "about:"


class Visit:
    """One person's browser: `page` is its window. `wrong`: requests to other hosts (which got no answer), errors in the
    browser's console, broken rules of the Content-Security-Policy, exceptions of scripts.
    """

    def __init__(self, context: BrowserContext, page: Page, base: str, *, without_module: bool) -> None:
        self.page = page
        self.base = base
        self._without_module = without_module
        self.wrong: list[str] = []
        self._host = urlsplit(base).netloc
        self._context = context

    async def go(self, path: str) -> None:
        """Open a page and wait until it is there. Asserts that it is no error."""
        answer = await self.page.goto(self.base + path)
        assert answer is not None
        assert answer.ok, f"{path}: {answer.status}\n{await answer.text()}"

    async def watch(self) -> None:
        """From now on keep what is wrong."""
        await self._context.route("**/*", self._routed)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.wrong.append(f"exception: {error}"))
        self.page.on("requestfailed", self._failed)

    async def _routed(self, route: Route) -> None:
        url = route.request.url
        if self._without_module and route.request.resource_type == "script":
            await route.fulfill(body="", content_type="text/javascript")
        elif url.startswith(_NEAR) or urlsplit(url).netloc == self._host:
            await route.fallback()
        else:
            self.wrong.append(f"request to another host: {url}")
            await route.abort()

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(f"{message.type} at {self.page.url}: {message.text}")

    def _failed(self, request: Request) -> None:
        # A stream ends with the page that it belongs to.
        if request.failure != "net::ERR_ABORTED":
            self.wrong.append(f"request failed: {request.url}: {request.failure}")


@asynccontextmanager
async def visit(browser: Browser, base: str, *, without_module: bool = False, **options: Any) -> AsyncIterator[Visit]:
    """A new visit to the console at `base`, with nothing of others: no cookies, no cache. Asserts at its end that
    nothing went wrong. `without_module`: the page's own scripts are empty. `options`: of Playwright's `new_context`.
    """
    context = await browser.new_context(**{"locale": "en-GB", "timezone_id": "UTC", **options})
    try:
        made = Visit(context, await context.new_page(), base, without_module=without_module)
        made.page.set_default_timeout(60 * MILLISECONDS)
        await made.watch()
        yield made
        assert not made.wrong, made.wrong
    finally:
        await context.close()
