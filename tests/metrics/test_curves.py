"""Curves are scikit-learn's, and their bands hold what other pictures would give."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn import metrics as sk

from regraft.metrics.curves import PRECISION_RECALL, ROC, Axes, curve
from regraft.metrics.functions import evaluate
from regraft.metrics.intervals import Resampling

both = pytest.mark.parametrize("axes", [ROC, PRECISION_RECALL], ids=["roc", "precision_recall"])


def answers(n: int, seed: int = 0, k: int = 2, skill: float = 0.7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, n)
    raw = np.exp(rng.normal(size=(n, k)) + skill * np.eye(k)[labels])
    return raw / raw.sum(1, keepdims=True), labels


@st.composite
def few(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities [n, 3] with many ties, labels [n], some of class 1 and some others."""
    n = draw(st.integers(2, 20))
    raw = np.array(draw(st.lists(st.integers(0, 4), min_size=3 * n, max_size=3 * n)), float).reshape(n, 3) + 0.25
    labels = np.array(draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)))
    assume(0 < (labels == 1).sum() < n)
    return (raw / raw.sum(1, keepdims=True)).astype(np.float32), labels


@settings(max_examples=60)
@given(case=few())
def test_the_roc_is_scikit_learns(case: tuple[np.ndarray, np.ndarray]) -> None:
    found = curve(ROC, *case, 1, Resampling.of(len(case[1]), bootstraps=5))
    truth, scores = case[1] == 1, case[0][:, 1]
    x, y, thresholds = sk.roc_curve(truth, scores, drop_intermediate=False)
    for mine, theirs in ((found.x, x), (found.y, y), (found.thresholds, thresholds)):
        np.testing.assert_allclose(mine, theirs)
    assert found.area == pytest.approx(sk.roc_auc_score(truth, scores))


@settings(max_examples=60)
@given(case=few())
def test_precision_and_recall_are_scikit_learns(case: tuple[np.ndarray, np.ndarray]) -> None:
    found = curve(PRECISION_RECALL, *case, 1, Resampling.of(len(case[1]), bootstraps=5))
    truth, scores = case[1] == 1, case[0][:, 1]
    precision, recall, thresholds = sk.precision_recall_curve(truth, scores)
    # strictest first here, and without the point that it makes up for a recall of 0
    for mine, theirs in ((found.x, recall[-2::-1]), (found.y, precision[-2::-1]), (found.thresholds, thresholds[::-1])):
        np.testing.assert_allclose(mine, theirs)
    assert found.area == pytest.approx(sk.average_precision_score(truth, scores))


@pytest.mark.parametrize("groups", [None, [f"p{number % 12}" for number in range(80)]])
def test_the_draws_are_those_of_the_intervals(groups: list[str] | None) -> None:
    probabilities, labels = answers(80)
    again = Resampling.of(80, groups, seed=3)
    scores, found = (
        evaluate(probabilities, labels, ["a", "b"], again=again),
        curve(ROC, probabilities, labels, 1, again),
    )
    assert found.area == pytest.approx(scores.values["auroc"])
    assert found.area_interval == pytest.approx(scores.intervals["auroc"])


@both
def test_a_band_is_that_of_a_naive_loop(axes: Axes) -> None:
    """Each draw's curve by scikit-learn, read off at the places of the grid."""
    (probabilities, labels), again = answers(50), Resampling.of(50, bootstraps=40)
    found = curve(axes, probabilities, labels, 1, again)
    heights = []
    for weights in np.concatenate(list(again.weights())):
        kept = weights > 0
        drawn = (labels == 1)[kept], probabilities[kept, 1]
        if axes is ROC:
            x, y, _ = sk.roc_curve(*drawn, sample_weight=weights[kept], drop_intermediate=False)
            heights.append([np.interp(place, x, y) for place in found.grid])
        else:
            y, x, _ = sk.precision_recall_curve(*drawn, sample_weight=weights[kept])
            x, y = x[-2::-1], y[-2::-1]
            heights.append([next(b for a, b in zip(x, y, strict=True) if a >= place - 1e-9) for place in found.grid])
    low, high = np.quantile(heights, norm.cdf([-again.reach, again.reach]), axis=0)
    drawn_band = ~np.isnan(found.low)
    assert drawn_band.mean() > 0.7
    np.testing.assert_allclose(found.low[drawn_band], low[drawn_band], atol=1e-6)
    np.testing.assert_allclose(found.high[drawn_band], high[drawn_band], atol=1e-6)
    np.testing.assert_allclose(low[~drawn_band], high[~drawn_band])


@both
def test_a_band_holds_what_many_other_pictures_give_in_about_95_of_100(axes: Axes) -> None:
    truth = curve(axes, *answers(100_000, seed=99), 1, Resampling.of(100_000, bootstraps=1))
    place = 0.5
    expected = np.interp(place, truth.x, truth.y) if axes is ROC else truth.y[np.searchsorted(truth.x, place)]
    held = 0
    for seed in range(200):
        found = curve(axes, *answers(150, seed=seed), 1, Resampling.of(150, bootstraps=200))
        at = found.grid.tolist().index(place)
        held += found.low[at] <= expected <= found.high[at]
    assert 0.90 <= held / 200 <= 0.99


@both
def test_a_band_over_groups_that_differ_is_wider(axes: Axes) -> None:
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(30), 10)
    labels = rng.integers(0, 2, 300)
    scores = 1 / (1 + np.exp(-(rng.normal(size=300) + 2 * labels + rng.normal(0, 2, 30)[patients])))
    probabilities = np.stack([1 - scores, scores], axis=1)
    over_pictures, over_patients = (
        curve(axes, probabilities, labels, 1, Resampling.of(300, groups)) for groups in (None, patients)
    )
    width = [np.nanmean(found.high - found.low) for found in (over_pictures, over_patients)]
    assert width[1] > 1.1 * width[0]


@both
def test_from_few_pictures_of_a_class_a_curve_has_no_band(axes: Axes) -> None:
    random = np.random.default_rng(0)
    for rare, banded in ((9, False), (10, True)):
        labels = (np.arange(200) < rare).astype(int)
        shown = np.clip(0.4 + 0.2 * labels + random.normal(0, 0.15, 200), 0.01, 0.99)
        found = curve(axes, np.stack([1 - shown, shown], 1), labels, 1, Resampling.of(200, bootstraps=100))
        assert np.isfinite(found.area_interval).all() == np.isfinite(found.low).any() == banded


@both
def test_a_class_told_apart_without_a_mistake_promises_no_certainty(axes: Axes) -> None:
    labels = np.array([0, 1] * 10)
    found = curve(axes, np.eye(2)[labels], labels, 1)
    assert found.area == 1
    assert np.isnan(found.low).all()
    assert all(map(math.isnan, found.area_interval))
    alone = curve(axes, *answers(20), 1, Resampling.of(20, ["p"] * 20))
    assert np.isnan(alone.low).all()


@both
@pytest.mark.parametrize("labels", [[0, 0], [1, 1]])
def test_one_kind_of_picture_alone_has_no_curve(axes: Axes, labels: list[int]) -> None:
    with pytest.raises(ValueError, match="of 2 pictures are of the class"):
        curve(axes, np.full((2, 2), 0.5), np.array(labels), 1)
