"""One answer from the probabilities of several views."""

from __future__ import annotations

import numpy as np
import pytest

from regraft.metrics.calibration import tempered
from regraft.metrics.tta import mean_over_views, sentence

VIEWS = np.random.default_rng(0).dirichlet([0.3, 0.3, 0.3], (4, 50))  # [views, n, classes]


def test_views_that_agree_give_what_each_gives() -> None:
    np.testing.assert_allclose(mean_over_views(np.stack([VIEWS[0]] * 3)), VIEWS[0], rtol=1e-9)


def test_one_view_is_the_answer() -> None:
    assert mean_over_views(VIEWS[:1]) is not VIEWS
    np.testing.assert_array_equal(mean_over_views(VIEWS[:1]), VIEWS[0])


def test_it_is_the_mean_of_the_scores() -> None:
    scores = np.log(VIEWS) + 3
    exps = np.exp(scores.mean(0))
    np.testing.assert_allclose(mean_over_views(VIEWS), exps / exps.sum(1, keepdims=True), rtol=1e-9)


@pytest.mark.parametrize("shares", [None, np.array([0.7, 0.2, 0.1])])
def test_cooling_each_view_or_their_mean_is_the_same(shares: np.ndarray | None) -> None:
    """So a model that gives cooled probabilities answers as it was measured."""
    before = mean_over_views(np.stack([tempered(view, 1.7, shares) for view in VIEWS]))
    np.testing.assert_allclose(before, tempered(mean_over_views(VIEWS), 1.7, shares), rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_views_that_are_certain_of_the_contrary_leave_probabilities(dtype: type) -> None:
    np.testing.assert_allclose(mean_over_views(np.array([[[1, 0]], [[0, 1]]], dtype)), [[0.5, 0.5]])


def test_it_is_said_what_one_look_gives() -> None:
    assert sentence(None, 0.9) == ""
    said = sentence({"views": 4, "without": {"accuracy": 0.875}}, 0.9)
    assert "4 times" in said
    assert "0.875" in said
