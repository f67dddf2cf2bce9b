"""LogME against the evidence written out, and what it should prefer."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from regraft.metrics.logme import logme


def data(n: int, d: int, seed: int, signal: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(size=(n, d))
    return embeddings, (signal * embeddings[:, 0] + rng.normal(size=n) > 0).astype(int)


@pytest.mark.parametrize(("n", "d"), [(30, 5), (20, 20), (12, 30)])
def test_it_is_the_maximum_of_the_evidence(n: int, d: int) -> None:
    """The labels of a class are Gaussian with covariance X X' / alpha + I / beta: written out and maximised blindly."""
    embeddings, labels = data(n, d, seed=n)

    def negative(precisions: np.ndarray, target: np.ndarray) -> float:
        alpha, beta = np.exp(precisions)
        covariance = embeddings @ embeddings.T / alpha + np.eye(n) / beta
        return -float(multivariate_normal.logpdf(target, cov=covariance)) / n

    best = [
        -min(
            minimize(negative, start, (np.asarray(labels == label, float),), "Nelder-Mead").fun
            for start in ([0, 0], [3, 1])
        )
        for label in (0, 1)
    ]
    assert logme(embeddings, labels) == pytest.approx(np.mean(best), abs=2e-3)


def test_embeddings_that_tell_the_classes_apart_score_higher() -> None:
    weak, strong = (logme(*data(200, 10, seed=1, signal=signal)) for signal in (0.2, 5.0))
    assert strong > weak


def test_the_order_of_pictures_and_channels_does_not_matter() -> None:
    embeddings, labels = data(50, 8, seed=2)
    rows, columns = np.random.default_rng(0).permutation(50), np.random.default_rng(1).permutation(8)
    assert logme(embeddings[rows][:, columns], labels[rows]) == pytest.approx(logme(embeddings, labels), abs=1e-6)


def test_embeddings_that_are_all_the_same_explain_less_than_any_that_tell_classes_apart() -> None:
    labels = np.arange(40) % 2
    nothing = logme(np.zeros((40, 8)), labels)
    apart = np.random.default_rng(0).normal(0, 0.3, (40, 8)) + 2 * labels[:, None] - 1
    assert np.isfinite(nothing)
    assert logme(apart, labels) > nothing
    assert np.isfinite(logme(apart, np.zeros(40, np.int64)))
