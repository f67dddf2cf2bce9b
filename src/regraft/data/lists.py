"""Read a list of pictures -> their paths, one by one: a path a line, or a table's column of paths."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from regraft.data.columns import find_all, none_of
from regraft.data.sheets import JSON_SUFFIXES, SURE_SUFFIXES, read_sheet
from regraft.data.tables import PATH_COLUMNS
from regraft.errors import DataError, reason_of

LISTS = (*SURE_SUFFIXES, ".txt")
SAMPLE = 50  # cells that tell which folder a list means


def is_list(path: Path) -> bool:
    """Say whether a file lists pictures, by its suffix."""
    return path.suffix.lower() in LISTS and path.is_file()


def of_list(table: Path) -> Iterator[tuple[Path, str]]:
    """Yield (path, cell) of what a list names: from its own folder, or from here, where more of the first ones are.

    Raises:
        DataError: it cannot be read, lists nothing, or has no column of paths.
    """
    cells = _cells(table)
    first = list(itertools.islice(cells, SAMPLE))
    if not first:
        raise DataError(f"{table} lists no pictures. Expected a path a line, or a column of paths.")
    if first[0].lower().startswith(("http://", "https://")):
        raise DataError(f"{table} lists web addresses, such as {first[0]}. Expected files: download them first.")
    own, here = (sum((base / cell).is_file() for cell in first) for base in (table.parent, Path()))
    base = Path() if here > own else table.parent
    return ((base / cell, cell) for cell in itertools.chain(first, cells))


def _cells(table: Path) -> Iterator[str]:
    """Yield the cells of a list's column of paths, without the empty ones."""
    suffix = table.suffix.lower()
    try:
        rows = _READERS.get(suffix, _of_sheet)(table)
        first = next(rows, [])
        at, header = _column(table, first, named=suffix in (".parquet", *JSON_SUFFIXES))
    except (OSError, ValueError, csv.Error) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{table} cannot be read as a list of pictures: {reason_of(error)}.") from error
    rest = rows if header else itertools.chain([first], rows)
    return (row[at] for row in rest if len(row) > at and row[at])


def _column(table: Path, first: list[str], *, named: bool) -> tuple[int, bool]:
    """Return where the paths are, and whether the first line names the columns."""
    columns = {name: list[str]() for name in first}
    if found := find_all(columns, PATH_COLUMNS):
        return first.index(found[0]), True
    if len(first) <= 1 and not named:
        return 0, False  # a path a line
    raise DataError(f"{none_of(table, columns, 'path', PATH_COLUMNS[:6])}.")


def _of_text(table: Path) -> Iterator[list[str]]:
    with table.open("rb") as file:
        head = file.read(1 << 16)
    delimiter = max(",;\t", key=head.splitlines()[0].decode(errors="replace").count) if head.strip() else ","
    with table.open(encoding=_encoding(head), errors="surrogateescape", newline="") as text:
        reader = csv.reader(text, delimiter=delimiter, skipinitialspace=True)
        yield from ([cell.strip() for cell in row] for row in reader if any(row))


def _encoding(head: bytes) -> str:
    return "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


def _of_lines(table: Path) -> Iterator[list[str]]:
    """Yield the lines of plain text, each a path whatever it holds; unless the first one names columns."""
    with table.open("rb") as file:
        head = file.readline(1 << 16)
    text = head.decode(_encoding(head), errors="surrogateescape").strip()
    if find_all({cell: [] for cell in next(csv.reader(io.StringIO(text)), [])}, PATH_COLUMNS):
        yield from _of_text(table)
        return
    with table.open(encoding=_encoding(head), errors="surrogateescape") as file:
        yield from ([line.rstrip("\n")] for line in file if line.strip())


def _of_parquet(table: Path) -> Iterator[list[str]]:
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(table)
        yield (names := [str(name) for name in file.schema_arrow.names])
        (name, *_) = find_all({name: [] for name in names}, PATH_COLUMNS)
        for batch in file.iter_batches(columns=[name]):
            yield from ([""] * names.index(name) + [cell or ""] for cell in batch.column(0).to_pylist())
    except pyarrow.ArrowException as error:
        raise ValueError(reason_of(error)) from error


def _of_json(table: Path) -> Iterator[list[str]]:
    with table.open(encoding="utf-8") as file:
        rows = (json.loads(line) for line in file if line.strip())
        first: dict[str, object] = next(rows, {})
        yield list(first)
        yield from ([str(row.get(name) or "") for name in first] for row in itertools.chain([first], rows))


def _of_sheet(table: Path) -> Iterator[list[str]]:
    sheet = read_sheet(table)  # Excel's, which holds a million rows at most
    yield sheet.first
    yield from sheet.rows


_READERS: dict[str, Callable[[Path], Iterator[list[str]]]] = {
    ".csv": _of_text,
    ".tsv": _of_text,
    ".txt": _of_lines,
    ".parquet": _of_parquet,
    ".jsonl": _of_json,
    ".ndjson": _of_json,
}
