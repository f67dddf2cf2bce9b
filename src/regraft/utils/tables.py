"""Rows -> lines, CSV, JSON, Parquet, HTML, pandas; print tables that a window has room for."""

from __future__ import annotations

import base64
import html
import io
import itertools
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from regraft.errors import ConfigError, MissingExtra, UnknownName
from regraft.utils import files
from regraft.utils.streams import one_line, printable, printable_json

if TYPE_CHECKING:
    import pandas
    import pyarrow

Row = Mapping[str, Any]
Rows = Sequence[Row]

ROWS_AT_ONCE = 10_000  # of a Parquet file: a row group
UNSURE = "unsure"  # what a table says where a picture has a probability and no label


def format_of(name: str, output: Path | None) -> str:
    """Return the format: the one named, else the one that the file's ending tells, else a table.

    Raises:
        UnknownName: there is no such format.
        ConfigError: Parquet, which is not text, without a file; a file's ending that tells another format.
    """
    ending = output.suffix.lstrip(".").lower() if output else ""
    if ending and not name and ending not in FORMATS:
        known = ", ".join(f".{form}" for form in FORMATS if form != "table")
        raise ConfigError(
            f"-o {output}: the ending says what is written; expected one of {known}, or --format beside it."
        )
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


def write(rows: Rows, form: str, about: Mapping[str, Any] | None = None) -> None:
    """Print rows. JSON has room for what is said `about` all of them."""
    content = io.BytesIO()
    write_to(content, form, rows, about)
    text = content.getvalue().decode()
    sys.stdout.write(printable(text) if sys.stdout.isatty() else text)


def write_to(file: IO[bytes], form: str, rows: Iterable[Row], about: Mapping[str, Any] | None = None) -> None:
    """Write rows into a file as they come, never all of them in memory; there is one at least."""
    FORMATS[form](file, iter(rows), about or {})


def _as_bytes(text: str) -> bytes:
    """Return UTF-8; bytes of a file name that are no UTF-8 become \\udc.., which JSON reads back as the same name."""
    return text.encode(errors="backslashreplace")


def _table(file: IO[bytes], rows: Iterator[Row], _: Row) -> None:
    for row in rows:
        file.write(_as_bytes(f"{one_line(row['filename'])}: {one_line(_answer(row))}\n"))


def _answer(row: Row) -> str:
    if row["error"]:
        return f"cannot be read: {row['error']}"
    return f"{UNSURE if row['label'] is None else row['label']} {row['prob']:.3f}"


def _csv(file: IO[bytes], rows: Iterator[Row], _: Row) -> None:
    text = io.TextIOWrapper(file, "utf-8", errors="backslashreplace", newline="", write_through=True)
    first = next(rows)
    files.write_rows(text, list(first), (list(row.values()) for row in itertools.chain([first], rows)))
    text.detach()


def _json(file: IO[bytes], rows: Iterator[Row], about: Row) -> None:
    """Write one object, the rows behind what is said about them."""
    said = "".join(f"{json.dumps(name)}: {_dumped(value)}, " for name, value in about.items())
    file.write(_as_bytes(f'{{{said}"rows": ['))
    for number, row in enumerate(rows):
        file.write(_as_bytes(f"{', ' if number else ''}{_dumped(row)}"))
    file.write(b"]}\n")


def _jsonl(file: IO[bytes], rows: Iterator[Row], _: Row) -> None:
    for row in rows:
        file.write(_as_bytes(f"{_dumped(row)}\n"))


def _dumped(value: object) -> str:
    return printable_json(json.dumps(value, ensure_ascii=False))


def _parquet(file: IO[bytes], rows: Iterator[Row], _: Row) -> None:
    import pyarrow
    from pyarrow import parquet

    first = next(rows)
    schema = pyarrow.schema([(name, _arrow_type(name)) for name in first])
    coming = itertools.chain([first], rows)
    with parquet.ParquetWriter(file, schema) as writer:
        while some := list(itertools.islice(coming, ROWS_AT_ONCE)):
            writer.write_table(to_arrow(some, schema))


def _arrow_type(column: str) -> str:
    """Return the type of a column of predictions, whose cells may all be empty."""
    return {"rank": "int64", "index": "int64", "prob": "float64"}.get(
        column, "float64" if column.startswith("prob_") else "string"
    )


def to_arrow(rows: Rows, schema: pyarrow.Schema | None = None) -> pyarrow.Table:
    """Return rows as an Arrow table; bytes of a file name that are no text are told as \\udc.., which Arrow takes."""
    import pyarrow

    named = [
        {**row, "filename": _as_bytes(row["filename"]).decode()} if "filename" in row else dict(row) for row in rows
    ]
    return pyarrow.Table.from_pylist(named, schema)


def to_pandas(rows: Rows, what: str, columns: list[str] | None = None) -> pandas.DataFrame:
    """Return rows as a pandas table; `what` is said to need it. `columns` are there also where no row is.

    Raises:
        MissingExtra: pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise MissingExtra("pandas", "pandas", what) from error
    table: pandas.DataFrame = pandas.DataFrame([dict(row) for row in rows], columns=columns)
    return table


MOST_SHOWN = 20  # rows that a notebook shows


def as_html(rows: Rows, *, title: str = "", of: int | None = None) -> str:
    """Return the first rows as a table for a notebook, below a title, and how many there are `of` them in all."""
    shown, total = rows[:MOST_SHOWN], len(rows) if of is None else of
    if not shown:
        return "<p>no rows</p>"
    above = f"<p>{html.escape(printable(_cell(title)))}</p>" if title else ""
    head = _html_line("th", shown[0])
    body = "".join(_html_line("td", map(_cell, row.values())) for row in shown)
    more = f"<p>… {total - len(shown)} more rows</p>" if total > len(shown) else ""
    return f"{above}<table><thead>{head}</thead><tbody>{body}</tbody></table>{more}"


def _html_line(tag: str, cells: Iterable[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{html.escape(printable(cell))}</{tag}>' for cell in cells)}</tr>"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "–" if value != value else f"{value:.3f}"
    return "" if value is None else _as_bytes(str(value)).decode()


def image_html(path: Path) -> str:
    """Return a PNG within the page, if it is still there."""
    if not path.is_file():
        return ""
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<img alt="{html.escape(printable(_cell(path.name)))}" src="data:image/png;base64,{data}">'


FORMATS: dict[str, Callable[[IO[bytes], Iterator[Row], Row], None]] = {
    "table": _table,
    "csv": _csv,
    "json": _json,
    "jsonl": _jsonl,
    "parquet": _parquet,
}


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
