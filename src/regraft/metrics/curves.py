"""Predictions -> curves: is it as sure as it is right, how right where it is surest, and what does a threshold cost?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from regraft.metrics.functions import CONFIDENCE_BINS, confidence_bins
from regraft.metrics.intervals import (
    BLOCKS,
    LEAST_GROUPS_OF_CLASS,
    LEAST_OF_CLASS,
    NONE,
    Interval,
    Resampling,
    enough_of_classes,
    few,
    for_groups_to_come,
    groups_of_classes,
)


class Bin(NamedTuple):
    """The pictures whose highest probability is from `low` up to `high`; nan where there are none."""

    low: float
    high: float
    confidence: float  # mean of the highest probabilities
    accuracy: float
    pictures: int


class Covered(NamedTuple):
    """The pictures that are predicted when all below `confidence` are left to a human."""

    confidence: float
    coverage: float  # share that is predicted
    accuracy: float  # on these


class Curve(NamedTuple):
    """One class against the rest, at every threshold, strictest first; and a band of what other pictures would give.

    At each place of the grid, the band goes from percentile to percentile of y over the draws of a bootstrap, the same
    draws as those of `evaluate`'s intervals; with groups, it is the interval of y for groups to come. It is nan where
    it would say nothing: with few groups, few pictures of the class or of others, and where no draw differs from the
    others, as for a class that is told apart without a mistake. Where the curve comes near 1, few pictures decide, and
    the band is too narrow.
    """

    x: np.ndarray  # [points]
    y: np.ndarray  # [points]
    thresholds: np.ndarray  # [points], the class is predicted where its probability is that or more
    grid: np.ndarray  # [places], along x
    low: np.ndarray  # [places], of the band
    high: np.ndarray  # [places]
    area: float  # under the curve
    area_interval: tuple[float, float]


Points = tuple[np.ndarray, np.ndarray, np.ndarray]  # x and y [b, points], area [b]


class Axes(NamedTuple):
    """What a curve shows of each threshold, and how it goes from one point to the next."""

    grid: np.ndarray  # [places], along x
    points: Callable[[np.ndarray, np.ndarray], Points]  # of how many are found, and how many wrongly [b, points]
    read_off: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]  # y at each place of the grid


def curve(
    axes: Axes, probabilities: np.ndarray, labels: np.ndarray, positive: int, again: Resampling | None = None
) -> Curve:
    """Return a class's curve against all other classes, with its band.

    Args:
        axes: `ROC` or `PRECISION_RECALL`.
        probabilities: [n, k].
        labels: [n], indices into the classes.
        positive: the class, an index.
        again: how other pictures are drawn, as in `evaluate`.

    Raises:
        ValueError: there is no picture of the class, or no other.
    """
    again, grid = again or Resampling.of(len(labels)), axes.grid
    scores, truth = probabilities[:, positive], labels == positive
    if truth.all() or not truth.any():
        raise ValueError(f"{truth.sum()} of {len(truth)} pictures are of the class; a curve needs some and some others")
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.diff(scores[order], append=-1.0))  # of each run of equals: they are called together

    def points(weights: np.ndarray) -> Points:
        found, false = (
            np.cumsum((weights * of)[:, order], axis=1, dtype=np.float64)[:, last] for of in (truth, ~truth)
        )
        drawn = (found[:, -1] > 0) & (false[:, -1] > 0)  # a draw of one kind alone has no curve
        return axes.points(found[drawn], false[drawn])

    def read_off(some: Iterable[np.ndarray]) -> np.ndarray:  # [draws, places and the area]
        rows = [np.empty((0, len(grid) + 1))]
        for weights in some:
            found = points(weights)
            heights = np.array([axes.read_off(grid, x, y) for x, y, _ in zip(*found, strict=True)]).reshape(
                -1, len(grid)
            )
            rows.append(np.column_stack([heights, found[2]]))
        return np.concatenate(rows)

    x, y, area = (found[0] for found in points(np.ones((1, len(scores)))))
    values = np.append(axes.read_off(grid, x, y), area)
    without = read_off(again.left_out())
    if not _enough(truth, again):
        bounds = [NONE] * len(values)
    elif again.grouped:
        right = float(((probabilities.argmax(1) == positive) == truth).mean())
        bounds = _for_groups_to_come(values, without, right, again)
    else:
        draws = read_off(again.weights())
        bounds = [*map(again.interval, draws[:, :-1].T), again.interval(draws[:, -1], float(area), without[:, -1])]
    band = np.array(bounds[:-1])  # [places, 2]
    thresholds = scores[order][last]
    nothing = np.full(len(x) - len(thresholds), np.inf)
    return Curve(x, y, np.append(nothing, thresholds), grid, band[:, 0], band[:, 1], float(area), bounds[-1])


def _enough(truth: np.ndarray, again: Resampling) -> bool:
    """Return whether pictures of the class, and others, [n], are enough for a band."""
    kinds = truth.astype(int)
    if again.grouped:
        of_groups = groups_of_classes(kinds, again.units.tolist(), 2)
        if not enough_of_classes(of_groups, LEAST_GROUPS_OF_CLASS):
            return False
    return enough_of_classes(np.bincount(kinds), LEAST_OF_CLASS)


def _for_groups_to_come(values: np.ndarray, without: np.ndarray, right: float, again: Resampling) -> list[Interval]:
    """Return the interval of each figure [f], from what they are without each group [g, f]."""
    sizes = again.sizes
    if few(right, int(sizes.sum())) or len(without) < min(len(sizes), BLOCKS):  # without one group there is no curve
        return [NONE] * len(values)
    return [for_groups_to_come(value, rest, sizes) for value, rest in zip(values.tolist(), without.T, strict=True)]


def _roc_points(found: np.ndarray, false: np.ndarray) -> Points:
    x, y = (np.pad(count / count[:, -1:], ((0, 0), (1, 0))) for count in (false, found))
    return x, y, (np.diff(x) * (y[:, 1:] + y[:, :-1]) / 2).sum(1)


def _pr_points(found: np.ndarray, false: np.ndarray) -> Points:
    recall = found / found[:, -1:]
    called = found + false
    precision = np.divide(found, called, out=np.zeros_like(found), where=called > 0)  # a draw may lack the first ones
    return recall, precision, (np.diff(recall, prepend=0.0) * precision).sum(1)


def _between(grid: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return y on straight lines between points; where several share an x, that of the last, the highest."""
    places: np.ndarray = np.interp(grid, x, y)
    return places


def _step(grid: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return y of the first point that has come as far as each place."""
    places: np.ndarray = y[np.searchsorted(x, grid)]
    return places


ROC = Axes(np.arange(101) / 100, _roc_points, _between)
"""The recall (y) against the share of other pictures called positive (x); the area is the AUROC. The first point is
that of a threshold that nothing reaches (inf): nothing is called positive."""

PRECISION_RECALL = Axes(np.arange(1, 101) / 100, _pr_points, _step)  # a recall of 0 has no precision
"""The precision (y) against the recall (x); the area is the average precision. The curve is one of steps: y at a recall
between two points is that of the next point, as the average precision has it. Straight lines between points would
promise too much (Davis & Goadrich 2006)."""


def reliability(probabilities: np.ndarray, labels: np.ndarray) -> list[Bin]:
    """Return the 15 bins of equal width of a reliability diagram (Guo et al. 2017), least sure first.

    Args:
        probabilities: [n, k].
        labels: [n], indices into the classes.
    """
    confidence, correct = _confidence_and_correct(probabilities, labels)
    bins = confidence_bins(confidence)
    edges = np.linspace(0, 1, CONFIDENCE_BINS + 1).tolist()
    members = [bins == index for index in range(CONFIDENCE_BINS)]
    return [
        Bin(low, high, _mean(confidence[inside]), _mean(correct[inside]), int(inside.sum()))
        for low, high, inside in zip(edges, edges[1:], members, strict=False)
    ]


def coverage_accuracy(probabilities: np.ndarray, labels: np.ndarray) -> list[Covered]:
    """Return how many pictures are predicted, and how well, for each confidence that may be asked for; strictest first.

    Pictures of equal confidence are predicted together (El-Yaniv & Wiener 2010). The last point predicts all.

    Args:
        probabilities: [n, k].
        labels: [n], indices into the classes.
    """
    confidence, correct = _confidence_and_correct(probabilities, labels)
    order = np.argsort(-confidence, kind="stable")
    confidence, right = confidence[order], np.cumsum(correct[order])
    last = np.flatnonzero(np.diff(confidence, append=-1.0))  # of each run of equals
    return [
        Covered(float(confidence[index]), (index + 1) / len(labels), float(right[index] / (index + 1)))
        for index in last.tolist()
    ]


def _confidence_and_correct(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return probabilities.max(1).astype(np.float64), probabilities.argmax(1) == labels


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
