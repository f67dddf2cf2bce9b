"""Embeddings x labels -> LogME: how well a linear model would explain the labels, before any is trained.

The logarithm of the maximum evidence of a Bayesian linear regression from embeddings to labels, one class against the
rest, per picture: You, Liu, Wang & Long, LogME: Practical Assessment of Pre-trained Models for Transfer Learning, ICML
2021, with the fixed-point iteration of You et al., JMLR 23 (2022).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

ROUNDS = 100
TOLERANCE = 1e-3  # of alpha / beta, relative: the evidence no longer moves in its third digit


def logme(embeddings: npt.NDArray[np.floating], labels: npt.NDArray[np.integer]) -> float:
    """Return the mean over classes of the log evidence per picture; higher is better, only differences mean something.

    Args:
        embeddings: standardized, [n, d].
        labels: int [n].
    """
    left, singular, _ = np.linalg.svd(embeddings.astype(np.float64), full_matrices=False)
    spectrum = singular**2  # [min(n, d)]
    evidences = [
        _log_evidence(left.T @ target, spectrum, float(target @ target), *embeddings.shape)
        for target in (np.asarray(labels == label, np.float64) for label in np.unique(labels))
    ]
    return float(np.mean(evidences))


def _log_evidence(
    projected: npt.NDArray[np.float64], spectrum: npt.NDArray[np.float64], norm: float, n: int, d: int
) -> float:
    """Maximise the evidence over the precisions alpha (of the weights) and beta (of the noise).

    `projected` [min(n, d)] is the target in the basis of the left singular vectors; `norm` its squared length.
    """
    alpha = beta = 1.0
    outside = max(norm - float(projected @ projected), 0.0)  # what no linear model can reach
    for _ in range(ROUNDS):
        ratio = alpha / beta
        gamma = float((spectrum / (spectrum + ratio)).sum())  # effective number of weights
        weights = float((spectrum * projected**2 / (spectrum + ratio) ** 2).sum())
        residual = float((ratio**2 * projected**2 / (spectrum + ratio) ** 2).sum()) + outside
        # embeddings that are all the same have no weights: then the prior is whatever it was
        alpha, beta = max(gamma, 1e-12) / max(weights, 1e-12), (n - gamma) / max(residual, 1e-12)
        if abs(alpha / beta - ratio) <= TOLERANCE * ratio:
            break
    ratio = alpha / beta
    weights = float((spectrum * projected**2 / (spectrum + ratio) ** 2).sum())
    residual = float((ratio**2 * projected**2 / (spectrum + ratio) ** 2).sum()) + outside
    determinant = float(np.log(alpha + beta * spectrum).sum()) + (d - len(spectrum)) * math.log(alpha)
    evidence = d / 2 * math.log(alpha) + n / 2 * math.log(beta) - n / 2 * math.log(2 * math.pi)
    return (evidence - beta / 2 * residual - alpha / 2 * weights - determinant / 2) / n
