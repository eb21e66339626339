"""How the tests are spread over processes. `make test` runs several; what one file's tests share is made once."""

from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

TOGETHER = "tests/e2e/"
"""All of these share one running site, whose scenes are played while the tests wait: in one process, without a pause."""
FIRST = (TOGETHER, "tests/chaos/", "tests/bench/", "tests/adapters/", "tests/garbage/")
"""What takes longest, so that no process is left alone with it in the end."""


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
