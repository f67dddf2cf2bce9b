"""A model's answers survive the disk, one by one and joined."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from regraft.errors import RunError
from regraft.metrics.predictions import PREDICTIONS, Predicted


def test_answers_survive_the_disk_and_folds_are_joined(tmp_path: Path) -> None:
    first = Predicted(np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([0, 0]), ["p1", "p2"])
    both = Predicted.together([first, Predicted(np.array([[0.2, 0.8]]), np.array([1]), ["p3"])])
    both.save(tmp_path)
    kept = Predicted.load(tmp_path)
    assert kept.correct.tolist() == [True, False, True]
    assert kept.groups == ["p1", "p2", "p3"]
    assert np.array_equal(kept.probabilities, both.probabilities)


GOOD = {
    "probabilities": np.array([[0.9, 0.1], [0.4, 0.6]]),
    "labels": np.array([0, 1]),
    "groups": np.array(["p1", "p2"]),
}


@pytest.mark.parametrize(
    "change",
    [
        {"probabilities": np.array([[0.9, np.nan], [0.4, 0.6]])},
        {"probabilities": np.array([[0.9, 0.9], [0.4, 0.6]])},
        {"probabilities": np.array([[1.9, -0.9], [0.4, 0.6]])},
        {"probabilities": np.array([0.9, 0.1])},
        {"probabilities": np.zeros((0, 2)), "labels": np.zeros(0, int), "groups": np.zeros(0, "U1")},
        {"probabilities": np.array([["0.9", "0.1"], ["0.4", "0.6"]])},
        {"labels": np.array([0, 2])},
        {"labels": np.array([0, -1])},
        {"labels": np.array([0.0, 1.0])},
        {"labels": np.array([0])},
        {"groups": np.array(["p1"])},
        {"groups": np.array([1, 2])},
        {"groups": np.array(["p1", None], object)},
        {"answered": np.array([0, 5])},
    ],
    ids=str,
)
def test_answers_that_no_model_gives_are_refused(tmp_path: Path, change: dict[str, np.ndarray]) -> None:
    np.savez(tmp_path / PREDICTIONS, **{**GOOD, **change})
    with pytest.raises(RunError, match="cannot be read") as caught:
        Predicted.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_answers_without_a_part_or_that_unpack_to_far_more_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / PREDICTIONS, labels=GOOD["labels"])
    with pytest.raises(RunError, match="probabilities"):
        Predicted.load(tmp_path)
    np.savez_compressed(tmp_path / PREDICTIONS, **{**GOOD, "labels": np.zeros(10**8, np.uint8)})
    with pytest.raises(RunError, match="packed"):
        Predicted.load(tmp_path)
