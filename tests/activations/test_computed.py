"""What follows from the same pictures is computed once; what a disk has changed is computed again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from regraft.activations.computed import Arrays, computed, fingerprint


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "computed"


class Sum:
    """Adds up numbers, and counts how often it was asked to."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self) -> Arrays:
        self.asked += 1
        return {"sum": np.array([6.0]), "names": np.array(["one", "zwölf"])}


def test_the_same_is_computed_once(cache: Path) -> None:
    work = Sum()
    first, second = (computed([__file__], {"of": [1, 2, 3]}, work) for _ in range(2))
    assert work.asked == 1
    assert first["sum"] == second["sum"] == 6
    assert second["names"].tolist() == ["one", "zwölf"]
    assert len(list(cache.iterdir())) == 1


def test_other_inputs_and_other_code_are_computed_anew(cache: Path, tmp_path: Path) -> None:
    work, code = Sum(), tmp_path / "code.py"
    code.write_text("first")
    computed([str(code)], {"of": 1}, work)
    computed([str(code)], {"of": 2}, work)
    code.write_text("second")
    computed([str(code)], {"of": 1}, work)
    assert work.asked == 3


@pytest.mark.parametrize("where", [0.0, 0.3, 0.5, 0.95])
def test_a_changed_byte_is_never_believed(cache: Path, where: float) -> None:
    work = Sum()
    computed([__file__], {}, work)
    (path,) = cache.iterdir()
    content = bytearray(path.read_bytes())
    content[int(where * len(content))] ^= 0xFF
    path.write_bytes(content)
    assert computed([__file__], {}, work)["sum"].tolist() == [6.0]


@pytest.mark.parametrize("left", [0, 1, 100])
def test_a_cut_file_is_computed_again_and_kept_whole(cache: Path, left: int) -> None:
    work = Sum()
    computed([__file__], {}, work)
    (path,) = cache.iterdir()
    path.write_bytes(path.read_bytes()[:left])
    for _ in range(2):
        computed([__file__], {}, work)
    assert work.asked == 2


def test_a_cache_that_cannot_be_written_to_costs_only_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "file"))
    work = Sum()
    assert [computed([__file__], {}, work)["sum"].tolist() for _ in range(2)] == [[6.0], [6.0]]
    assert work.asked == 2


@given(arrays(np.float32, array_shapes(max_dims=2, max_side=4)), st.data())
def test_a_fingerprint_tells_arrays_apart(array: np.ndarray, data: st.DataObject) -> None:
    assert fingerprint(array) == fingerprint(array.copy())
    assert fingerprint(array) != fingerprint(array[None])
    assert fingerprint(array) != fingerprint(array.astype(np.float64))
    at = data.draw(st.integers(0, array.size - 1))
    other = array.copy()
    other.view(np.uint32).ravel()[at] ^= 1
    assert fingerprint(array) != fingerprint(other)
