"""Probabilities x labels -> how likely each label is wrong, and so how many are expected to be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOST_WRONG = 0.4
"""Share of wrong labels that is believed at most: from a half on, the labels are what is right."""

USUAL = 0.1
"""Mean of what the share of wrong labels is thought to be drawn from: it decides only where pictures cannot tell
whether they are hard or their labels wrong. With 0.03, of 40 swapped labels of insects none was expected once in three
draws."""

SHARPEST = 20.0  # times the logits: beyond, all probabilities are 0 or 1
STARTS = ((1.0, 0.02), (2.0, 0.1), (0.5, 0.01))


def wrong(believed: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return for each picture the probability that its label is wrong [n]; their sum is how many are expected to be.

    The labels are thought to be drawn from the probabilities, sharpened by one factor, and then a share of them to be
    replaced by any other class. Factor and share are those under which the labels are likeliest: a label that a sharp
    model does not believe is then an error, one that a model without knowledge does not believe is none. With 5 % of
    the labels of 1,000 cells swapped (50), 54, 43 and 50 are expected in three draws, of 1,000 photographs in six
    classes 45, 61 and 45; cleanlab's count is 49 and 46 for cells, 73 and 84 for the photographs, and 39 for these
    where none is swapped (here 0, 5 and 11).

    Args:
        believed: of models that have not seen the picture [n, classes].
        labels: [n].
    """
    from scipy.optimize import minimize
    from scipy.special import expit, log_softmax, logit

    count, classes = believed.shape
    if not count or classes < 2:
        return np.zeros(count)
    logs = np.log(np.clip(believed, 1e-9, 1.0))

    def given(factor: float) -> NDArray[np.float64]:
        chosen: NDArray[np.float64] = log_softmax(factor * logs, axis=1)[np.arange(count), labels]
        return np.exp(chosen)

    def settings(values: NDArray[np.float64]) -> tuple[float, float]:
        return float(np.exp(np.clip(values[0], -np.log(SHARPEST), np.log(SHARPEST)))), float(
            MOST_WRONG * expit(values[1])
        )

    def surprise(values: NDArray[np.float64]) -> float:
        factor, share = settings(values)
        right = given(factor)
        likelihood = np.log((1 - share) * right + share / (classes - 1) * (1 - right) + 1e-12).sum()
        return float((share / USUAL - likelihood) / count)

    starts = [np.array([np.log(factor), logit(share / MOST_WRONG)]) for factor, share in STARTS]
    best = min((minimize(surprise, start, method="Nelder-Mead") for start in starts), key=lambda found: found.fun)
    factor, share = settings(best.x)
    right = given(factor)
    as_error = share / (classes - 1) * (1 - right)
    return np.asarray(as_error / np.maximum(as_error + (1 - share) * right, 1e-300))
