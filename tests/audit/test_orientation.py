"""Turned pictures that are predicted as well as upright ones have no up and down; what cannot be told is not told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from regraft.audit.orientation import Orientation, orientation, orientation_in, to_turn, write_orientation
from regraft.errors import RunError

rng = np.random.default_rng(0)


def right(share: float, pictures: int = 200) -> np.ndarray:
    """Hits, the first ones."""
    return np.arange(pictures) < round(share * pictures)


def test_pictures_that_are_predicted_the_same_have_no_up_or_down() -> None:
    assert orientation(right(0.95), right(0.95), 2) == Orientation(200, 0.95, 0.95)
    assert orientation(right(0.95), right(1.0), 2) is not None


@pytest.mark.parametrize("turned", [0.85, 0.5, 0.05])
def test_pictures_that_lose_a_tenth_or_more_have(turned: float) -> None:
    assert orientation(right(0.95), right(turned), 2) is None


def test_mistakes_in_other_places_are_allowed_for_only_where_they_are_few() -> None:
    """A model of 98 % that turning costs nothing, but makes wrong elsewhere; one of 70 % may hide a loss so."""
    assert orientation(right(0.98), right(0.98)[::-1], 2) is not None
    assert orientation(right(0.7), right(0.7)[::-1], 2) is None


def test_a_model_that_knows_nothing_has_nothing_to_lose_and_shows_nothing() -> None:
    assert orientation(right(0.5), right(0.5), 2) is None
    assert orientation(right(0.52), right(0.51), 2) is None


@pytest.mark.parametrize(("counts", "each"), [((90, 90), 90), ((500, 60), 60), ((500, 500), 100), ((500, 49), 0)])
def test_as_many_of_each_class_are_turned_or_none(counts: tuple[int, int], each: int) -> None:
    labels = rng.permutation(np.repeat([0, 1], counts))
    chosen = to_turn(labels, 2)
    assert np.bincount(labels[chosen], minlength=2).tolist() == [each, each]
    assert len(set(chosen)) == len(chosen)


def test_a_class_without_a_picture_means_none() -> None:
    assert to_turn(np.zeros(500, np.int64), 2) == []
    assert to_turn(np.zeros(0, np.int64), 2) == []
    assert len(to_turn(np.arange(150), 150)) == 150
    assert to_turn(np.arange(300), 300) == []


def test_it_is_read_back_and_a_damaged_file_is_named(tmp_path: Path) -> None:
    assert orientation_in(tmp_path) is None
    found = Orientation(200, 0.95, 0.94)
    write_orientation(found, tmp_path)
    assert orientation_in(tmp_path) == found
    (tmp_path / "orientation.json").write_text("{")
    with pytest.raises(RunError, match=r"orientation\.json"):
        orientation_in(tmp_path)
