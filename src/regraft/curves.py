"""Answers -> curves: is the model as sure as it is right, and how right is it where it is surest?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from regraft.evaluation import CONFIDENCE_BINS, confidence_bins


class Bin(NamedTuple):
    """The pictures whose highest probability is from `low` up to `high`; nan where there are none."""

    low: float
    high: float
    confidence: float  # mean of the highest probabilities
    accuracy: float
    pictures: int


class Covered(NamedTuple):
    """The pictures that are answered when all below `confidence` are left to a human."""

    confidence: float
    coverage: float  # share that is answered
    accuracy: float  # on these


def reliability(probabilities: np.ndarray, labels: np.ndarray) -> list[Bin]:
    """Return the 15 bins of equal width of a reliability diagram (Guo et al. 2017), least sure first.

    Args:
        probabilities: [n, k].
        labels: [n], indices into the classes.
    """
    confidence, hits = _confidence_and_hits(probabilities, labels)
    bins = confidence_bins(confidence)
    edges = np.linspace(0, 1, CONFIDENCE_BINS + 1).tolist()
    return [
        Bin(edges[index], edges[index + 1], _mean(confidence[inside]), _mean(hits[inside]), int(inside.sum()))
        for index in range(CONFIDENCE_BINS)
        for inside in [bins == index]
    ]


def coverage_accuracy(probabilities: np.ndarray, labels: np.ndarray) -> list[Covered]:
    """Return how many pictures are answered, and how well, for each confidence that may be asked for; strictest first.

    Pictures of equal confidence are answered together (El-Yaniv & Wiener 2010). The last point answers all.

    Args:
        probabilities: [n, k].
        labels: [n], indices into the classes.
    """
    confidence, hits = _confidence_and_hits(probabilities, labels)
    order = np.argsort(-confidence, kind="stable")
    confidence, right = confidence[order], np.cumsum(hits[order])
    last = np.flatnonzero(np.diff(confidence, append=-1.0))  # of each run of equals
    return [
        Covered(float(confidence[index]), (index + 1) / len(labels), float(right[index] / (index + 1)))
        for index in last.tolist()
    ]


def _confidence_and_hits(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return probabilities.max(1).astype(np.float64), probabilities.argmax(1) == labels


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
