"""The tree of the packages and the layers of their imports, as handler/README.md shows them. Made from the code."""

import ast
import re
import textwrap
import tomllib
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

from tests.paths import ROOT

PACKAGES = ("handler", "adapters", "events", "k8s")
COLUMN, WIDTH = 18, 116


def tree() -> str:
    """Every folder of the packages with its purpose and its modules, in the order of the layers."""
    return "\n".join(["```", *chain.from_iterable(_folder(ROOT / package, depth=0) for package in PACKAGES), "```"])


def layers() -> str:
    """The import contracts, each as `above > below`; siblings (`|`) do not import each other."""
    margin = " " * COLUMN
    lines = chain.from_iterable(
        textwrap.wrap(
            " > ".join(layer.replace(" | ", "|") for layer in contract["layers"]),
            WIDTH,
            initial_indent=f"{_inside(contract):{COLUMN}}",
            subsequent_indent=margin,
        )
        for contract in _contracts()
    )
    return "\n".join(["```", *lines, "```"])


def _folder(path: Path, *, depth: int) -> Iterator[str]:
    """Each module of a package has its own line; modules further down share a line."""
    yield _line(f"{path.name}/", _purpose(path / "__init__.py"), depth)
    folders = [entry for entry in path.iterdir() if (entry / "__init__.py").exists()]
    modules = [entry for entry in path.glob("*.py") if entry.stem != "__init__"]
    if depth:
        margin = " " * COLUMN
        names = ", ".join(sorted(module.stem for module in modules))
        yield from textwrap.wrap(names, WIDTH, initial_indent=margin, subsequent_indent=margin)
    for entry in sorted([*folders, *([] if depth else modules)], key=lambda entry: _place(path, entry)):
        if entry in folders:
            yield from _folder(entry, depth=depth + 1)
        else:
            yield _line(entry.stem, _purpose(entry), depth + 1)


def _line(name: str, purpose: str, depth: int) -> str:
    return f"{'  ' * depth + name:{COLUMN}}{purpose}"


def _purpose(module: Path) -> str:
    """The module's docstring up to the first full stop or semicolon: its purpose, without what it is not."""
    docstring = ast.get_docstring(ast.parse(module.read_text())) or ""
    return re.split(r"[.;](?:\s|$)", docstring, maxsplit=1)[0].replace("\n", " ")


def _place(package: Path, entry: Path) -> tuple[int, str]:
    """A sort key: upper layers first, then entries in no layer, by name."""
    name = ".".join(package.relative_to(ROOT).parts)
    order = [
        re.split(r" [|:] ", layer)
        for contract in _contracts()
        if contract.get("containers") == [name]
        for layer in contract["layers"]
    ]
    return next((index for index, layer in enumerate(order) if entry.stem in layer), len(order)), entry.name


def _inside(contract: dict[str, Any]) -> str:
    return f"{contract['containers'][0].replace('.', '/')}/" if "containers" in contract else "(the packages)"


@cache
def _contracts() -> list[dict[str, Any]]:
    read = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return [contract for contract in read["tool"]["importlinter"]["contracts"] if contract["type"] == "layers"]
