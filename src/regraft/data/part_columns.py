"""Find the column that tells the part of each row, in words or by yes and no -> train, val or test for every row."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from regraft.data.columns import Columns, filled, find_all, is_number, known, named, plain
from regraft.data.labels import marks
from regraft.data.rows import PART_NAMES, name_some, part_called
from regraft.errors import DataError

PART_COLUMNS = ("split", "part", "subset", "fold", "set", "data set", "dataset split", "partition", "usage", "phase")
FOLD_COLUMNS = ("k fold", "cv", "cv fold", "fold id", "fold number", "fold index")
"""What people call the numbers of folds, which are no parts."""
MOST_WORDS = 10  # different ones in a column of parts: more are names of files and sources
PartOf = Sequence[str | None]
"""The part of every row: train, val, test, or None where the table tells of none."""


def parts_of(
    table: Path, columns: Columns, asked: str | None, used: Collection[str | None]
) -> tuple[PartOf, list[str]]:
    """Return the part of every row, and what should be said of the columns that tell it or seem to.

    Without one that is `asked` for, a column is found by its name, by its words (`train` and `test`), or as one of yes
    and no that is called `is_train` or the like; the columns `used` as path and label are none.

    Raises:
        DataError: A cell tells no part, or two columns tell different ones.
    """
    columns = {name: known(cells) for name, cells in columns.items()}
    others = {name: cells for name, cells in columns.items() if name not in used}
    if asked is not None:
        column = named(table, columns, asked, "--split-column")
        flags = _flags({column: columns[column]})
        return (_by_flags(table, columns, flags) if flags else read_parts(table, columns, column)), []
    numbered, flags = _numbered(others), _flags(others)
    found = {column: read_parts(table, columns, column) for column in _by_words(others)}
    if len(flags) > 1 or any(plain(column) not in PART_NAMES for column in flags):
        by_flags = _by_flags(table, columns, flags)
        if not found or any(_seen_by(flags, parts) != by_flags for parts in found.values()):
            found[", ".join(flags)] = by_flags
        flags = {}
    if len({tuple(parts) for parts in found.values()}) > 1:
        raise DataError(f"{table} has different parts by {' and by '.join(found)}. Name one: --split-column NAME.")
    notices = [*_unused(table, columns, numbered), *(_perhaps(table, column) for column in flags)]
    if not found:
        return [None] * len(next(iter(columns.values()))), notices
    column, parts = next(iter(found.items()))
    if not find_all({column: []}, PART_COLUMNS):
        notices.append(f"The parts of {table} are told by {column}.")
    return parts, notices


def read_parts(table: Path, columns: Columns, column: str) -> Sequence[str]:
    """Return "train", "val" or "test" for every row, as the words of a column tell it."""
    cells = filled(table, columns, column)
    parts = {cell: part_called(cell) for cell in cells}
    if strange := sorted(cell for cell, part in parts.items() if part is None):
        raise DataError(
            f"The column {column!r} of {table} holds {name_some(map(repr, strange))}; expected train, val or test, or "
            "yes and no in a column called is_train or the like. Name the column of the parts with --split-column, or "
            "rename this one."
        )
    return [str(parts[cell]) for cell in cells]


def _numbered(columns: Columns) -> list[str]:
    found = find_all(columns, (*PART_COLUMNS, *FOLD_COLUMNS))
    return [column for column in found if _are_numbers(columns[column])]


def _are_numbers(cells: Sequence[str]) -> bool:
    return any(cells) and all(is_number(cell) for cell in cells if cell)


def _by_words(columns: Columns) -> list[str]:
    """Return the first column that is called as one of parts is and holds words, and those whose words are parts."""
    called = (column for column in find_all(columns, PART_COLUMNS) if any(columns[column]))
    first = next((column for column in called if not _are_numbers(columns[column])), None)
    worded = [column for column, cells in columns.items() if _are_parts(set(cells) - {""})]
    return list(dict.fromkeys([*([first] if first else []), *worded]))


def _are_parts(words: Collection[str]) -> bool:
    parts = {part_called(word) for word in words} if len(words) <= MOST_WORDS else set()
    return None not in parts and {"train"} < parts


def _flags(columns: Columns) -> dict[str, str]:
    """Return the columns of yes and no that are called as a part is (`is_valid`, `train`), each with its part."""
    parts = {name: PART_NAMES.get(plain(name).removeprefix("is").removeprefix("in")) for name in columns}
    return {name: part for name, part in parts.items() if part and marks([cell for cell in columns[name] if cell])}


def _by_flags(table: Path, columns: Columns, flags: Mapping[str, str]) -> Sequence[str]:
    """Return the part that says yes in each row; where none does, the first part that has no column."""
    rest = _rest(flags)
    says_yes = {part: marks(filled(table, columns, name)) or [] for name, part in flags.items()}
    found = [[part for part, yes in says_yes.items() if yes[at]] for at in range(len(next(iter(columns.values()))))]
    if odd := next((at for at, parts in enumerate(found) if len(parts) > 1 or not (parts or rest)), None):
        told = " and ".join(found[odd]) or "no part"
        raise DataError(f"Row {odd + 1} of {table} is in {told} by {', '.join(flags)}. Expected one part a row.")
    return [parts[0] if parts else str(rest) for parts in found]


def _rest(flags: Mapping[str, str]) -> str | None:
    return next((part for part in ("train", "test", "val") if part not in flags.values()), None)


def _seen_by(flags: Mapping[str, str], parts: Sequence[str]) -> Sequence[str | None]:
    """Return parts as columns of yes and no can tell them: beside `is_train` alone, val and test are one."""
    return [part if part in flags.values() else _rest(flags) for part in parts]


def _unused(table: Path, columns: Columns, numbered: Sequence[str]) -> list[str]:
    counts = {column: len(set(columns[column]) - {""}) for column in numbered}
    return [
        f"The column {column!r} of {table} holds {count} different numbers, no parts, and is not used; --folds {count} "
        "makes folds of its own."
        for column, count in counts.items()
        if count > 1
    ]


def _perhaps(table: Path, column: str) -> str:
    told = f"The column {column!r} of {table} holds yes and no, and is not used"
    return f"{told}; if it tells the parts: --split-column {column}."
