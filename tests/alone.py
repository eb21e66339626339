"""`--alone`: the part of the suite that needs no other process, and costs little on every Python. A plugin of pytest.

No list says which tests these are. The others import, themselves or by what they import of tests/, something that
starts processes, or take such a fixture.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import is_hypothesis_test

_STARTERS = (
    "adapters.servers",
    "handler.local",
    "k8s.devcluster.loops",
    "k8s.devcluster.server",
    "playwright",
    "subprocess",
)
"""Or a whole cluster in this process, which takes as long."""
_OF_FILES = (Path("tests/docs"), Path("tests/k8s/deploy"))
"""What these compare is the same on every Python: documents, manifests, the chart."""
_STARTS = ("create_subprocess_exec", "create_subprocess_shell")
_MARKS = ("broker", "kubectl", "slow")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--alone", action="store_true", help="leave out what needs other processes, and what takes long")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if not config.getoption("alone"):
        return None
    if collection_path.relative_to(config.rootpath) in _OF_FILES:
        return True
    return (collection_path.name.startswith("test_") and not _is_alone(collection_path)) or None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("alone"):
        chosen, others = list[pytest.Item](), list[pytest.Item]()
        for item in items:
            is_chosen = not _takes_long(item) and all(map(_is_alone, _fixtures_of(item)))
            (chosen if is_chosen else others).append(item)
        config.hook.pytest_deselected(items=others)
        items[:] = chosen


def _takes_long(item: pytest.Item) -> bool:
    """Whether it needs servers anyway, or tries many examples of what others try once."""
    return any(map(item.get_closest_marker, _MARKS)) or is_hypothesis_test(getattr(item, "obj", None))


def _fixtures_of(item: pytest.Item) -> Iterator[Path]:
    """Where the fixtures are defined that it takes, of those in tests/."""
    info = getattr(item, "_fixtureinfo", None)
    for definitions in info.name2fixturedefs.values() if info else ():
        for definition in definitions:
            file = Path(definition.func.__code__.co_filename)
            if file.is_relative_to(item.config.rootpath / "tests"):
                yield file


def _is_alone(file: Path) -> bool:
    """Whether neither this file nor what it imports of tests/ starts processes."""
    seen, ahead = set[Path](), [file]
    while ahead:
        seen.add(here := ahead.pop())
        starts, files = _imports(here)
        if starts:
            return False
        ahead += files - seen
    return True


@cache
def _imports(file: Path) -> tuple[bool, frozenset[Path]]:
    """Whether it starts processes itself, and the files of tests/ that it imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Attribute) and node.attr in _STARTS:
            return True, frozenset()
    starts = any(f"{name}.".startswith(f"{starter}.") for name in names for starter in _STARTERS)
    return starts, frozenset(found for name in names if name.startswith("tests.") and (found := _file_of(name)))


def _file_of(name: str) -> Path | None:
    """Of a module, or of the module that a name is imported from."""
    place = Path(__file__).parent.parent.joinpath(*name.split("."))
    places = (place.with_suffix(".py"), place / "__init__.py", place.parent.with_suffix(".py"))
    return next((file for file in places if file.is_file()), None)
