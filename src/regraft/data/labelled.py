"""Labelled pictures in any form -> a folder or table on the disk: data frames, Arrow, Hugging Face, (pictures, labels).

What is in memory is written once, by its content, into the cache: a table, and the pictures that were no files. So a
run on it can go on, and its report can show the pictures, as if the user had brought a table.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
from PIL import Image

from regraft.data import in_memory
from regraft.data.pictures import Content, Pictures, each
from regraft.errors import ConfigError, DataMissing, NoImages
from regraft.utils import files

EXPECTED = (
    "a folder of class folders, a table (CSV, Excel, Parquet …), a pandas or polars DataFrame, an Arrow table, a "
    "Hugging Face dataset, or a tuple (pictures, labels) or (pictures, labels, groups)"
)
SAMPLE = 50  # cells that tell a column of files
INDEX = "__index_level_"  # what Arrow calls the index of a pandas table that has no name


class ArrowTable(Protocol):
    """What gives itself to Arrow: tables of pandas, polars, pyarrow, DuckDB."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return a capsule of Arrow's C stream."""


class PandasTable(Protocol):
    """A table of pandas, as far as type checkers are told of it."""

    def to_parquet(self, *arguments: Any, **keywords: Any) -> Any:
        """Write it."""


class HuggingFaceDataset(Protocol):
    """A `datasets.Dataset`, or a dictionary of them, one for each part."""

    def cast_column(self, column: str, feature: Any) -> Any:
        """Return it with a column read in another way."""


Told: TypeAlias = "tuple[Pictures, Sequence[object]] | tuple[Pictures, Sequence[object], Sequence[object]]"
"""Pictures, the label of each, and the patient or other source of each."""

Labelled: TypeAlias = "str | os.PathLike[str] | ArrowTable | PandasTable | HuggingFaceDataset | Told"
"""Pictures with their labels, in any form."""


def as_source(data: Labelled) -> Path:
    """Return the folder or table that holds the data, written now where they are in memory.

    Raises:
        DataMissing: there is no such folder or table.
        NoImages: a table without rows.
        ConfigError: what are no labelled pictures; an address in the web.
    """
    if isinstance(data, str | os.PathLike):
        return _existing(data)
    return _written(_rows(data))


def _existing(data: str | os.PathLike[str]) -> Path:
    text = os.fspath(data)
    if text.lower().startswith(("http://", "https://")):
        raise ConfigError(f"{text} is an address: Regraft fetches no data. Download it and give the folder or table.")
    path = files.named_path(text)
    if not path.exists():
        raise DataMissing(f"{path} does not exist. Expected a folder of class folders, or a table.")
    return path


# ---- what is in memory -> rows --------------------------------------------------------------------------------------

Row = dict[str, Any]


def _rows(data: object) -> Iterator[Row]:
    if isinstance(data, tuple) and len(data) in (2, 3):
        return _pairs(*data)
    if _is_of(data, "datasets"):
        return _of_datasets(data)
    if hasattr(data, "__arrow_c_stream__"):
        return _of_arrow(data)
    raise ConfigError(f"A {type(data).__name__} is no labelled data. Expected {EXPECTED}.")


def _is_of(data: object, library: str) -> bool:
    return any(kind.__module__.split(".")[0] == library for kind in type(data).__mro__)


def _pairs(pictures: Pictures, *told: Sequence[object]) -> Iterator[Row]:
    """Yield a row for each picture, with its label and, where they are given, its group."""
    found, columns = list(each(pictures)), dict(zip(("label", "group"), told, strict=False))
    given = {name: _one_each(name, values, len(found)) for name, values in columns.items()}
    return (dict(zip(("path", *given), row, strict=True)) for row in zip(found, *given.values(), strict=True))


def _one_each(name: str, values: Sequence[object], pictures: int) -> list[object]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ConfigError(f"The {name}s are a {type(values).__name__}. Expected a list, one for each picture.")
    given = list(values)
    if pictures != len(given):
        raise ConfigError(f"{pictures} pictures and {len(given)} {name}s. Expected one {name} for each picture.")
    return given


def _of_arrow(data: object) -> Iterator[Row]:
    import pyarrow

    if _is_of(data, "polars") and "Object" in map(str, getattr(data, "dtypes", ())):
        return _rows_of(data)  # Arrow would be told where the objects lie in memory, and not what they are
    try:
        table = pyarrow.table(data)
    except pyarrow.ArrowException as error:
        if _is_of(data, "pandas"):
            return _rows_of(data)
        raise ConfigError(
            f"This {type(data).__name__} cannot be read as a table: {' '.join(str(error).split())[:200]}. Expected "
            "columns of paths and labels; pictures in memory go as (pictures, labels)."
        ) from error
    table = table.select([name for name in table.column_names if not name.startswith(INDEX)])
    return (row for batch in table.to_batches() for row in batch.to_pylist())


def _rows_of(data: Any) -> Iterator[Row]:
    """Yield the rows of a data frame whose columns hold Python's own objects: paths, images, arrays."""
    rows: list[Row] = data.to_dicts() if hasattr(data, "to_dicts") else data.to_dict("records")
    return iter(rows)


def _of_datasets(data: Any) -> Iterator[Row]:
    """Yield the rows of a Hugging Face dataset; of a dictionary of them, each with its part."""
    if isinstance(data, Mapping):
        return ({**row, "split": part} for part, rows in data.items() for row in _of_datasets(rows))
    from datasets import ClassLabel, Image

    features = data.features
    for name in [name for name, feature in features.items() if isinstance(feature, Image)]:
        data = data.cast_column(name, Image(decode=False))
    classes = {name: feature.names for name, feature in features.items() if isinstance(feature, ClassLabel)}
    return ({name: _class_name(value, classes.get(name)) for name, value in row.items()} for row in data)


def _class_name(value: Any, names: Sequence[str] | None) -> Any:
    """Return a label by its name; -1 is how Hugging Face writes that there is none."""
    if names is None:
        return value
    return None if value is None or value < 0 else names[value]


# ---- rows -> a table, and the pictures beside it --------------------------------------------------------------------


def _written(rows: Iterator[Row]) -> Path:
    """Write a table into the cache, under a name that tells its content, and every picture that is no file yet."""
    folder, seen = in_memory.folder(), Counter[str]()
    table = [{name: _cell(value, folder / "pictures", seen) for name, value in row.items()} for row in rows]
    if not table:
        raise NoImages("These data have no rows: there is nothing to learn from.")
    columns = {name: _findable([row.get(name) for row in table]) for name in table[0]}
    digest = hashlib.sha256(json.dumps(columns, default=str).encode()).hexdigest()
    path = in_memory.kept(digest)
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        files.write_bytes(path, _parquet(columns))
    return path


def _cell(value: Any, folder: Path, seen: Counter[str]) -> Any:
    """Return what a cell of the table says: a picture in it is saved and becomes its path."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping) and "bytes" in value:  # as Hugging Face keeps a picture
        value = value.get("path") if value["bytes"] is None else value["bytes"]
    if isinstance(value, bytes | Image.Image) or (isinstance(value, np.ndarray) and value.ndim > 1):
        (value,) = each(value)
    if isinstance(value, float) and value != value:  # how pandas writes that there is nothing
        return None
    return str(_saved(value, folder, seen)) if isinstance(value, Content) else value


def _saved(picture: Content, folder: Path, seen: Counter[str]) -> Path:
    """Save a picture under its digest; what comes twice is two files, since the rows may say different things of it."""
    digest = hashlib.sha256(picture.data).hexdigest()
    seen[digest] += 1
    again = f"-{seen[digest]}" if seen[digest] > 1 else ""
    path = folder / digest[:2] / f"{digest}{again}"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_bytes(path, picture.data)
    return path.absolute()


def _findable(cells: list[Any]) -> list[Any]:
    """Return a column of files with whole paths: a data frame's are meant from where the user is."""
    some = [cell for cell in cells if isinstance(cell, str)][:SAMPLE]
    if 2 * sum(Path(cell).is_file() for cell in some if len(cell) < 1000) <= len(some):
        return cells
    return [os.path.abspath(cell) if isinstance(cell, str) else cell for cell in cells]  # noqa: PTH100  keeps links


def _parquet(columns: Mapping[str, Sequence[Any]]) -> bytes:
    import pyarrow
    from pyarrow import parquet

    sink = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.table({name: _column(cells) for name, cells in columns.items()}), sink)
    return bytes(sink.getvalue())


def _column(cells: Sequence[Any]) -> Any:
    import pyarrow

    try:
        return pyarrow.array(cells)
    except (pyarrow.ArrowException, TypeError):  # of several kinds
        return pyarrow.array([None if cell is None else str(cell) for cell in cells])
