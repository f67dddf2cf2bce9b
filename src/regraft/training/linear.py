"""Fit a linear classifier on embeddings: the method ``features``."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np

from regraft.data import Manifest, into_folds_at_most
from regraft.errors import WeightsError

PENALTIES = tuple(10.0**power for power in range(1, -6, -1))
"""Weights of the squared norm beside the mean loss that are tried, from little data to much."""

FOLDS = 5  # of a cross-validation

NARROW = 512  # numbers that describe a model: up to here a Newton step, with their square in memory, beats L-BFGS


def standardized(embeddings: np.ndarray) -> np.ndarray:
    """Return embeddings [n, c] as float32 with mean 0 and spread 1; a column without spread becomes 0.

    What sorts, factorizes or fits them afterwards is native code, and may end the process on what is no number.

    Raises:
        WeightsError: some are no numbers.
    """
    rows = finite(np.asarray(embeddings, np.float32))
    rows = rows - rows.mean(0, dtype=np.float64).astype(np.float32)
    spread = rows.std(0)
    constant = spread <= 1e-6 * max(float(spread.max(initial=0.0)), 1.0)
    even: np.ndarray = np.where(constant, np.float32(0), rows / np.where(constant, np.float32(1), spread))
    return even


def finite(embeddings: np.ndarray) -> np.ndarray:
    """Return embeddings [n, c] as they are.

    Raises:
        WeightsError: some are no numbers.
    """
    bad = int((~np.isfinite(embeddings).all(axis=1)).sum())
    if bad:
        raise WeightsError(
            f"The network gives {bad} of {len(embeddings)} pictures values that are infinite or no numbers. "
            "Its weights are damaged, or meant for other pictures: choose others with --weights or --backbone."
        )
    return embeddings


def fit_linear(
    train: np.ndarray,
    train_labels: np.ndarray,
    val: np.ndarray,
    val_labels: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Fit multinomial logistic regression, its penalty chosen by log loss on the validation part.

    Penalties are tried from the strongest on, each fit beginning from the one before, until the log loss rises: the
    weak ones take longest, and from there on they only fit the training part more closely. All pictures weigh alike:
    with weights for rare classes the probabilities would be those of other pictures.

    Args:
        train, val: standardized embeddings, float [n, c].
        train_labels, val_labels: int [n], 0 to k-1; each class occurs in `train_labels`.

    Returns:
        Weights [k, c], biases [k] and the penalty that was chosen.

    Raises:
        WeightsError: embeddings that are no numbers.
    """
    finite(train)
    finite(val)
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss
    from threadpoolctl import threadpool_limits

    classes = np.arange(int(train_labels.max()) + 1)
    numbers = train.shape[1] * (1 if len(classes) == 2 else len(classes))
    # one more Newton step brings it from 1e-4 to 1e-6
    solver, tol = ("newton-cholesky", 1e-6) if numbers <= NARROW else ("lbfgs", 1e-4)
    model = LogisticRegression(solver=solver, tol=tol, max_iter=300, warm_start=True)
    weights, biases, chosen, fewest = np.empty(0), np.empty(0), np.nan, np.inf
    for penalty in PENALTIES:
        model.set_params(C=1 / (penalty * len(train)))
        # in L-BFGS the thread pools of NumPy and SciPy wait for each other: with two threads up to eight times slower
        with warnings.catch_warnings(), threadpool_limits(1, user_api="blas"):
            # a weak penalty on few examples never ends; validation judges
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(train, train_labels)
        loss = log_loss(val_labels, model.predict_proba(val), labels=classes)
        if loss > fewest:
            break
        weights, biases, chosen, fewest = model.coef_.copy(), model.intercept_.copy(), penalty, loss
    if len(classes) == 2:  # scikit-learn keeps one row for two classes
        weights, biases = np.concatenate([-weights, weights]) / 2, np.concatenate([-biases, biases]) / 2
    return weights, biases, chosen


def cross_validated(manifest: Manifest, points: np.ndarray, *, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield for each fold the pictures that are tested [t], and their scores [t, classes] by a model without them.

    Whole groups are left out where there are groups. `points` are embeddings [n, c] in the manifest's order.

    Raises:
        SplitError: a class has fewer than 3 pictures, or groups.
    """
    for fold in into_folds_at_most(manifest, FOLDS, seed=seed):
        train, val, test = (fold.part(part) for part in ("train", "val", "test"))
        labels = fold.labels
        weights, biases, _ = fit_linear(points[train], labels[train], points[val], labels[val])
        yield test, points[test] @ weights.T + biases
