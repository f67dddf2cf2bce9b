"""Kept table -> rows: what each network is, costs and scored, and whether its weights are here; loads no torch.

``cards.csv`` beside this file is written by ``docs/generate.py --cards`` from ``compiling`` and checked by the tests.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatch
from importlib.resources import files
from pathlib import Path
from typing import Any, TypedDict, cast

from regraft.catalog.table import COLUMNS, UNKNOWN
from regraft.errors import UnknownName
from regraft.utils.calls import Checks, checked
from regraft.weights import locations, sources

Row = dict[str, Any]


class Network(TypedDict):
    """What is known of one network; what nobody published is None."""

    name: str
    family: str
    aliases: list[str]
    library: str
    weights: str
    figures: str
    size_mb: float
    parameters: int
    depth: int
    gflops: float
    input_size: int
    top1: float | None
    top5: float | None
    sources: list[str]
    licence: str
    here: list[str]


KINDS: dict[str, Callable[[str], Any]] = {
    "aliases": str.split,
    "sources": str.split,
    "input_size": int,
    "parameters": int,
    "depth": int,
    "gflops": float,
    "size_mb": float,
    "top1": float,
    "top5": float,
}
BEST_FIRST = ("top1", "top5")  # sorted downwards; all else from small to large
SORTABLE = (*(column.name for column in COLUMNS), "aliases", "library", "weights", "figures")
TITLES = {column.title: column.name for column in COLUMNS} | {"size": "size_mb"}


@checked(Checks())
def models(
    pattern: str | None = None, *, family: str | None = None, available: bool = False, sort: str = "top1"
) -> list[Network]:
    """Return what is known of every network of the table, the best first.

    Args:
        pattern: Part of a name or of a usual other name, or a pattern such as ``resnet*``.
        family: Only networks of this family.
        available: Only networks whose weights are on this machine now.
        sort: The column to sort by, by its name in a row or its title in the printed table; accuracies from high to
            low, all else from low to high, what is not known last.

    A row holds: name, family, aliases, library; size_mb of the tensors in float32 (MB of 2^20 bytes, as torchvision
    and Keras have it), parameters, depth (convolutional and fully connected layers on the longest path from picture to
    scores), gflops (10^9 multiply-adds, as torchvision and the papers count) for one picture of input_size x input_size
    pixels; top1 and top5 in per cent, as published for ``weights``, and where (figures); sources and licence of the
    weights; here, the sources that have them on this machine. What nobody published is None.

    Raises:
        UnknownName: no such name, family or column.
    """
    rows = read()
    if family is not None:
        rows = [row for row in rows if row["family"] == family] or _unknown("family", family, rows, ["family"])
    if pattern is not None:
        rows = matching(pattern, rows)
    rows = sorted(map(_with_here, rows), key=_key(sort))
    return [cast("Network", row) for row in rows if row["here"] or not available]


def check(name: str, more: str = "") -> None:
    """Raise where no network goes by a name: none of the table, and none of timm or torchvision; `more` is said then.

    Their files are searched as text: importing them takes seconds.

    Raises:
        UnknownName: with the nearest names of the table.
    """
    known = [known for row in read() for known in (row["name"], *row["aliases"])]
    if name not in known and not any(f"def {name.partition('.')[0]}(" in text for text in _library_texts()):
        hint = "Any other classifier of timm or torchvision goes by its name there."
        raise UnknownName("backbone", name, known, f"{hint}{more}")


def _library_texts() -> Iterator[str]:
    for library in ("timm", "torchvision"):
        if folder := locations.package_folder(library):
            for path in sorted((folder / "models").glob("*.py")):
                yield path.read_text(encoding="utf-8")


def read() -> list[Row]:
    """Return the table as it is kept."""
    with files(__package__).joinpath("cards.csv").open(encoding="utf-8") as file:
        return [{name: _value(name, text) for name, text in row.items()} for row in csv.DictReader(file)]


def _value(name: str, text: str) -> Any:
    kind = KINDS.get(name, str)
    return kind(text) if text or kind in (str, str.split) else None


def matching(pattern: str, rows: Sequence[Row]) -> list[Row]:
    """Return the rows whose name, or usual other name, has the pattern.

    Raises:
        UnknownName: there are none.
    """
    found = [row for row in rows if _matches(pattern, row)]
    return found or _unknown("network", pattern, rows, ["name", "aliases"])


def _matches(pattern: str, row: Row) -> bool:
    wanted = pattern.lower() if any(mark in pattern for mark in "*?[") else f"*{pattern.lower()}*"
    return any(fnmatch(name.lower(), wanted) for name in (row["name"], *row["aliases"]))


def _unknown(kind: str, name: str, rows: Sequence[Row], columns: Sequence[str]) -> list[Row]:
    values = [row[column] for row in rows for column in columns]
    known = {name for value in values for name in ([value] if isinstance(value, str) else value)}
    hint = "Any other classifier of timm or torchvision goes by its name there." if kind == "network" else ""
    raise UnknownName(kind, name, known, hint)


def _key(column: str) -> Callable[[Row], Any]:
    columns = {_plain(title): name for title, name in ({name: name for name in SORTABLE} | TITLES).items()}
    if _plain(column) not in columns:
        raise UnknownName("column", column, {*SORTABLE, *TITLES})
    name = columns[_plain(column)]
    sign = -1 if name in BEST_FIRST else 1
    # what is not known comes last, equal ones by name
    return lambda row: (row[name] in UNKNOWN, _signed(row[name], sign), row["name"])


def _plain(column: str) -> str:
    """``top-1``, ``top_1`` and ``Top1`` are one column."""
    return column.lower().replace("-", "").replace("_", "")


def _signed(value: Any, sign: int) -> Any:
    return sign * value if isinstance(value, int | float) else value or ""


def _with_here(row: Row) -> Row:
    public = {name: value for name, value in row.items() if name not in ("file", "hub")}
    return public | {"here": list(files_here(row))}


def files_here(row: Row) -> dict[str, Path]:
    """Return the sources that have the network's weights on this machine, best first, and the file of each."""
    places = {name: sources.source(name).file(row) for name in sources.names()}  # `available` says the same, slower
    return {name: path for name, path in places.items() if path and path.is_file()}
