from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from regraft.data import LOOK_SIDE, dark, read_looks
from regraft.errors import BadImage


def test_a_look_is_the_stored_size_the_mode_and_a_small_grey_picture(tmp_path: Path) -> None:
    Image.new("RGB", (60, 20), (30, 60, 90)).save(tmp_path / "a.png")
    Image.new("L", (7, 9), 200).save(tmp_path / "b.png")
    first, second = read_looks([tmp_path / "a.png", tmp_path / "b.png"])
    assert (first.width, first.height, first.mode) == (60, 20, "RGB")
    assert (second.width, second.height, second.mode) == (7, 9, "L")
    assert np.array_equal(first.grey, np.full((LOOK_SIDE, LOOK_SIDE), 60, np.uint8))
    assert np.array_equal(second.grey, np.full((LOOK_SIDE, LOOK_SIDE), 200, np.uint8))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(BadImage, match=r"text\.png cannot be read: not a picture"):
        read_looks([tmp_path / "text.png"])


def deep(path: Path, largest: int) -> Path:
    """Write a grey picture of 16 bits."""
    Image.fromarray(np.linspace(0, largest, 64).astype(np.uint16).reshape(8, 8)).save(path)
    return path


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize(("largest", "bits"), [(1023, 10), (4095, 12), (2048, 12), (16383, 14)])
def test_pictures_of_16_bits_that_use_few_of_them_are_told(
    tmp_path: Path, suffix: str, largest: int, bits: int
) -> None:
    Image.new("L", (8, 8), 20).save(tmp_path / "dim.png")
    paths = [tmp_path / "dim.png", *(deep(tmp_path / f"{n}.{suffix}", largest // (n + 1)) for n in range(3))]
    (said,) = dark(paths)
    assert said.startswith(f"3 of 4 pictures looked at have 16 bits and use the lowest {bits} alone")
    assert said.endswith(f"every value times {2 ** (16 - bits)}.")


def test_one_bright_picture_of_16_bits_shows_that_the_others_are_meant_dark(tmp_path: Path) -> None:
    assert dark([deep(tmp_path / "a.png", 4095), deep(tmp_path / "b.png", 60000)]) == []


def test_pictures_of_8_bits_black_ones_and_unreadable_ones_are_not_called_dark(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), (1, 2, 3)).save(tmp_path / "rgb.png")
    Image.fromarray(np.full((8, 8), 0.01, np.float32)).save(tmp_path / "real.tif")
    (tmp_path / "text.png").write_text("no picture")
    names = ("rgb.png", "real.tif", "text.png", "nowhere.png")
    assert dark([*(tmp_path / name for name in names), deep(tmp_path / "black.png", 0)]) == []
    assert dark([]) == []
