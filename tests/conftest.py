"""How the tests are spread over the processes of `make test`. What tests share is created once in each process."""

import gc
import signal
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import is_hypothesis_test, settings
from xdist.scheduler import LoadFileScheduling

from tests.long import EVERYTHING, LONG

pytest_plugins = ["tests.alone", "tests.tabling"]
TOGETHER = (
    "tests/e2e/",
    "tests/browser/",
    "tests/hostile/",
    "tests/packaging/",
    "tests/adapters/contract/",
    "tests/adapters/rabbitmq/test_broken.py",
    "tests/adapters/rabbitmq/",
)
"""Folders whose files share what takes long to start; of the longest, the file that takes half of its time goes apart.

The first shares a site, whose scenes run without a pause.
"""
UNMEASURED = (
    "tests/adapters/forwarding/",
    "tests/bench/",
    "tests/browser/",
    "tests/chaos/",
    "tests/e2e/",
    "tests/garbage/",
    "tests/hostile/",
    "tests/interop/",
    "tests/packaging/",
)
"""Where other processes do the work, or others of our tests reach the same lines: measuring would only take time."""
AGAIN_SECONDS = 30.0
SLOW_UNTIL = 0.6
"""How far into the run, at the latest, files with slow tests begin."""

settings.register_profile("busy", deadline=None)  # How long an example takes depends on what else the machine does.
settings.load_profile("busy")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # When a shell starts us in the background, we ignore Ctrl-C, and so does every process that we start.
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Spread(LoadFileScheduling):
    """The tests of a file go to the same process, and so do those of each folder in `TOGETHER`."""

    def _split_scope(self, nodeid: str) -> str:
        return next((path for path in TOGETHER if nodeid.startswith(path)), str(super()._split_scope(nodeid)))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Spread | None:
    return Spread(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """`TOGETHER` comes first, since it takes longest. Then a file of each directory in turn: some load the machine,
    others mostly wait. None with a test marked `slow` is among the last: one process would work on it alone.
    """
    if not config.option.markexpr:
        config.hook.pytest_deselected(items=[item for item in items if not _is_of_this_form(item)])
        items[:] = filter(_is_of_this_form, items)
    files: dict[str, dict[str, int]] = {}
    slow = {_file_of(item) for item in items if item.get_closest_marker("slow")}
    for item in items:
        path = _file_of(item)
        known = files.setdefault(path.rpartition("/")[0], {})
        known.setdefault(path, len(known))

    def turn(item: pytest.Item) -> tuple[int, float]:
        path = _file_of(item)
        known = files[path.rpartition("/")[0]]
        group = next((number for number, start in enumerate(TOGETHER) if path.startswith(start)), len(TOGETHER))
        return group, known[path] / len(known) * (SLOW_UNTIL if path in slow else 1.0)

    items.sort(key=turn)
    for item in items:
        # The many examples of hypothesis reach no line that no ordinary test reaches.
        if item.nodeid.startswith(UNMEASURED) or is_hypothesis_test(getattr(item, "obj", None)):
            item.add_marker("no_cover")


def pytest_collection_finish() -> None:
    """What was imported stays: the garbage collector need not look at it again and again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_timeout_set_timer(settings: Any) -> Generator[None, bool, bool]:
    """Repeat the timer: what it raises may fail only a task of asyncio's, while the test waits on."""
    result = yield
    signal.setitimer(signal.ITIMER_REAL, settings.timeout, AGAIN_SECONDS)
    return result


def _is_of_this_form(item: pytest.Item) -> bool:
    long, stricter = (item.get_closest_marker(name) is not None for name in ("long", "stricter"))
    return long or stricter or item.nodeid.startswith(EVERYTHING) if LONG else not long


def _file_of(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]
