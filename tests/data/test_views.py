import numpy as np
import pytest

from regraft.data import augmentations, draw_view
from regraft.data.views import AUGMENTATIONS
from regraft.errors import UnknownName

rng = np.random.default_rng(0)
PICTURE = rng.integers(0, 256, (32, 32, 3), np.uint8)


def view(number, *augment, pixels=PICTURE, digest="a", seed=0):
    return draw_view(pixels, view=number, digest=digest, augment=augment, seed=seed)


def test_view_0_is_the_plain_picture():
    assert view(0, *AUGMENTATIONS) is PICTURE


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_every_augmentation_keeps_the_form_and_draws_the_same_again(name):
    for number in range(1, 5):
        drawn = view(number, name)
        assert drawn.shape == PICTURE.shape
        assert drawn.dtype == np.uint8
        np.testing.assert_array_equal(drawn, view(number, name))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_every_augmentation_changes_some_view(name):
    assert any((view(number, name) != PICTURE).any() for number in range(1, 9))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_white_picture_gets_no_black_corners(name):
    white = np.full((32, 32, 3), 255, np.uint8)
    for number in range(1, 20):
        assert view(number, name, pixels=white).min() >= 200  # color may darken by 20 %


def test_views_differ_by_number_picture_and_seed():
    plain = view(1, "rotate", "color")
    for other in (
        view(2, "rotate", "color"),
        view(1, "rotate", "color", digest="b"),
        view(1, "rotate", "color", seed=1),
    ):
        assert (other != plain).any()


def test_a_view_does_not_depend_on_what_was_drawn_before():
    in_order = [view(number, "crop", "flip") for number in (1, 2, 3)]
    backwards = [view(number, "crop", "flip") for number in (3, 2, 1)]
    np.testing.assert_array_equal(in_order, backwards[::-1])


def test_turns_and_flips_only_move_pixels():
    for name, moves in {
        "flip": [PICTURE, PICTURE[:, ::-1]],
        "vflip": [PICTURE, PICTURE[::-1]],
        "turn": [np.rot90(PICTURE, k) for k in range(4)],
    }.items():
        drawn = [view(number, name) for number in range(1, 40)]
        counts = [sum((picture == move).all() for picture in drawn) for move in moves]
        assert sum(counts) == len(drawn)
        assert min(counts) >= 3  # all of them occur


def test_a_misspelt_augmentation_is_told_even_for_the_plain_view():
    with pytest.raises(UnknownName, match="Did you mean flip"):
        view(0, "flipp")


def test_names_are_read_from_one_line():
    assert augmentations(" flip, turn,") == ("flip", "turn")
    assert augmentations("") == ()
    with pytest.raises(UnknownName, match="flap"):
        augmentations("flip,flap")
