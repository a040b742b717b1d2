"""The look of tables in a terminal: names on the left, numbers on the right, at any width."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Column, Table
from rich.text import Text

_PADDING = (0, 1, 0, 0)


def plain_table(
    title: str, names: Sequence[str] = (), numbers: Sequence[str] = (), caption: str | None = None
) -> Table:
    """Return a table without rows whose columns are `names`, then `numbers`.

    Columns that do not fit beside the others come in a second table below, after the names again:
    a number that is cut off cannot be read.
    """
    table = _Folding(title=title, caption=caption)
    for heading in names:
        table.add_column(heading, no_wrap=True)
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


class _Folding(Table):
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(str(self.title), style="table.title")
        for columns in self._parts(console, options.max_width):
            part = Table(
                *(column.copy() for column in columns),
                box=box.SIMPLE_HEAD, padding=_PADDING, pad_edge=False,
            )  # fmt: skip
            cells = zip(*(column.cells for column in columns), strict=True)
            for row, style in zip(cells, (row.style for row in self.rows), strict=True):
                part.add_row(*(Text(str(cell)) for cell in row), style=style)  # no markup
            yield part
        if self.caption is not None:
            yield Text(str(self.caption), style="table.caption")

    def _parts(self, console: Console, width: int) -> Iterator[list[Column]]:
        """Yield the columns that fit side by side, each time after the names."""
        names = list(takewhile(lambda column: column.justify != "right", self.columns))
        part: list[Column] = []
        for column in self.columns[len(names) :]:
            if part and self._width(console, [*names, *part, column]) > width:
                yield names + part
                part = []
            part.append(column)
        yield names + part

    def _width(self, console: Console, columns: Sequence[Column]) -> int:
        # A gap of two between columns, and one at either end.
        return sum(2 + min(_letters(console, each), each.max_width or 80) for each in columns)


def _letters(console: Console, column: Column) -> int:
    """Return what a column needs: its widest cell, or its widest word where it may wrap."""
    cells = (console.measure(Text(str(cell))) for cell in (column.header, *column.cells))
    return max(cell.maximum if column.no_wrap else cell.minimum for cell in cells)
