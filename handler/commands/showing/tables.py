"""Prints tables to a terminal or a pipe, and removes control characters from them."""

import sys
from collections.abc import Iterable, Sequence
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from handler.operations.wording import clean


def console(file: TextIO | None = None) -> Console:
    """Where tables are printed. In a pipe, lines are not wrapped."""
    target = file or sys.stdout
    return Console(file=target, highlight=False, width=None if target.isatty() else 10_000)


def table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]], *, wide: str | None = None) -> None:
    """Print a table without frames, as `kubectl` does: people can read it, and `awk` in a pipe.

    The column `wide` takes the space that is left; on a terminal, its text is folded.
    """
    Pages(columns, wide=wide).add(rows)


class Pages:
    """A table that is printed a page at a time. No column gets narrower from one page to the next."""

    def __init__(self, columns: Sequence[str], *, wide: str | None = None) -> None:
        self._columns = columns
        self._wide = wide
        self._widths = [0] * len(columns)
        self._begun = False

    def add(self, rows: Iterable[Sequence[str | Text]]) -> None:
        """Print further rows, under the headings if they are the first."""
        page = [[cell if isinstance(cell, Text) else Text(clean(cell)) for cell in row] for row in rows]
        headings = [] if self._begun else [[Text(column) for column in self._columns]]
        for cells in (*headings, *page):
            self._widths = [max(width, cell.cell_len) for width, cell in zip(self._widths, cells, strict=True)]
        out = console()
        if out.is_terminal:
            # Where the lines do not fit anyway, the terminal's width is shared anew on each page.
            fits = sum(self._widths) + 2 * len(self._widths) <= out.width
            out.print(self._table(page, headed=not self._begun, widths=self._widths if self._begun and fits else None))
        else:
            # Ten times as fast: these may be many.
            sys.stdout.write("".join(map(self._line, (*headings, *page))))
        self._begun = True

    def _table(self, page: Sequence[Sequence[Text]], *, headed: bool, widths: Sequence[int] | None) -> Table:
        shown = Table(box=None, pad_edge=False, show_edge=False, show_header=headed)
        shown.header_style = "bold"
        for place, column in enumerate(self._columns):
            narrow = column != self._wide
            width = widths[place] if widths is not None and narrow else None
            shown.add_column(column, no_wrap=narrow, overflow="fold", min_width=width)
        for cells in page:
            shown.add_row(*cells)
        return shown

    def _line(self, cells: Sequence[Text]) -> str:
        padded = (cell.plain + " " * (width - cell.cell_len) for width, cell in zip(self._widths, cells, strict=True))
        return "  ".join(padded).rstrip() + "\n"
