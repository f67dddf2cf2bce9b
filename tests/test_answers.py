"""A model's answers survive the disk, one by one and joined."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from regraft.answers import Answers


def test_answers_survive_the_disk_and_folds_are_joined(tmp_path: Path) -> None:
    first = Answers(np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([0, 0]), ["p1", "p2"])
    both = Answers.together([first, Answers(np.array([[0.2, 0.8]]), np.array([1]), ["p3"])])
    both.save(tmp_path)
    kept = Answers.load(tmp_path)
    assert kept.hits.tolist() == [True, False, True]
    assert kept.groups == ["p1", "p2", "p3"]
    assert np.array_equal(kept.probabilities, both.probabilities)
