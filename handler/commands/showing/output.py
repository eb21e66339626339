"""How documents, tables and text reach the terminal or the pipe. Text from the network loses its controls."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

import click
import orjson
import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

FORMATS = ("table", "json", "yaml")


def console(file: TextIO | None = None) -> Console:
    """Where tables go. In a pipe a line may be as long as it is."""
    target = file or sys.stdout
    return Console(file=target, highlight=False, width=None if target.isatty() else 10_000)


def clean(value: object) -> str:
    """One line without control characters: text from events must not move the cursor."""
    return "".join(character if character.isprintable() else " " for character in str(value)).strip()


def lines_of(value: object) -> list[str]:
    """As `clean`, line by line."""
    return [clean(line.expandtabs(4)) if line.strip() else "" for line in str(value).splitlines()]


def say_left_out(error: Exception) -> None:
    """Say on stderr what an object is left out for, which nothing can be shown of."""
    click.echo(f"left out: {clean(error)}", err=True)


def write(form: str, document: Any) -> None:
    """One document as JSON on one line, or as YAML behind `---`."""
    if form == "json":
        sys.stdout.write(orjson.dumps(document, default=str).decode() + "\n")
    else:
        sys.stdout.write("---\n" + yaml.safe_dump(plain(document), sort_keys=False, allow_unicode=True))
    sys.stdout.flush()


def plain(document: Any) -> Any:
    """Only what JSON knows: no enums, no tuples."""
    return orjson.loads(orjson.dumps(document, default=str))


def table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]], *, wide: str | None = None) -> None:
    """A table without frames, as `kubectl` writes it: readable by people, and by `awk` in a pipe.

    The column `wide` takes the space that is left, and is folded on a terminal.
    """
    shown = Table(box=None, pad_edge=False, show_edge=False)
    shown.header_style = "bold"
    for column in columns:
        shown.add_column(column, no_wrap=column != wide, overflow="fold")
    for row in rows:
        shown.add_row(*(cell if isinstance(cell, Text) else Text(clean(cell)) for cell in row))
    out = console()
    if out.is_terminal:
        out.print(shown)
        return
    with out.capture() as capture:
        out.print(shown)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in capture.get().splitlines()))


def amount(cpu: float, memory: int) -> str:
    """`cpu 0.98, memory 52 MiB`."""
    units = ("B", "KiB", "MiB", "GiB", "TiB")
    power = min(max(0, memory.bit_length() - 1) // 10, len(units) - 1)
    size = memory / 1024**power
    return f"cpu {cpu:.2f}, memory {size:.{0 if size >= 10 or not power else 1}f} {units[power]}"


def duration(seconds: float | None) -> str:
    """`7s`, `3m12s`, `5h40m`, `12d`; nothing for None."""
    if seconds is None:
        return ""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d"
