"""Write rows as lines, CSV, JSON or Parquet, to the terminal or to a file; print tables that a window has room for."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from regraft.errors import ConfigError, UnknownName
from regraft.utils import files
from regraft.utils.streams import one_line, printable, printable_json

Rows = Sequence[dict[str, Any]]

UNSURE = "unsure"  # what a table says where a picture has a probability and no label


def format_of(name: str, output: Path | None) -> str:
    """Return the format: the one named, else the one that the file's ending tells, else a table.

    Raises:
        UnknownName: there is no such format.
        ConfigError: Parquet, which is not text, without a file.
    """
    ending = output.suffix.lstrip(".").lower() if output else ""
    form = name or (ending if ending in FORMATS else "csv" if output else "table")
    if form not in FORMATS:
        raise UnknownName("format", form, FORMATS)
    if form == "parquet" and output is None:
        raise ConfigError("--format parquet is not text and needs a file: -o FILE.parquet")
    return form


def check_writable(output: Path | None) -> None:
    """Say before the work is done that its result could not be written.

    Raises:
        ConfigError: there is no such folder, it cannot be written to, or something that is no file is in the way.
    """
    if output is None:
        return
    if output.exists() and not output.is_file():  # a device, such as /dev/stdout, would be replaced by a file
        raise ConfigError(f"-o {output} is {'a folder' if output.is_dir() else 'no ordinary file'}. Expected a file.")
    if not output.parent.is_dir():
        raise ConfigError(f"-o {output}: there is no folder {output.parent}. Make it first, or name another file.")
    if reason := files.obstacle(output.parent):
        raise ConfigError(f"-o {output}: {reason}. Name a file in another folder.")


def write(rows: Rows, form: str, output: Path | None, about: Mapping[str, Any] | None = None) -> None:
    """Write the rows; a file appears whole or not at all. JSON has room for what is said `about` all of them."""
    content = _json(rows, about or {}) if form == "json" else FORMATS[form](rows)
    if output is None:
        text = content.decode()
        sys.stdout.write(printable(text) if sys.stdout.isatty() else text)
    else:
        files.write_bytes(output, content)


def _as_bytes(text: str) -> bytes:
    """Return UTF-8; bytes of a file name that are no UTF-8 become \\udc.., which JSON reads back as the same name."""
    return text.encode(errors="backslashreplace")


def _table(rows: Rows) -> bytes:
    lines = [f"{one_line(row['filename'])}: {one_line(_answer(row))}\n" for row in rows]
    return _as_bytes("".join(lines))


def _answer(row: dict[str, Any]) -> str:
    if row["error"]:
        return f"cannot be read: {row['error']}"
    return f"{UNSURE if row['label'] is None else row['label']} {row['prob']:.3f}"


def _csv(rows: Rows) -> bytes:
    text = io.StringIO(newline="")
    files.write_rows(text, list(rows[0]), (list(row.values()) for row in rows))
    return _as_bytes(text.getvalue())


def _json(rows: Rows, about: Mapping[str, Any]) -> bytes:
    return _as_bytes(printable_json(json.dumps({**about, "rows": list(rows)}, ensure_ascii=False)) + "\n")


def _parquet(rows: Rows) -> bytes:
    import pyarrow
    from pyarrow import parquet

    sink = pyarrow.BufferOutputStream()
    named = [{**row, "filename": _as_bytes(row["filename"]).decode()} for row in rows]
    parquet.write_table(pyarrow.Table.from_pylist(named), sink)
    return bytes(sink.getvalue())


FORMATS: dict[str, Callable[..., bytes]] = {"table": _table, "csv": _csv, "json": _json, "parquet": _parquet}


LEAST_TEXT = 16  # cells: a window too narrow for that breaks the lines itself


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], *, text: int = 0) -> None:
    """Print a table; where the window is narrow the column `text` is folded, and titles, but never a number."""
    from rich.box import SIMPLE_HEAD
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if title:
        console.print(printable(title), style="bold", markup=False, soft_wrap=True)
    rows = [[one_line(cell) for cell in row] for row in rows]
    columns = [[head, *cells] for head, *cells in zip(header, *rows, strict=True)]
    widths = [max(map(cell_len, cells)) for cells in columns]
    gap, edges = 3, 2  # as rich draws them
    narrow = sum(widths) + gap * (len(widths) - 1) + edges > console.width
    if narrow:
        gap, longest = 2, widths[text]
        widths = [max(map(cell_len, (*head.split(), *cells))) for head, *cells in columns]
        widths[text] = 0
        room = console.width - sum(widths) - gap * (len(widths) - 1) - edges
        widths[text] = min(longest, max(LEAST_TEXT, room))
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=narrow)
    for position, (head, width) in enumerate(zip(header, widths, strict=True)):
        left = position in (0, text)
        table.add_column(Text(fold(head, width)), justify="left" if left else "right", width=width, no_wrap=True)
    for row in rows:
        table.add_row(*(Text(fold(cell, width)) for cell, width in zip(row, widths, strict=True)))
    console.width = max(console.width, sum(widths) + gap * (len(widths) - 1) + edges)
    console.print(table)


def fold(text: str, width: int) -> str:
    """Break a text into lines of `width` cells at most (a Chinese character takes two): between words where it can."""
    from rich.cells import cell_len, chop_cells

    lines = [""]
    for word in re.findall(r"[^\s_/-]+[\s_/-]?|[\s_/-]", text):
        for piece in chop_cells(word, width) if cell_len(word.rstrip()) > width else [word]:
            if cell_len(lines[-1] + piece.rstrip()) > width:
                lines.append("")
            lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines)
