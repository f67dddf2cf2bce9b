"""Copies of a picture are found however they were made; pictures that only look alike are not called copies."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from regraft.audit.near_duplicates import ALIKE, clusters, near_duplicates
from regraft.data import Thumbnail, draw_cells, read_thumbnails

WAYS = {
    "resized": lambda image: image.resize((60, 60)),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "upside down": lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    "turned": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "brightened": lambda image: image.point(lambda value: min(255, int(1.1 * value))),
    "cropped": lambda image: image.crop((4, 4, image.width - 4, image.height - 4)),
    "cropped from a corner": lambda image: image.crop((0, 0, image.width - 8, image.height - 8)),
    "turned by 37 degrees": lambda image: image.rotate(37, Image.Resampling.BICUBIC),
    "turned, mirrored and darkened": lambda image: (
        image.rotate(205, Image.Resampling.BICUBIC)
        .transpose(Image.Transpose.FLIP_TOP_BOTTOM)
        .point(lambda value: int(0.8 * value))
    ),
    "squeezed": lambda image: image.resize((96, 64)),
}


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = draw_cells(tmp_path_factory.mktemp("twins") / "cells", per_class=60, size=96)
    return sorted(folder.rglob("*.png"))


def found_among(paths: list[Path], nearest: np.ndarray) -> list[tuple[int, int, float]]:
    return near_duplicates(read_thumbnails(paths), nearest)


def squares(greys: np.ndarray) -> list[tuple[int, int, float]]:
    everyone = np.tile(np.arange(len(greys)), (len(greys), 1))  # as if every picture had every other near it
    return near_duplicates([Thumbnail(64, 64, "L", grey) for grey in greys.astype(np.uint8)], everyone[:, :20])


ALIKE_BY_CHANCE = {(13, 52), (25, 38)}  # of 7,140 pairs of drawn ellipses, turned till they fit: as smooth, as long


def test_different_cells_are_no_copies(cells: list[Path]) -> None:
    everyone = np.tile(np.arange(len(cells)), (len(cells), 1))
    assert {pair[:2] for pair in found_among(cells, everyone[:, :10])} <= ALIKE_BY_CHANCE


@pytest.mark.parametrize("way", WAYS)
def test_a_copy_is_found_and_nothing_else(way: str, cells: list[Path], tmp_path: Path) -> None:
    copy = tmp_path / "copy.png"
    WAYS[way](Image.open(cells[7])).save(copy)
    nearest = np.zeros((len(cells) + 1, 1), np.int64)
    nearest[-1] = 7
    found = {pair[:2]: pair[2] for pair in found_among([*cells, copy], nearest)}
    assert found.keys() - ALIKE_BY_CHANCE == {(7, len(cells))}
    assert ALIKE <= found[7, len(cells)] <= 1


def test_a_turned_copy_needs_no_embedding(cells: list[Path], tmp_path: Path) -> None:
    copy = tmp_path / "copy.jpg"
    Image.open(cells[3]).rotate(141, Image.Resampling.BICUBIC).save(copy, quality=60)
    nowhere = np.zeros((len(cells) + 1, 1), np.int64)
    assert {pair[:2] for pair in found_among([*cells, copy], nowhere)} - ALIKE_BY_CHANCE == {(3, len(cells))}


def test_a_photograph_that_a_camera_held_upright_is_a_copy_of_the_turned_one(cells: list[Path], tmp_path: Path) -> None:
    tall = Image.open(cells[5]).crop((0, 10, 96, 82))
    exif = tall.getexif()
    exif[0x0112] = 6  # shown turned by a quarter
    tall.save(tmp_path / "stored.jpg", exif=exif, quality=95)
    tall.transpose(Image.Transpose.ROTATE_270).save(tmp_path / "shown.png")
    paths = [*cells, tmp_path / "stored.jpg", tmp_path / "shown.png"]
    pairs = {pair[:2] for pair in found_among(paths, np.zeros((len(paths), 1), np.int64))}
    assert (len(cells), len(cells) + 1) in pairs


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_few_pictures_are_no_error(count: int, cells: list[Path]) -> None:
    assert found_among(cells[:count], np.zeros((count, 1), np.int64)) == []


def test_plain_walls_in_different_light_are_no_copies() -> None:
    """Gradients of light, all alike in grey values: each correlates with the next by over 0.95 once it is turned."""
    rng, (y, x) = np.random.default_rng(0), np.mgrid[:64, :64] / 63 - 0.5
    walls = [
        rng.uniform(120, 200) + 80 * (x * np.cos(angle) + y * np.sin(angle)) + rng.normal(0, 2, (64, 64))
        for angle in rng.uniform(0, 2 * np.pi, 60)
    ]
    assert squares(np.stack(walls).clip(0, 255)) == []


@pytest.mark.parametrize("shade", [0, 90, 255])
@pytest.mark.parametrize("count", [5, 24, 60])
def test_blank_pictures_are_no_copies_and_raise_no_warning(count: int, shade: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert squares(np.full((count, 64, 64), shade)) == []


def test_blank_pictures_among_others_are_like_no_picture(cells: list[Path]) -> None:
    """Without what all pictures share, all blank ones are alike, whatever their colour."""
    shown = np.stack([look.grey for look in read_thumbnails(cells)])
    blank = [np.full((1, 64, 64), shade, np.uint8) for shade in (0, 90, 255)]
    assert {pair[:2] for pair in squares(np.concatenate([shown, *blank]))} <= ALIKE_BY_CHANCE


def wall_of_bricks(rng: np.random.Generator) -> np.ndarray:
    """Return bricks of one kind [64, 64], laid by hand: no two joints are quite as far apart as two others."""
    wall, top = np.full((64, 64), 90.0), -rng.integers(0, 14)
    while top < 64:
        wall[max(top, 0) : max(top + 3, 0)] = 190
        left = -rng.integers(0, 30)
        while left < 64:
            wall[max(top, 0) : max(top + 14, 0), max(left, 0) : max(left + 3, 0)] = 190
            left += 28 + rng.integers(0, 6)
        top += 14
    return wall + rng.normal(0, 2, wall.shape)


def test_walls_of_the_same_bricks_are_no_copies_but_a_turned_one_is(cells: list[Path]) -> None:
    """Each wall is like the others, and no two stand out."""
    shown = np.stack([look.grey for look in read_thumbnails(cells)])
    walls = np.stack([wall_of_bricks(rng) for rng in map(np.random.default_rng, range(20))]).clip(0, 255)
    turned = np.asarray(Image.fromarray(walls[4].astype(np.uint8)).rotate(50, Image.Resampling.BICUBIC))
    pairs = {pair[:2] for pair in squares(np.concatenate([shown, walls, turned[None]]))}
    assert pairs - ALIKE_BY_CHANCE == {(len(shown) + 4, len(shown) + len(walls))}


def test_what_has_another_colour_is_no_copy_but_a_grey_one_may_be(cells: list[Path], tmp_path: Path) -> None:
    red, green, blue = Image.open(cells[9]).convert("RGB").split()
    Image.merge("RGB", (green, blue, red)).save(tmp_path / "other.png")
    Image.open(cells[9]).convert("L").save(tmp_path / "grey.png")
    paths = [*cells, tmp_path / "other.png", tmp_path / "grey.png"]
    pairs = {pair[:2] for pair in found_among(paths, np.zeros((len(paths), 1), np.int64))}
    assert (9, len(cells)) not in pairs
    assert (9, len(cells) + 1) in pairs


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=20))
def test_clusters_are_what_pairs_connect(pairs: list[tuple[int, int]]) -> None:
    joined = {frozenset((one, other)) for one, other in pairs}
    graph = coo_array(([1] * len(pairs), tuple(np.array(pairs).reshape(-1, 2).T)), shape=(13, 13))
    count, label = connected_components(graph, directed=False)
    named = {at for pair in joined for at in pair}
    expected = [[at for at in range(13) if label[at] == each and at in named] for each in range(count)]
    assert sorted(clusters(pairs)) == sorted(members for members in expected if members)
