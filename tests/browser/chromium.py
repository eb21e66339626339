"""Chromium as a system package brings it, driven by Playwright. Nothing is downloaded.

Chromium is no Python package: without it, tests that need it are skipped, except where `CI` is set.
"""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, async_playwright

PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


def found() -> str | None:
    """The path of the browser; None where there is none."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


def need_chromium() -> str:
    """The path of the browser. Skips the test where there is none, but fails it in CI."""
    path = found()
    if path is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            "chromium was not found: install the package chromium (`make chromium`)"
        )
    return path


@asynccontextmanager
async def launched(path: str) -> AsyncIterator[Browser]:
    """A running browser without a display."""
    # Its sandbox does not work for root, and it sees no page but ours.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, headless=True, args=arguments)
        try:
            yield browser
        finally:
            await browser.close()
