"""How the tests are spread over processes. `make test` runs several; what one file's tests share is made once."""

import os
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from tests.processes import COVERAGE, MEASURING

TOGETHER = "tests/e2e/"
"""All of these share one running site, whose scenes are played meanwhile: in one process, without a pause."""
FIRST = (TOGETHER, "tests/chaos/", "tests/bench/", "tests/adapters/", "tests/garbage/")
"""What takes longest, so that no process is left alone with it in the end."""

settings.register_profile("busy", deadline=None)  # How long an example takes says what else the machine does.
settings.load_profile("busy")


@pytest.fixture(scope="session", autouse=True)
def measured() -> None:
    """Only processes that are given `MEASURING` measure coverage."""
    if COVERAGE in os.environ:
        MEASURING[COVERAGE] = os.environ.pop(COVERAGE)


class Spread(LoadFileScheduling):
    """A file's tests go to one process, and so do those of `TOGETHER`."""

    def _split_scope(self, nodeid: str) -> str:
        return TOGETHER if nodeid.startswith(TOGETHER) else str(super()._split_scope(nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Spread:
    return Spread(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def turn(item: pytest.Item) -> int:
        return next((number for number, path in enumerate(FIRST) if item.nodeid.startswith(path)), len(FIRST))

    items.sort(key=turn)
