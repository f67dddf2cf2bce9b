"""Read a CSV, TSV or Parquet table of paths and labels -> rows."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from regraft.data.rows import PART_NAMES, Found, Row, name_some
from regraft.errors import DataError, NoImages, reason_of

TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")
PATH_COLUMNS = ("path", "filename", "file", "image", "filepath", "name")
LABEL_COLUMNS = ("label", "class", "target", "category")
PART_COLUMNS = ("split", "part", "subset", "fold")
GROUP_COLUMNS = ("group", "patient", "source", "subject")

Columns = dict[str, list[str]]


def read_table(table: Path, *, groups: str | None = None) -> Found:
    """List the pictures of a table. Paths are relative to the table's folder.

    `groups` may name a column; without it, a column called group, patient, source or subject is used.

    Raises:
        NoImages: The table has no rows.
        DataError: A column is missing, a cell is empty, a file does not exist or is listed twice.
    """
    columns = read_columns(table)
    path_cells, labels = (
        filled(table, columns, require(table, columns, kind, known))
        for kind, known in (("path", PATH_COLUMNS), ("label", LABEL_COLUMNS))
    )
    if not labels:
        raise NoImages(f"{table} has no rows below its header.")
    paths = [table.parent / cell for cell in path_cells]
    _check_files(table, paths)
    part_of = read_parts(table, columns, find(columns, PART_COLUMNS))
    group_of, notices = _read_groups(table, columns, groups)
    rows = [
        Row(path, _name(path, table.parent), label, part, group)
        for path, label, part, group in zip(paths, labels, part_of, group_of, strict=True)
    ]
    return Found(rows, notices)


def read_columns(table: Path) -> Columns:
    """Return {column name in lower case: cells as text} of a table."""
    try:
        return _read_parquet(table) if table.suffix.lower() == ".parquet" else _read_csv(table)
    except (OSError, ValueError, csv.Error) as error:
        expected = "a Parquet file" if table.suffix.lower() == ".parquet" else "a CSV with a header, in UTF-8"
        raise DataError(f"{table} cannot be read as a table: {reason_of(error)}. Expected {expected}.") from error


def _read_csv(table: Path) -> Columns:
    with table.open(newline="", encoding="utf-8-sig") as file:
        header = file.readline()
        file.seek(0)
        delimiter = max(",;\t", key=header.count)  # a spreadsheet may write semicolons
        lines = [line for line in csv.reader(file, delimiter=delimiter) if line]
    names, cells = lines[0] if lines else [], lines[1:]
    if odd := next((line for line in cells if len(line) != len(names)), None):
        raise ValueError(f"{len(names)} columns, but {len(odd)} cells in the row that starts with {odd[0]!r}.")
    return {name.strip().lower(): [line[at].strip() for line in cells] for at, name in enumerate(names)}


def _read_parquet(table: Path) -> Columns:
    import pyarrow.parquet

    columns = pyarrow.parquet.ParquetFile(table).read().to_pydict()
    return {
        str(name).strip().lower(): ["" if cell is None else str(cell).strip() for cell in cells]
        for name, cells in columns.items()
    }


def find(columns: Columns, known: Sequence[str]) -> str | None:
    """Return the first known column that the table has."""
    return next((name.lower() for name in known if name.lower() in columns), None)


def require(table: Path, columns: Columns, kind: str, known: Sequence[str]) -> str:
    """Return the first known column that the table has, or say which columns there are."""
    if column := find(columns, known):
        return column
    raise DataError(
        f"{table} has no {kind} column: found {', '.join(columns) or 'no columns'}; expected one of {', '.join(known)}."
    )


def filled(table: Path, columns: Columns, column: str) -> list[str]:
    """Return a column's cells, none of which may be empty."""
    if empty := columns[column].count(""):
        raise DataError(f"The column {column!r} of {table} is empty in {empty} of {len(columns[column])} rows.")
    return columns[column]


def read_parts(table: Path, columns: Columns, column: str | None) -> Sequence[str | None]:
    """Return "train", "val" or "test" for every row; None for all without a column, or with an empty one."""
    if column is None or not any(columns[column]):
        return [None] * _count(columns)
    cells = filled(table, columns, column)
    if strange := sorted({cell for cell in cells if cell.lower() not in PART_NAMES}):
        raise DataError(
            f"The column {column!r} of {table} holds {name_some(map(repr, strange))}; expected train, val or test."
        )
    return [PART_NAMES[cell.lower()] for cell in cells]


def _read_groups(table: Path, columns: Columns, wanted: str | None) -> tuple[Sequence[str | None], list[str]]:
    """Return the group of every row, and a notice when the column was found and not asked for."""
    if wanted is not None:
        column = find(columns, [wanted])
        return filled(table, columns, column) if column else [None] * _count(columns), []
    column = find(columns, GROUP_COLUMNS)
    if column is None or not any(columns[column]):
        return [None] * _count(columns), []
    return filled(table, columns, column), [f"Grouped by the column {column!r} of {table}."]


def _count(columns: Columns) -> int:
    return len(next(iter(columns.values())))


def _check_files(table: Path, paths: Sequence[Path]) -> None:
    if missing := [str(path) for path in paths if not path.is_file()]:
        raise DataError(
            f"{len(missing)} of {len(paths)} files listed in {table} do not exist: {name_some(missing)}. "
            "Paths are relative to the table's folder."
        )
    if twice := [str(path) for path, count in Counter(paths).items() if count > 1]:
        raise DataError(f"{len(twice)} files are listed more than once in {table}: {name_some(twice)}.")


def _name(path: Path, root: Path) -> str:
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()
