"""The look of every table of a replay: names on the left, numbers on the right, in 80 columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table


def plain_table(
    title: str, names: Sequence[str] = (), numbers: Sequence[str] = (), caption: str | None = None
) -> Table:
    """Return a table without rows whose columns are `names`, then `numbers`."""
    table = Table(
        title=title, caption=caption, title_justify="left", caption_justify="left",
        box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False,
    )  # fmt: skip
    for heading in names:
        table.add_column(heading, no_wrap=True)
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    return table
