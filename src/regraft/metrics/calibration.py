"""Make a model as sure as it is right: one temperature, fitted on the validation part (Guo et al. 2017).

A temperature divides what the picture adds to the classes' shares, in logarithms: above 1 it brings the answer nearer
to the shares, below 1 further away from them. Guo's divides the scores themselves and so brings a doubtful answer
nearer to equal probabilities, which are wrong where classes are not equally frequent. With equal shares both are the
same.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from regraft.metrics.functions import calibration_error

COLDEST, HOTTEST = 0.05, 20.0  # beyond these a network is broken rather than badly calibrated
EARNED = 0.3
"""The deviation of ln(temperature) below 0 that is expected before anything is seen.

A single validation picture of a rare class, answered well by luck, would else make a model as sure as it likes. On
malaria cells, 600 of one class and 6 to 60 of the other, 0.2 to 0.6 gave the same log loss within 0.007, 0.3 the least.
"""


def tempered(probabilities: np.ndarray, temperature: float, shares: np.ndarray | None = None) -> np.ndarray:
    """Return softmax(ln(p / shares) / temperature + ln(shares)), [n, k].

    Args:
        probabilities: [n, k], rows sum to 1.
        temperature: above 0; 1 gives the same probabilities.
        shares: of the classes among the training pictures, [k], above 0; None: equal ones.
    """
    if temperature == 1:
        return probabilities
    predictions: np.ndarray = np.exp(_log_tempered(probabilities, temperature, shares))
    return predictions


def _log_tempered(probabilities: np.ndarray, temperature: float, shares: np.ndarray | None) -> np.ndarray:
    logs = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny, dtype=np.float64))
    known = 0.0 if shares is None else np.log(shares)
    scores = (logs - known) / temperature + known
    scores -= scores.max(1, keepdims=True)
    tempered: np.ndarray = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    return tempered


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray, shares: np.ndarray | None = None) -> float:
    """Return the temperature with the least log loss on validation predictions; 1 where none lowers it.

    The true class counts as 1 - 1 / (n + 2), for Platt's reason (1999): few pictures, all of them right, would call for
    a temperature of 0 and so for a model that is certain of everything. And to go below 1 takes evidence: the total
    loss must fall by more than ln(temperature)² / (2 * EARNED²), which is to say that temperatures have a prior.

    Args:
        probabilities: [n, k], untempered.
        labels: [n], indices into the classes.
        shares: as in `tempered`.
    """
    from scipy.optimize import minimize_scalar

    n, k = probabilities.shape
    doubt, spread = 1 / (n + 2), np.full(k, 1 / k) if shares is None else shares

    def loss(log_temperature: float, doubt: float) -> float:
        logs = _log_tempered(probabilities, float(np.exp(log_temperature)), shares)
        return -float(np.mean((1 - doubt) * logs[np.arange(n), labels] + doubt * (logs @ spread)))

    def doubtful(log_temperature: float) -> float:
        doubt_of_cold = min(log_temperature, 0.0) ** 2 / (2 * EARNED**2 * n)
        return float(loss(log_temperature, doubt) + doubt_of_cold)

    best = float(minimize_scalar(doubtful, bounds=np.log((COLDEST, HOTTEST)), method="bounded").x)
    return float(np.exp(best)) if loss(best, 0.0) < loss(0.0, 0.0) else 1.0


def before_and_after(
    predictions: Mapping[str, tuple[np.ndarray, np.ndarray]], temperature: float, shares: np.ndarray | None = None
) -> dict[str, dict[str, float]]:
    """Return the expected calibration error of each part's (untempered probabilities, labels), before and after."""
    return {
        part: {
            "before": _error(probabilities, labels),
            "after": _error(tempered(probabilities, temperature, shares), labels),
        }
        for part, (probabilities, labels) in predictions.items()
    }


def _error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return float(calibration_error(probabilities, labels, np.ones((1, len(labels))))[0])
