"""A browser and an installation that all tests share."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.browser.chromium import launched, need_chromium
from tests.browser.installation import Installation, installed


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with launched(need_chromium()) as found:
        yield found


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def installation(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    async with installed(tmp_path_factory.mktemp("browser")) as found:
        yield found
