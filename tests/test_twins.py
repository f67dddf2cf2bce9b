"""Copies of a picture are found however they were made; pictures that only look alike are not called copies."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from regraft.data import draw_cells, read_looks
from regraft.twins import ALIKE, near_duplicates

WAYS = {
    "resized": lambda image: image.resize((60, 60)),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "upside down": lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    "turned": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "brightened": lambda image: image.point(lambda value: min(255, int(1.1 * value))),
    "cropped": lambda image: image.crop((4, 4, image.width - 4, image.height - 4)),
}


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = draw_cells(tmp_path_factory.mktemp("twins") / "cells", per_class=60, size=96)
    return sorted(folder.rglob("*.png"))


def greys(paths: list[Path]) -> np.ndarray:
    return np.stack([look.grey for look in read_looks(paths)])


def test_different_cells_are_no_copies(cells: list[Path]) -> None:
    everyone = np.tile(np.arange(len(cells)), (len(cells), 1))  # as if every picture had every other near it
    assert near_duplicates(greys(cells), everyone[:, :40]) == []


@pytest.mark.parametrize("way", WAYS)
def test_a_copy_is_found_and_nothing_else(way: str, cells: list[Path], tmp_path: Path) -> None:
    copy = tmp_path / "copy.png"
    WAYS[way](Image.open(cells[7])).save(copy)
    nearest = np.zeros((len(cells) + 1, 1), np.int64)
    nearest[-1] = 7
    found = near_duplicates(greys([*cells, copy]), nearest)
    assert [pair[:2] for pair in found] == [(7, len(cells))]
    assert ALIKE <= found[0][2] <= 1


def test_a_copy_that_is_not_cropped_needs_no_embedding(cells: list[Path], tmp_path: Path) -> None:
    copy = tmp_path / "copy.jpg"
    Image.open(cells[3]).transpose(Image.Transpose.ROTATE_180).save(copy, quality=60)
    nowhere = np.zeros((len(cells) + 1, 1), np.int64)
    assert [pair[:2] for pair in near_duplicates(greys([*cells, copy]), nowhere)] == [(3, len(cells))]


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_few_pictures_are_no_error(count: int, cells: list[Path]) -> None:
    few = greys(cells[:5])[:count]
    assert near_duplicates(few, np.zeros((count, 1), np.int64)) == []


def test_blank_pictures_among_others_are_like_no_picture(cells: list[Path]) -> None:
    """Without what all pictures share, all blank ones are alike, whatever their colour."""
    blank = [np.full((1, *greys(cells[:1]).shape[1:]), shade, np.uint8) for shade in (0, 90, 255)]
    pictures = np.concatenate([greys(cells[:24]), *blank])
    everywhere = np.tile(np.arange(len(pictures)), (len(pictures), 1))
    assert all(max(one, other) < 24 for one, other, _ in near_duplicates(pictures, everywhere))


@pytest.mark.parametrize("count", [5, 30])
def test_blank_pictures_are_no_copies_and_raise_no_warning(count: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert near_duplicates(np.full((count, 32, 32), 7, np.uint8), np.zeros((count, 1), np.int64)) == []
