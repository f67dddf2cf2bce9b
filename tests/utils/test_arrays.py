"""Rows and paths come back from both kinds of file as they went in, and never lie in memory all at once."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from regraft.errors import ConfigError, NotWritten
from regraft.utils import arrays

NAMES = ["a/2.png", "a/10.png", "größer/ü 3.png", "b.png", "c.png"]


def chunks_of(rows: np.ndarray, size: int = 2) -> Iterator[np.ndarray]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


@pytest.mark.parametrize("shape", [(3,), (2, 3, 4)], ids=["vectors", "maps"])
def test_both_kinds_hold_the_same_rows_and_paths(tmp_path: Path, shape: tuple[int, ...]) -> None:
    rows = np.random.default_rng(0).normal(size=(5, *shape)).astype(np.float32)
    for ending in ("npz", "parquet"):
        arrays.write(tmp_path / f"rows.{ending}", NAMES, chunks_of(rows), shape)
    with np.load(tmp_path / "rows.npz") as found:  # no pickle
        assert sorted(found.files) == ["features", "paths"]
        assert found["paths"].tolist() == NAMES
        np.testing.assert_array_equal(found["features"], rows)
    table = parquet.read_table(tmp_path / "rows.parquet")
    assert table.column_names == ["path", "features"]
    assert table["path"].to_pylist() == NAMES
    np.testing.assert_array_equal(np.array(table["features"].to_pylist(), np.float32).reshape(5, *shape), rows)
    assert table.schema.metadata[b"shape"].decode() == str(list(shape))


def test_more_paths_than_are_written_at_once_keep_their_order(tmp_path: Path) -> None:
    names = [f"{number}.png" for number in range(2 * arrays.PATHS_AT_ONCE + 5)]
    arrays.write(tmp_path / "rows.npz", names, [np.zeros((len(names), 1), np.float32)], (1,))
    assert np.load(tmp_path / "rows.npz")["paths"].tolist() == names


def test_equal_rows_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("first.npz", "second.npz"):
        arrays.write(tmp_path / name, NAMES, [np.ones((5, 3), np.float32)], (3,))
    assert (tmp_path / "first.npz").read_bytes() == (tmp_path / "second.npz").read_bytes()


@pytest.mark.parametrize("ending", ["npz", "parquet"])
def test_a_file_of_any_length_is_written_in_constant_memory(tmp_path: Path, ending: str) -> None:
    """64 MB in chunks of 1 MB: no more than a few chunks are ever in memory (as far as Python and NumPy know)."""
    chunks = (np.full((256, 1024), number, np.float32) for number in range(64))
    arrays.write(
        tmp_path / f"warm.{ending}", ["x"], [np.zeros((1, 1024), np.float32)], (1024,)
    )  # what is imported once
    tracemalloc.start()
    arrays.write(tmp_path / f"rows.{ending}", [""] * 256 * 64, chunks, (1024,))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8e6


@pytest.mark.parametrize("ending", ["npz", "parquet"])
def test_rows_that_end_early_leave_no_file(tmp_path: Path, ending: str) -> None:
    def stopped() -> Iterator[np.ndarray]:
        yield np.zeros((2, 3), np.float32)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        arrays.write(tmp_path / f"rows.{ending}", NAMES, stopped(), (3,))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["rows.csv", "rows", "rows.npz.gz"])
def test_another_ending_is_refused_and_names_the_two(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"expected \.npz or \.parquet"):
        arrays.write(tmp_path / name, NAMES, [], (3,))
    assert arrays.writer_of(Path("ROWS.NPZ")) is arrays.writer_of(Path("rows.npz"))


@pytest.mark.parametrize("ending", [".npz", ".parquet"])
def test_a_full_disk_names_the_file_and_leaves_nothing(tiny_disk: Path, ending: str) -> None:
    output = tiny_disk / f"rows{ending}"
    with pytest.raises(NotWritten, match=f"^{output} could not be written: No space left on device. Make room there"):
        arrays.write(output, ["a.png"], iter([np.random.default_rng(0).random((1, 100_000), np.float32)]), (100_000,))
    assert not list(tiny_disk.iterdir())
