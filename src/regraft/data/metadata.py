"""Read a folder whose labels lie in a table inside it: metadata.csv or metadata.jsonl, as Hugging Face lays it out."""

from __future__ import annotations

from pathlib import Path

from regraft.data.folders import read_folder
from regraft.data.rows import Found, Reading, part_called
from regraft.data.tables import read_table
from regraft.errors import DataError

NAMES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
OF_TABLES = ("path_column", "label_column", "split_column", "images")


def read_either(folder: Path, reading: Reading) -> Found:
    """Return the rows of a folder: of its class folders, or of the metadata inside it or inside its parts.

    Raises:
        DataError: Folders and metadata name different classes, or neither names any.
    """
    if reading.layout == "classes" or reading.label_pattern is not None or not (tables := _tables(folder)):
        if idle := [name for name in OF_TABLES if getattr(reading, name) is not None]:
            option = "--" + idle[0].replace("_", "-")
            raise DataError(f"{folder} is a folder; {option} is for tables. Give the table itself, or leave it out.")
        return read_folder(folder, reading)
    try:
        listed = _read_tables(folder, tables, reading)
    except DataError as error:
        return _in_folders(folder, reading, error)
    try:
        sorted_in = read_folder(folder, reading)
    except DataError:
        return listed
    classes = {row.path: row.label for row in sorted_in.rows}
    if any(classes.get(row.path, row.label) != row.label for row in listed.rows):
        raise DataError(
            f"{folder} has other classes in {next(iter(tables)).name} than by its folders. Give the table in place of "
            "the folder if its labels are meant, or --layout classes if the folders' names are."
        )
    return listed


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
    return whole


def _in_folders(folder: Path, reading: Reading, error: DataError) -> Found:
    """Return the class folders' rows where the metadata cannot be used; where these cannot either, that counts."""
    try:
        found = read_folder(folder, reading)
    except DataError:
        raise error from None
    return Found(found.rows, [f"The classes are those of the folders. {error}", *found.notices])
