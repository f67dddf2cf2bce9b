from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from regraft.data import THUMBNAIL_SIDE, read_thumbnails
from regraft.errors import BadImage


def test_a_look_is_the_stored_size_the_mode_and_a_small_grey_picture(tmp_path: Path) -> None:
    Image.new("RGB", (60, 20), (30, 60, 90)).save(tmp_path / "a.png")
    Image.new("L", (7, 9), 200).save(tmp_path / "b.png")
    first, second = read_thumbnails([tmp_path / "a.png", tmp_path / "b.png"])
    assert (first.width, first.height, first.mode) == (60, 20, "RGB")
    assert (second.width, second.height, second.mode) == (7, 9, "L")
    assert np.array_equal(first.grey, np.full((THUMBNAIL_SIDE, THUMBNAIL_SIDE), 60, np.uint8))
    assert np.array_equal(second.grey, np.full((THUMBNAIL_SIDE, THUMBNAIL_SIDE), 200, np.uint8))


def test_a_picture_of_one_colour_is_blank_however_it_is_written(tmp_path: Path) -> None:
    Image.new("RGBA", (90, 70), (30, 60, 90, 0)).save(tmp_path / "transparent.png")
    Image.new("RGB", (90, 70), (200, 10, 10)).save(tmp_path / "red.jpg")
    speckled = Image.new("L", (90, 70), 255)
    speckled.paste(0, (40, 40, 50, 50))
    speckled.save(tmp_path / "speckled.png")
    faint = Image.linear_gradient("L").point(lambda value: 100 + value // 16)
    faint.save(tmp_path / "faint.png")
    thumbnails = read_thumbnails(
        [tmp_path / name for name in ("transparent.png", "red.jpg", "speckled.png", "faint.png")]
    )
    assert [one.is_blank for one in thumbnails] == [True, True, False, False]


def test_a_picture_that_lies_on_its_side_has_the_shape_in_which_it_is_shown(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (60, 20)).save(tmp_path / "a.jpg", exif=exif)
    (one,) = read_thumbnails([tmp_path / "a.jpg"])
    assert (one.width, one.height, one.shape) == (60, 20, 20 / 60)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(BadImage, match=r"text\.png cannot be read: not a picture"):
        read_thumbnails([tmp_path / "text.png"])
