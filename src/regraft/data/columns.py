"""Name the columns of a table and find them: however they are written, by the names that people use."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from regraft.data.rows import name_some
from regraft.data.sheets import Sheet, read_sheet
from regraft.errors import DataError

Columns = dict[str, list[str]]

NOTHING = frozenset(
    {"", "na", "n/a", "n.a.", "nan", "nat", "nil", "null", "none", "<na>", "<null>", "(null)", r"\n", "?", "."}
    | {"#n/a", "#null!", "#ref!", "#value!", "#name?", "#num!", "#div/0!"}
    | {"-", "--", "\N{EN DASH}", "\N{EM DASH}"}
)
"""What programs and people write into a cell of which they know nothing, in lower case."""
NOBODY = NOTHING | {"unknown", "unk", "missing", "anonymous", "anonymized", "anonymised", "removed"}
"""What stands for a patient of whom nothing is known: two such pictures need not be of one."""


def read_columns(table: Path) -> Columns:
    """Return {column name: cells as text} of a table with a header."""
    return columns_of(table, read_sheet(table))


def columns_of(table: Path, sheet: Sheet, *, header: bool = True) -> Columns:
    """Return {column name: cells as text}; without a header the columns are called 1, 2, 3 …

    Columns without a name, such as the row numbers that pandas writes, are left out.

    Raises:
        DataError: two columns have one name.
    """
    names = sheet.first if header else [str(number) for number in range(1, len(sheet.first) + 1)]
    rows = sheet.rows if header else [sheet.first, *sheet.rows]
    if twice := [name for name, count in Counter(names).items() if name and count > 1]:
        raise DataError(f"{table} has two columns called {name_some(map(repr, twice))}. Give them names of their own.")
    return {name: [row[at] for row in rows] for at, name in enumerate(names) if name}


# ---- names ----------------------------------------------------------------------------------------------------------


def plain(name: str) -> str:
    """Return a column's name without what people write it with: `Image ID`, `image_id` and `imageId` are the same."""
    return re.sub(r"[\W_]+", "", name).casefold()


def find_all(columns: Columns, known: Sequence[str]) -> list[str]:
    """Return the known columns that the table has, however they are written, in the order of `known`."""
    by_name = {_singular(name): name for name in reversed(columns)}
    return list(dict.fromkeys(by_name[_singular(name)] for name in known if _singular(name) in by_name))


def find(columns: Columns, known: Sequence[str]) -> str | None:
    """Return the first known column that the table has."""
    return next(iter(find_all(columns, known)), None)


def _singular(name: str) -> str:
    return plain(name).removesuffix("s")


def require(table: Path, columns: Columns, kind: str, known: Sequence[str]) -> str:
    """Return the first known column that the table has, or say which columns there are."""
    if column := find(columns, known):
        return column
    raise DataError(none_of(table, columns, kind, known))


def none_of(table: Path, columns: Columns, kind: str, known: Sequence[str]) -> str:
    """Say which columns there are where none of the known ones is there."""
    return (
        f"{table} has no {kind} column: found {', '.join(columns) or 'no columns'}; expected one of {', '.join(known)}"
    )


def named(table: Path, columns: Columns, name: str, option: str) -> str:
    """Return the column that the user has named: as it is written, else in another spelling."""
    column = name if name in columns else find(columns, [name])
    if column is None:
        raise DataError(f"{table} has no column {name!r}: found {', '.join(columns)}. Name one of them: {option} NAME.")
    return column


# ---- cells ----------------------------------------------------------------------------------------------------------


def is_number(cell: str) -> bool:
    """Say whether a cell is a number without a sign: of a class, a fold, a grade."""
    return cell.replace(".", "", 1).isdecimal()


def known(cells: Sequence[str], nothing: frozenset[str] = NOTHING) -> list[str]:
    """Return the cells, empty where they only say that nothing is known: `NA` of R is no patient and no class."""
    return ["" if cell.casefold() in nothing else cell for cell in cells]


def absence(cells: Sequence[str], nothing: frozenset[str] = NOTHING) -> str:
    """Return how a column says nothing: ``is empty``, ``says 'NA'``, ``is empty or says 'NA', '-'``."""
    found = dict.fromkeys(cell for cell in cells if cell.casefold() in nothing)
    words = name_some(repr(cell) for cell in found if cell)
    told = [*(["is empty"] if "" in found else []), *([f"says {words}"] if words else [])]
    return " or ".join(told)


def filled(table: Path, columns: Columns, column: str) -> list[str]:
    """Return a column's cells, none of which may be empty."""
    if empty := columns[column].count(""):
        raise DataError(
            f"The column {column!r} of {table} is empty in {empty} of {len(columns[column])} rows. Fill these cells or "
            "remove the rows."
        )
    return columns[column]
