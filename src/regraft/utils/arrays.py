"""Rows, chunk by chunk, and the path beside each -> one .npz or .parquet file, in constant memory."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from regraft.errors import ConfigError
from regraft.utils import files

Chunks = Iterable[np.ndarray]
"""float32 ``[m, *shape]``, one after the other; each is written before the next one is asked for."""

Writer = Callable[[Path, Sequence[str], Chunks, tuple[int, ...]], None]


def writer_of(output: Path) -> Writer:
    """Return what writes files with that ending.

    Raises:
        ConfigError: names the endings there are.
    """
    if output.suffix.lower() not in WRITERS:
        raise ConfigError(f"-o {output}: the ending says what is written; expected {' or '.join(WRITERS)}.")
    return WRITERS[output.suffix.lower()]


def write(output: Path, paths: Sequence[str], chunks: Chunks, shape: tuple[int, ...]) -> None:
    """Write rows ``[len(paths), *shape]`` with their paths; the file appears whole or not at all."""
    writer = writer_of(output)
    with files.whole(output) as temporary:
        writer(temporary, paths, chunks, shape)


# ---- NumPy: what np.load reads --------------------------------------------------------------------------------------

PATHS_AT_ONCE = 4096


def _npz(file: Path, paths: Sequence[str], chunks: Chunks, shape: tuple[int, ...]) -> None:
    width = max(map(len, paths), default=1)
    parts = range(0, len(paths), PATHS_AT_ONCE)
    names = (np.array(paths[start : start + PATHS_AT_ONCE], f"<U{width}") for start in parts)
    with zipfile.ZipFile(file, "w") as archive:
        _entry(archive, "features", (len(paths), *shape), "<f4", chunks)
        _entry(archive, "paths", (len(paths),), f"<U{width}", names, zipfile.ZIP_DEFLATED)  # mostly zeros


def _entry(
    archive: zipfile.ZipFile, name: str, shape: tuple[int, ...], dtype: str, chunks: Chunks, packing: int = 0
) -> None:
    """Write one array as np.savez does, but never hold more than a chunk of it."""
    about = zipfile.ZipInfo(f"{name}.npy")  # dated 1980: equal rows give equal bytes
    about.compress_type = packing
    with archive.open(about, "w", force_zip64=True) as entry:
        np.lib.format.write_array_header_1_0(entry, {"descr": dtype, "fortran_order": False, "shape": shape})
        for chunk in chunks:
            entry.write(chunk.astype(dtype, copy=False).tobytes())


# ---- Parquet --------------------------------------------------------------------------------------------------------


def _parquet(file: Path, paths: Sequence[str], chunks: Chunks, shape: tuple[int, ...]) -> None:
    """One row group a chunk; a map is a flat list, and the file's own metadata holds its shape."""
    import pyarrow
    from pyarrow import parquet

    length = math.prod(shape)
    columns = [("path", pyarrow.string()), ("features", pyarrow.list_(pyarrow.float32(), length))]
    schema = pyarrow.schema(columns, metadata={"shape": json.dumps(list(shape))})
    rest = iter(paths)
    with parquet.ParquetWriter(file, schema, use_dictionary=False) as writer:  # no value comes twice
        for chunk in chunks:
            values = pyarrow.array(np.ascontiguousarray(chunk, np.float32).reshape(-1))
            rows = pyarrow.FixedSizeListArray.from_arrays(values, length)
            names = pyarrow.array(list(islice(rest, len(chunk))), pyarrow.string())
            writer.write_table(pyarrow.Table.from_arrays([names, rows], schema=schema))


WRITERS: dict[str, Writer] = {".npz": _npz, ".parquet": _parquet}
