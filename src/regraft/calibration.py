"""Make a model as sure as it is right: one temperature, fitted on the validation part (Guo et al. 2017).

A temperature divides the scores before the softmax: above 1 it makes a model less sure of itself, below 1 surer. Which
class is most probable stays as it is, and so does the accuracy.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from regraft.evaluation import calibration_error

COLDEST, HOTTEST = 0.05, 20.0  # beyond these a network is broken rather than badly calibrated


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Return softmax(ln(p) / temperature), [n, k]: log-probabilities are scores but for a constant.

    Args:
        probabilities: [n, k], rows sum to 1.
        temperature: above 0; 1 gives the same probabilities.
    """
    if temperature == 1:
        return probabilities
    answers: np.ndarray = np.exp(_log_tempered(probabilities, temperature))
    return answers


def _log_tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    scores = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny, dtype=np.float64)) / temperature
    scores -= scores.max(1, keepdims=True)
    logs: np.ndarray = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    return logs


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature with the least log loss on validation answers; 1 where none lowers it.

    The true class counts as 1 - 1 / (n + 2), for Platt's reason (1999): few pictures, all of them right, would call for
    a temperature of 0 and so for a model that is certain of everything.

    Args:
        probabilities: [n, k], untempered.
        labels: [n], indices into the classes.
    """
    from scipy.optimize import minimize_scalar

    doubt = 1 / (len(labels) + 2)

    def loss(log_temperature: float, doubt: float = doubt) -> float:
        logs = _log_tempered(probabilities, float(np.exp(log_temperature)))
        true = logs[np.arange(len(labels)), labels]
        others = (logs.sum(1) - true) / max(logs.shape[1] - 1, 1)
        return float(-((1 - doubt) * true + doubt * others).mean())

    best = float(minimize_scalar(loss, bounds=np.log((COLDEST, HOTTEST)), method="bounded").x)
    return float(np.exp(best)) if loss(best, doubt=0) < loss(0, doubt=0) else 1.0


def before_and_after(
    answers: Mapping[str, tuple[np.ndarray, np.ndarray]], temperature: float
) -> dict[str, dict[str, float]]:
    """Return the expected calibration error of each part's (untempered probabilities, labels), before and after."""
    return {
        part: {
            "before": _error(probabilities, labels),
            "after": _error(tempered(probabilities, temperature), labels),
        }
        for part, (probabilities, labels) in answers.items()
    }


def _error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return float(calibration_error(probabilities, labels, np.ones((1, len(labels))))[0])
