"""Tell labels that are one class a picture from those that are not: several classes, a scale, an identifier."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from regraft.data.columns import NOBODY, NOTHING, Columns, plain
from regraft.data.rows import name_some
from regraft.errors import DataError

MOST_ON_A_SCALE = 10  # different numbers that are not whole, at least: grades in halves from 0 to 5 are classes
LEAST_TO_JUDGE = 20  # rows: among fewer, labels of their own may be chance
ZERO, ONE = ("0", "0.0", "false", "-1", "no"), ("1", "1.0", "true", "yes")
LIST = re.compile(r"\[.*\]|[({]\s*['\"].*[)}]")
JOINS = r"[,/+&]|\s(?:and|und|et|y|e|og|och|en|with)\s"
TAGS = ("tag", "keyword", "attribute")
"""What people call a column of several labels, without the plural's s."""
UNKNOWN = (NOBODY - NOTHING) | {"unlabeled", "unlabelled", "undefined", "not available"}
MOST_COMPARED = 200  # labels
ONE_CLASS = "Regraft learns one class for each picture"


def single(table: Path, column: str, labels: Sequence[str], *, learn: bool = True) -> tuple[list[str], list[str]]:
    """Return the labels, each the name of one class (a list of one is that one), and what is doubtful about them.

    Raises:
        DataError: cells with several labels, labels on a scale, or, where they are to be learned, one for each row.
    """
    labels = [_only(label) for label in labels]
    if cell := _several(labels):
        raise DataError(
            f"The column {column!r} of {table} holds several labels in one cell, such as {cell!r}. {ONE_CLASS}, not "
            "combinations. Name a column with one: --label-column NAME."
        )
    different = len(set(labels))
    if on_a_scale(labels):
        raise DataError(
            f"The column {column!r} of {table} holds {different} different numbers in {len(labels)} rows, such as "
            f"{labels[0]}: a scale, no classes. Name another column (--label-column), or write low and high instead."
        )
    if learn and len(labels) >= LEAST_TO_JUDGE and different > len(labels) / 2:
        raise DataError(
            f"The column {column!r} of {table} holds {different} different labels in {len(labels)} rows: that looks "
            "like an identifier, not like classes. Name the column of the classes: --label-column NAME."
        )
    return labels, _doubtful(table, column, labels)


def _doubtful(table: Path, column: str, labels: Sequence[str]) -> list[str]:
    """Return a sentence on labels that may be several, and one on those that may say that there is none."""
    told, said = f"The column {column!r} of {table}", []
    if several := _perhaps_several(column, labels):
        each = f"such as {several!r}: each is read as a class of its own"
        said.append(f"{told} may hold several labels in one cell, {each}. {ONE_CLASS}.")
    if unknown := [label for label in dict.fromkeys(labels) if label.casefold() in UNKNOWN]:
        words = name_some(map(repr, unknown))
        said.append(
            f"{told} says {words}, which is read as a class. If it means that nothing is known, empty its cells."
        )
    return said


def refuse_columns_of_classes(table: Path, columns: Columns) -> None:
    """Raise DataError where each class has a column of 0 and 1 (one-hot, or several labels a picture)."""
    found = {name: ones for name, cells in columns.items() if (ones := marks(cells)) is not None}
    if len(found) < 2:
        return
    counts = [sum(row) for row in zip(*found.values(), strict=True)]
    told = f"{table} has a column of 0 and 1 for each class ({name_some(found)})"
    if max(counts) > 1:
        at = counts.index(max(counts))
        several = " and ".join(name for name, ones in found.items() if ones[at])
        raise DataError(
            f"{told}, and several labels a picture: row {at + 1} is {several}. {ONE_CLASS}. Write one column with one "
            "class a row, or name a single one of these: --label-column NAME."
        )
    raise DataError(
        f"{told}, one 1 a row. Expected one column with the class's name: write it (in pandas, "
        "table['label'] = table[[…]].idxmax(axis=1)) and give it with --label-column label."
    )


def on_a_scale(labels: Sequence[str]) -> bool:
    """Say whether labels are measured numbers: many different ones, not all whole."""
    different = set(labels)
    if len(different) <= max(MOST_ON_A_SCALE, len(labels) / 20):
        return False
    try:
        return any(not float(label).is_integer() for label in different)
    except (ValueError, OverflowError):  # a word; infinity
        return False


def marks(cells: Sequence[str]) -> list[bool] | None:
    """Return which cells are 1; None for a column that holds anything but 0 and 1, or only one of them."""
    low = [cell.casefold() for cell in cells]
    marks = [cell in ONE for cell in low]
    return marks if len(set(marks)) == 2 and all(cell in ONE or cell in ZERO for cell in low) else None


def _only(label: str) -> str:
    """Return what a list of one holds."""
    items = _items(label)
    return items[0] if len(items) == 1 else label


def _items(label: str) -> list[str]:
    if not LIST.fullmatch(label):
        return [label]
    inside = label[1:-1]
    found = re.findall(r"'([^']*)'|\"([^\"]*)\"", inside)
    return ["".join(pair) for pair in found] or [item for item in re.split(r"[,\s]+", inside) if item]


def _several(labels: Sequence[str]) -> str | None:
    """Return a cell that surely holds several labels.

    ``|`` and ``;`` join labels wherever they stand between two; commas, blanks, plus, slash and words such as `and` are
    in names as well (`tench, Tinca tinca`), and join where each piece is a label of its own, or where few words make
    many labels.
    """
    different = list(dict.fromkeys(labels))
    for label in different:
        if len(_items(label)) != 1 or len(_pieces(label, r"[|;]")) > 1:
            return label
    for mark in (JOINS, r"\s+"):
        if joined := _joined(different, mark):
            return joined
        combined = [label for label in different if len(_pieces(label, mark)) > 1]
        if combined and _recombined(different, mark):
            return combined[0]
    return None


def _perhaps_several(column: str, labels: Sequence[str]) -> str | None:
    """Return a cell that may hold several labels: `clear primary road` beside `clear primary`, `dog_ship` beside both.

    So are called single classes too (`maple tree` and `red maple tree`).
    """
    different = sorted(set(labels), key=len)
    sets = {label: frozenset(_pieces(label, r"\s+")) for label in different}
    of_several = [label for label in different if len(sets[label]) > 1]
    if of_several and plain(column).removesuffix("s") in TAGS:
        return of_several[-1]
    within = (one for inner, one in combinations(of_several[:MOST_COMPARED], 2) if sets[inner] < sets[one])
    return _joined(different, r"[-_:]") or next(within, None)


def _joined(different: Sequence[str], mark: str) -> str | None:
    """Return a label of which every piece is a label of its own."""
    known = {label.casefold() for label in different}
    pieces = {label: _pieces(label.casefold(), mark) for label in different}
    return next((label for label in different if len(pieces[label]) > 1 and known.issuperset(pieces[label])), None)


def _pieces(label: str, mark: str) -> list[str]:
    return [piece.strip() for piece in re.split(mark, label) if piece.strip()]


def _recombined(different: Sequence[str], mark: str) -> bool:
    """Say whether labels are sets of a few words: of different sizes, and some within others."""
    sets = [frozenset(_pieces(label, mark)) for label in different]
    words = frozenset().union(*sets)
    larger = any(one < other for one, other in combinations(sets[:MOST_COMPARED], 2))
    return len(different) > 2 * len(words) and len(set(map(len, sets))) > 1 and larger
