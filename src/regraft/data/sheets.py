"""Read a CSV, TSV, Excel, JSON-lines or Parquet file -> lines of text cells, however it was saved."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from regraft.data.rows import name_some
from regraft.errors import DataError, MissingExtra, reason_of

TEXT_SUFFIXES = (".csv", ".tsv", ".txt")
EXCEL_SUFFIXES = (".xlsx", ".xlsm")
JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
TABLE_SUFFIXES = (*TEXT_SUFFIXES, *EXCEL_SUFFIXES, *JSON_SUFFIXES, ".parquet")
SURE_SUFFIXES = tuple(suffix for suffix in TABLE_SUFFIXES if suffix not in (".txt", ".json"))
"""Of what is a table wherever it lies: notes and descriptions of the data are .txt and .json."""
DELIMITERS = ",;\t|"
SAMPLE = 100  # lines that tell the delimiter


class Sheet(NamedTuple):
    """The cells of a file as text. `first` is its first line, which names the columns or is a row already."""

    first: list[str]
    rows: list[list[str]]
    notices: list[str]
    names_columns: bool = False  # the kind of file has names for its columns: `first` is never a row


def read_sheet(table: Path) -> Sheet:
    """Return the cells of a table.

    Raises:
        DataError: it cannot be read as its suffix says.
        MissingExtra: an Excel file, and openpyxl is not installed.
    """
    kind, expected = _KINDS[table.suffix.lower()]
    try:
        return kind(table)
    except MissingExtra:
        raise
    except Exception as error:  # a stranger's file may break a parser in any way
        reason = " ".join(reason_of(error).split()) or type(error).__name__
        raise DataError(f"{table} cannot be read as a table: {reason}. Expected {expected}.") from error


# ---- text -----------------------------------------------------------------------------------------------------------


def _read_text(table: Path) -> Sheet:
    text, notice = _decoded(table.read_bytes())
    lines = _lines(*_body(text))
    if not lines:
        return Sheet([], [], [])
    width = max(len(lines[0]), 1)
    lines = [line[:width] if not any(line[width:]) else line for line in lines]  # commas behind the last cell
    if odd := next((line for line in lines if len(line) != width), None):
        raise ValueError(f"{width} columns, but {len(odd)} cells in the row that starts with {odd[0]!r}")
    return Sheet(lines[0], lines[1:], [f"{table} {notice}"] if notice else [])


def _body(text: str) -> tuple[str, str]:
    """Return the table below what may stand above it (comments, Excel's ``sep=;``), and its delimiter."""
    if told := re.match(r'"?sep=(.)"?[^\S\t]*\s', text, re.IGNORECASE):
        return text[told.end() :], told[1]
    comments = re.match(r"(?:[ \t]*#[^\r\n]*[\r\n]+)*", text)
    end = comments.end() if comments else 0
    delimiter = _delimiter(text[end:])
    last, first = ("".join(lines) for lines in (text[:end].splitlines()[-1:], text[end:].splitlines()[:1]))
    if _widths(last, delimiter) == _widths(first, delimiter) != {1}:
        return f"{last}\n{text[end:]}", delimiter  # of `#path,label` the # is no comment
    return text[end:], delimiter


def _decoded(raw: bytes) -> tuple[str, str]:
    """Return the text, and what should be said of its encoding."""
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            return raw.decode(encoding), ""
    if b"\0" in raw[:1000]:  # UTF-16 without its mark has a zero in every other byte of plain letters
        little = raw[1:1000:2].count(0) > raw[:1000:2].count(0)
        return raw.decode("utf-16-le" if little else "utf-16-be"), ""
    try:
        return raw.decode("utf-8"), ""
    except UnicodeDecodeError:
        text = raw.decode("cp1252", errors="replace")
    if re.search(r"[\0-\x08\x0e-\x1f]", text):
        raise ValueError("it is no text")
    odd = re.search(r"[^,;|\t\r\n]*[^\x00-\x7f][^,;|\t\r\n]*", text)
    assert odd is not None, "pure ASCII is UTF-8"
    if _NOT_WESTERN.search(raw):
        said = "it is not in UTF-8, and as Windows-1252 (Latin-1) it would hold"
        raise ValueError(f"{said} {odd[0].strip()!r}; save it as UTF-8 (in Excel: CSV UTF-8)")
    return text, f"is not in UTF-8 and is read as Windows-1252 (Latin-1): {odd[0].strip()!r}."


_NOT_WESTERN = re.compile(
    rb"[\x81-\x83\x86-\x8b\x8d-\x90\x98\x9a\x9b\x9d-\x9f]|\x94[A-Za-z]|[\xa1-\xbf]{2}|[\xa0-\xff]{3}"
)
"""Bytes to which Windows-1252 gives no letter of Western Europe, two signs in a row, or three accented letters.

Letters of macOS, of Japanese, Chinese and Cyrillic encodings are such bytes.
"""
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins as the mark of UTF-16 does, so it comes first
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def _delimiter(text: str) -> str:
    """Return what cuts every line into the same number of cells, two at least: the one that gives most of them.

    csv.Sniffer takes letters for delimiters and fails where one column is free text.
    """
    widths = {mark: _widths(text, mark) for mark in DELIMITERS}
    even = [mark for mark, found in widths.items() if len(found) == 1 and max(found) > 1]
    if even:
        return max(even, key=lambda mark: max(widths[mark]))
    header = next(iter(text.splitlines()), "")
    if any(mark in header for mark in DELIMITERS):
        return max(DELIMITERS, key=header.count)
    return " " if len(_widths(text, " ")) == 1 else ","


def _widths(text: str, delimiter: str) -> set[int]:
    try:
        return {len(line) for line in itertools.islice(_reader(text, delimiter), SAMPLE) if any(line)}
    except csv.Error:
        return set()


def _lines(text: str, delimiter: str) -> list[list[str]]:
    stripped = ([cell.strip() for cell in line] for line in _reader(text, delimiter))
    return [line for line in stripped if any(line)]


def _reader(text: str, delimiter: str) -> Iterable[list[str]]:
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)


# ---- other files ----------------------------------------------------------------------------------------------------


def _read_excel(table: Path) -> Sheet:
    try:
        from openpyxl import load_workbook
    except ImportError as error:
        raise MissingExtra("openpyxl", "excel", f"Reading {table.name}") from error
    book = load_workbook(table, read_only=True, data_only=True)
    try:
        sheets = {sheet.title: _filled(sheet.iter_rows(values_only=True)) for sheet in book.worksheets}
    finally:
        book.close()
    title, lines = next(((title, lines) for title, lines in sheets.items() if lines), ("", []))
    if not lines:
        return Sheet([], [], [])
    width = max(map(len, lines))
    first, *rows = [[*line, *[""] * (width - len(line))] for line in lines]
    others = [other for other, lines in sheets.items() if lines and other != title]
    notice = f"{table} has {len(others) + 1} sheets; the first, {title!r}, is read. For another "
    notice += "one, move it to the front, or save it as CSV."
    return Sheet(first, rows, [notice] if others else [])


def _filled(lines: Iterable[Sequence[Any]]) -> list[list[str]]:
    texts = ([_text(cell) for cell in line] for line in lines)
    return [line for line in texts if any(line)]


def _read_json(table: Path) -> Sheet:
    text, _ = _decoded(table.read_bytes())
    if table.suffix.lower() == ".json":
        records = json.loads(text)
    else:
        records = [json.loads(line) for line in text.splitlines() if line.strip()]
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise ValueError("it holds no list of rows")
    names = list(dict.fromkeys(name for record in records for name in record))
    return Sheet(names, [[_text(record.get(name)) for name in names] for record in records], [], names_columns=True)


def _read_parquet(table: Path) -> Sheet:
    import pyarrow.parquet
    from pyarrow import types

    file = pyarrow.parquet.ParquetFile(table)
    held = [field.name for field in file.schema_arrow if types.is_struct(field.type) or types.is_binary(field.type)]
    names = [name for name in file.schema_arrow.names if name not in held]
    columns = file.read(columns=names).to_pydict()
    rows = [[_text(cell) for cell in row] for row in zip(*columns.values(), strict=True)]
    notice = f"Left out of {table}: {name_some(map(repr, held))}. Pictures inside a table are not read; expected paths."
    return Sheet([str(name).strip() for name in names], rows, [notice] if held else [], names_columns=True)


def _text(cell: Any) -> str:
    """Return a cell as it would be written: 3 for 3.0, since spreadsheets know no whole numbers."""
    if isinstance(cell, float):
        return "" if cell != cell else str(int(cell)) if cell.is_integer() else str(cell)
    return "" if cell is None else str(cell).strip()


_KINDS = {
    **dict.fromkeys(TEXT_SUFFIXES, (_read_text, "a CSV, a row a line")),
    **dict.fromkeys(EXCEL_SUFFIXES, (_read_excel, "an Excel file (.xlsx)")),
    ".json": (_read_json, "a list of rows, each an object"),
    **dict.fromkeys((".jsonl", ".ndjson"), (_read_json, "a JSON object a line")),
    ".parquet": (_read_parquet, "a Parquet file"),
}
