"""Rows of the catalog -> the columns that a window has room for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

Row = Mapping[str, Any]

GAP = 3  # between two columns, as the terminal's table draws them
EDGE = 2


UNKNOWN: tuple[Any, ...] = (None, "", [])
"""What stands in a row where nothing is known."""


class Column(NamedTuple):
    """A column of the printed table; those of the highest rank go first where the window is narrow."""

    title: str
    name: str  # in a row
    rank: int
    text: Callable[[Any], str]  # of a value that is known

    def cell(self, row: Row) -> str:
        """Return what is printed."""
        return "–" if row[self.name] in UNKNOWN else self.text(row[self.name])


COLUMNS = (
    Column("network", "name", 0, str),
    Column("family", "family", 8, str),
    Column("top-1", "top1", 1, "{:.1f}".format),
    Column("top-5", "top5", 1, "{:.1f}".format),
    Column("MB", "size_mb", 1, "{:.0f}".format),
    Column("params", "parameters", 2, lambda count: f"{count / 1e6:.1f} M"),
    Column("depth", "depth", 3, str),
    Column("GFLOPs", "gflops", 4, "{:.2f}".format),
    Column("px", "input_size", 5, str),
    Column("licence", "licence", 7, lambda text: text.partition(" ")[0]),
    Column("sources", "sources", 6, ", ".join),
    Column("here", "here", 1, ", ".join),
)


def fitting(rows: Sequence[Row], width: int) -> tuple[list[str], list[list[str]], list[str]]:
    """Return titles, cells and the titles for which there is no room; no name is ever cut or broken."""
    texts = {column: [column.title, *map(column.cell, rows)] for column in COLUMNS}
    needs = {column: GAP + max(map(len, cells)) for column, cells in texts.items()}
    shown, left_out = list(COLUMNS), list[Column]()
    while sum(needs[column] for column in shown) + EDGE - GAP > width and len(shown) > 1:
        left_out.append(max(shown, key=lambda column: column.rank))
        shown.remove(left_out[-1])
    cells = [[column.cell(row) for column in shown] for row in rows]
    return [column.title for column in shown], cells, [column.title for column in COLUMNS if column in left_out]
