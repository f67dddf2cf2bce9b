"""Rows of cards -> the columns that a window has room for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

Row = dict[str, Any]

GAP = 3  # between two columns, as the terminal's table draws them
EDGE = 2


class Column(NamedTuple):
    """A column of the printed table; those of the highest rank go first where the window is narrow."""

    title: str
    rank: int
    cell: Callable[[Row], str]


def _number(name: str, form: str) -> Callable[[Row], str]:
    return lambda row: "–" if row[name] is None else format(row[name], form)


COLUMNS = (
    Column("network", 0, lambda row: str(row["name"])),
    Column("family", 8, lambda row: str(row["family"])),
    Column("top-1", 1, _number("top1", ".1f")),
    Column("top-5", 1, _number("top5", ".1f")),
    Column("MB", 1, _number("size_mb", ".0f")),
    Column("params", 2, lambda row: f"{row['parameters'] / 1e6:.1f} M"),
    Column("depth", 3, _number("depth", "d")),
    Column("GFLOPs", 4, _number("gflops", ".2f")),
    Column("px", 5, _number("input_size", "d")),
    Column("licence", 7, lambda row: row["licence"].partition(" ")[0] or "–"),
    Column("sources", 6, lambda row: ", ".join(row["sources"]) or "–"),
    Column("here", 1, lambda row: ", ".join(row["here"]) or "–"),
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
