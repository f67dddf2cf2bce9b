from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from regraft.data import LOOK_SIDE, read_thumbnails
from regraft.errors import BadImage


def test_a_look_is_the_stored_size_the_mode_and_a_small_grey_picture(tmp_path: Path) -> None:
    Image.new("RGB", (60, 20), (30, 60, 90)).save(tmp_path / "a.png")
    Image.new("L", (7, 9), 200).save(tmp_path / "b.png")
    first, second = read_thumbnails([tmp_path / "a.png", tmp_path / "b.png"])
    assert (first.width, first.height, first.mode) == (60, 20, "RGB")
    assert (second.width, second.height, second.mode) == (7, 9, "L")
    assert np.array_equal(first.grey, np.full((LOOK_SIDE, LOOK_SIDE), 60, np.uint8))
    assert np.array_equal(second.grey, np.full((LOOK_SIDE, LOOK_SIDE), 200, np.uint8))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(BadImage, match=r"text\.png cannot be read: not a picture"):
        read_thumbnails([tmp_path / "text.png"])
