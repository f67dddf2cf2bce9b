"""Read a folder whose labels lie in a table inside it: metadata.csv or metadata.jsonl, as Hugging Face lays it out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from regraft.data.folders import read_folder
from regraft.data.rows import Found, Reading, Row, part_called
from regraft.data.sheets import SURE_SUFFIXES
from regraft.data.tables import read_table
from regraft.errors import DataError, RegraftError

NAMES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
NEARLY_ALL = 0.9  # of a folder's pictures: a list of the marks on some of them names no classes
MOST_TABLES = 5  # that are looked into, beside folders of pictures
OF_TABLES = ("path_column", "label_column", "split_column", "images")


def read_either(folder: Path, reading: Reading) -> Found:
    """Return the rows of a folder: of its class folders, or of the metadata inside it or inside its parts.

    Raises:
        DataError: Folders and a table inside name different classes, or neither names any.
    """
    if reading.layout == "classes" or reading.label_pattern is not None:
        _refuse_options(folder, reading)
        return read_folder(folder, reading)
    if not (tables := _tables(folder)):
        _refuse_options(folder, reading)
        found = read_folder(folder, reading)
        _refuse_other_classes(folder, found.rows)
        return found
    try:
        listed = _read_tables(folder, tables, reading)
    except DataError as error:
        return _in_folders(folder, reading, error)
    try:
        sorted_in = read_folder(folder, reading)
    except DataError:
        return listed
    if not _agree(sorted_in.rows, listed.rows):
        raise DataError(_two_answers(folder, next(iter(tables))))
    return listed


def _refuse_options(folder: Path, reading: Reading) -> None:
    if idle := [name for name in OF_TABLES if getattr(reading, name) is not None]:
        option = "--" + idle[0].replace("_", "-")
        raise DataError(f"{folder} is a folder; {option} is for tables. Give the table itself, or leave it out.")


def _refuse_other_classes(folder: Path, rows: Sequence[Row]) -> None:
    """Raise DataError where a table beside the folders has other classes for the same pictures.

    `part_1` and `part_2` beside a table are no classes, and nothing in the folders says so.
    """
    for table in sorted(path for path in folder.iterdir() if path.suffix.lower() in SURE_SUFFIXES)[:MOST_TABLES]:
        try:
            listed = read_table(table, Reading(images=folder))
        except RegraftError:  # another table, or one for which a package is missing: the folders count
            continue
        if not _agree(rows, listed.rows):
            raise DataError(_two_answers(folder, table))


def _agree(rows: Sequence[Row], others: Sequence[Row]) -> bool:
    """Say whether two readings part the same pictures in the same way, or are hardly of the same pictures."""
    labels = {row.path: row.label for row in others}
    pairs = {(row.label, labels[row.path]) for row in rows if row.path in labels}
    shared = sum(row.path in labels for row in rows)
    one_each = len(pairs) == len({one for one, _ in pairs}) == len({other for _, other in pairs})
    return one_each or shared < NEARLY_ALL * len(rows)


def _two_answers(folder: Path, table: Path) -> str:
    return (
        f"{folder} has other classes in {table.name} than by its folders. Give the table if its labels are meant "
        f"({table} with --images={folder}), or --layout=classes if the folders' names are."
    )


def _tables(folder: Path) -> dict[Path, str | None]:
    """Return the metadata in a folder, or in those of its folders that are parts, each with its part."""
    own = next((folder / name for name in NAMES if (folder / name).is_file()), None)
    if own is not None:
        return {own: None}
    parts = {inner: part for inner in sorted(folder.iterdir()) if inner.is_dir() and (part := part_called(inner.name))}
    found = {inner / name: part for inner, part in parts.items() for name in NAMES if (inner / name).is_file()}
    return {table: part if len(found) > 1 else None for table, part in found.items()}


def _read_tables(folder: Path, tables: dict[Path, str | None], reading: Reading) -> Found:
    whole = Found([], [])
    for table, part in tables.items():
        found = read_table(table, reading)
        whole.notices.extend(found.notices)
        for row in found.rows:
            name = row.path.relative_to(folder).as_posix() if row.path.is_relative_to(folder) else row.name
            whole.rows.append(row._replace(name=name, part=part or row.part))
    grouped = any(row.group is not None for row in whole.rows)  # in one table of several
    return Found([row._replace(group=row.group or row.name if grouped else None) for row in whole.rows], whole.notices)


def _in_folders(folder: Path, reading: Reading, error: DataError) -> Found:
    """Return the class folders' rows where the metadata cannot be used; where these cannot either, that counts."""
    try:
        found = read_folder(folder, reading)
    except DataError:
        raise error from None
    return Found(found.rows, [f"The classes are those of the folders. {error}", *found.notices])
