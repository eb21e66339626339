"""How the tests are spread over processes: `make test` runs several. What tests share is made once in each of them."""

from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

TOGETHER = ("tests/e2e/", "tests/adapters/contract/", "tests/adapters/rabbitmq/")
"""Files that share what takes long to start; those of the first one a site, whose scenes are played without a pause."""
UNMEASURED = ("tests/e2e/", "tests/chaos/", "tests/bench/", "tests/garbage/")
"""Where other processes do the work: measuring coverage would only take time."""

settings.register_profile("busy", deadline=None)  # How long an example takes says what else the machine does.
settings.load_profile("busy")


class Spread(LoadFileScheduling):
    """A file's tests go to one process, and so do those of `TOGETHER`."""

    def _split_scope(self, nodeid: str) -> str:
        return next((path for path in TOGETHER if nodeid.startswith(path)), str(super()._split_scope(nodeid)))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Spread | None:
    return Spread(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """First what is together: it takes longest. Then a file of each directory in turn: some load the machine, others
    mostly wait.
    """
    files: dict[str, dict[str, int]] = {}
    for item in items:
        path = _file_of(item)
        known = files.setdefault(path.rpartition("/")[0], {})
        known.setdefault(path, len(known))

    def turn(item: pytest.Item) -> tuple[int, float]:
        path = _file_of(item)
        known = files[path.rpartition("/")[0]]
        group = next((number for number, start in enumerate(TOGETHER) if path.startswith(start)), len(TOGETHER))
        return group, known[path] / len(known)

    items.sort(key=turn)
    for item in items:
        if item.nodeid.startswith(UNMEASURED):
            item.add_marker("no_cover")


def _file_of(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]
