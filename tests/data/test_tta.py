"""The views that a picture is answered from: its symmetries first, the same for every picture."""

from __future__ import annotations

import numpy as np
import pytest

from regraft.data import Tta
from regraft.errors import ConfigError

PICTURE = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
EIGHT = {np.rot90(side, turns).tobytes() for side in (PICTURE, PICTURE[:, ::-1]) for turns in range(4)}


def views(count: int, *augment: str, pixels: np.ndarray = PICTURE) -> list[np.ndarray]:
    tta = Tta(count, augment)
    return [tta.view(pixels, number) for number in range(count)]


def as_set(pictures: list[np.ndarray]) -> set[bytes]:
    return {picture.tobytes() for picture in pictures}


def test_the_first_view_is_the_plain_picture() -> None:
    for augment in ((), ("turn", "flip"), ("crop",)):
        np.testing.assert_array_equal(views(1, *augment)[0], PICTURE)


@pytest.mark.parametrize(
    ("augment", "moves"),
    [
        ("flip", [PICTURE[:, ::-1]]),
        ("vflip", [PICTURE[::-1]]),
        ("flip,vflip", [PICTURE[:, ::-1], PICTURE[::-1], PICTURE[::-1, ::-1]]),
        ("turn", [np.rot90(PICTURE, turns) for turns in (1, 2, 3)]),
    ],
)
def test_they_are_what_the_augmentations_may_do_by_moving_pixels(augment: str, moves: list[np.ndarray]) -> None:
    found = views(len(moves) + 1, *augment.split(","))
    assert as_set(found) == as_set([PICTURE, *moves])
    assert Tta(100, tuple(augment.split(","))).different.views == len(found)


@pytest.mark.parametrize("augment", [("turn", "flip"), ("turn", "vflip"), ("flip", "vflip", "turn", "rotate")])
def test_a_picture_without_up_or_down_has_eight(augment: tuple[str, ...]) -> None:
    assert as_set(views(8, *augment)) == EIGHT


@pytest.mark.parametrize(("count", "turns"), [(2, 2), (4, 1), (8, 1)])
def test_a_turned_picture_has_the_same_views(count: int, turns: int) -> None:
    augment = ("flip", "vflip", "turn")
    assert as_set(views(count, *augment, pixels=np.rot90(PICTURE, turns))) == as_set(views(count, *augment))


def test_views_beyond_the_symmetries_are_drawn_and_the_same_each_time() -> None:
    first, again = views(6, "flip", "crop", "color"), views(6, "flip", "crop", "color")
    np.testing.assert_array_equal(first, again)
    assert len(as_set(first)) == 6
    assert {picture.shape for picture in first} == {PICTURE.shape}


def test_a_recipe_names_the_pixels_whatever_the_augmentations_are_called() -> None:
    one, other = Tta(8, ("turn", "flip")), Tta(9, ("flip", "vflip", "turn", "rotate"))
    assert [one.recipe(number) for number in range(8)] == [other.recipe(number) for number in range(8)]
    assert len({str(other.recipe(number)) for number in range(9)}) == 9


def test_where_there_are_fewer_different_views_that_is_said() -> None:
    tta = Tta(8, ("flip",)).different
    assert tta == Tta(2, ("flip",))
    assert "no more than 2" in tta.fewer(8)
    assert Tta(8).different.views == 1


@pytest.mark.parametrize("count", [0, 1001])
def test_no_view_and_too_many_are_refused(count: int) -> None:
    with pytest.raises(ConfigError, match=rf"tta is {count}; expected 1"):
        Tta(count)
