"""The linear fit is scikit-learn's, and the validation part chooses its penalty."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from regraft.errors import WeightsError
from regraft.training.head import HeadSpec, build_head
from regraft.training.linear import NARROW, PENALTIES, fit_linear, standardized


def clusters(
    classes: int, count: int = 120, width: int = 10, spread: float = 1.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    centres = np.random.default_rng(9).normal(0, 1, (classes, width))
    labels = np.arange(count) % classes
    rows = centres[labels] + np.random.default_rng(seed).normal(0, spread, (count, width))
    return rows.astype(np.float32), labels


def probabilities(x: np.ndarray, weights: np.ndarray, biases: np.ndarray) -> np.ndarray:
    """As the bundle computes them: by the head, in torch."""
    head = build_head(HeadSpec(x.shape[1], len(biases), hidden=0)).eval()
    with torch.no_grad():
        head.out.weight.copy_(torch.from_numpy(weights))
        head.out.bias.copy_(torch.from_numpy(biases))
        return head(torch.from_numpy(x)).double().softmax(1).numpy()


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize(("width", "off"), [(10, 1e-5), (NARROW + 1, 5e-3)])  # L-BFGS stops a little short of the end
def test_the_head_answers_as_a_model_fitted_to_the_end(classes: int, width: int, off: float) -> None:
    (x, y), (val, val_y) = clusters(classes, width=width), clusters(classes, 60, width, seed=1)
    weights, biases, penalty = fit_linear(x, y, val, val_y)
    assert weights.shape == (classes, width)
    expected = LogisticRegression(C=1 / (penalty * len(x)), tol=1e-9, max_iter=50_000)
    expected.fit(x.astype(np.float64), y)
    np.testing.assert_allclose(probabilities(val, weights, biases), expected.predict_proba(val), atol=off)


@pytest.mark.parametrize("spread", [0.3, 4.0])
def test_the_penalty_is_the_best_one_on_the_validation_part(spread: float) -> None:
    (x, y), (val, val_y) = clusters(3, spread=spread), clusters(3, 60, spread=spread, seed=1)
    *_, chosen = fit_linear(x, y, val, val_y)
    losses = [
        log_loss(val_y, LogisticRegression(C=1 / (penalty * len(x)), max_iter=10_000).fit(x, y).predict_proba(val))
        for penalty in PENALTIES
    ]
    assert chosen == PENALTIES[int(np.argmin(losses))]


def test_a_validation_part_may_lack_a_class() -> None:
    (x, y), (val, val_y) = clusters(3), clusters(3, 60, seed=1)
    weights, biases, _ = fit_linear(x, y, val[val_y != 1], val_y[val_y != 1])
    assert (probabilities(x, weights, biases).argmax(1) == y).mean() > 0.8


@pytest.mark.parametrize("rare", [2, 6, 40])
@pytest.mark.parametrize("classes", [2, 5])
def test_the_probabilities_are_those_of_the_pictures_given_however_rare_a_class_is(classes: int, rare: int) -> None:
    """A maximum of the likelihood with a free bias for each class has the classes' shares as its mean."""
    x, y = clusters(classes, count=classes * 60, spread=2.0)
    which = np.flatnonzero((y > 0) | (np.arange(len(y)) < rare * classes))  # of class 0 there are few
    weights, biases, _ = fit_linear(x[which], y[which], x[which], y[which])
    shares = np.bincount(y[which]) / len(which)
    np.testing.assert_allclose(probabilities(x[which], weights, biases).mean(0), shares, atol=2e-3)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_never_reaches_the_solver(value: float) -> None:
    rows = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    rows[7, 1] = value
    labels = np.arange(20) % 2
    for train, val in ((rows, rows[:7]), (rows[:7], rows)):
        with pytest.raises(WeightsError, match="1 of 20 pictures"):
            fit_linear(train, labels[: len(train)], val, labels[: len(val)])


def test_pictures_that_are_all_the_same_give_the_shares_of_the_classes() -> None:
    labels = np.array([0] * 15 + [1] * 5)
    weights, biases, _ = fit_linear(np.zeros((20, 4), np.float32), labels, np.zeros((20, 4), np.float32), labels)
    assert np.allclose(weights, 0)
    assert np.allclose(np.exp(biases) / np.exp(biases).sum(), [0.75, 0.25], atol=0.01)


@given(arrays(np.float32, (6, 3), elements=st.floats(-1e6, 1e6, width=32)))
def test_standardized_columns_have_mean_0_and_a_spread_of_1_or_0(rows: np.ndarray) -> None:
    even = standardized(rows)
    assert np.isfinite(even).all()
    assert np.allclose(even.mean(0), 0, atol=1e-2)
    assert ((np.abs(even.std(0) - 1) < 1e-2) | (even.std(0) == 0)).all()
