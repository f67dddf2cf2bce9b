"""Probabilities x labels -> Scores: every metric with its interval.

A metric is one function and its row in ``METRICS``, which is all there is to add. It takes weights [b, n], one row per
bootstrap draw (a picture drawn twice weighs 2, one left out weighs 0), so that many draws are one call.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import numpy as np
import numpy.typing as npt

from regraft.data.rows import name_some
from regraft.errors import NoImages
from regraft.metrics.intervals import (
    DIFFERENCE,
    LEAST_GROUPS_OF_CLASS,
    LEAST_MISTAKES,
    LEAST_OF_CLASS,
    LOSS,
    NONE,
    SHARE,
    Interval,
    Resampling,
    Scale,
    enough_of_classes,
    few,
    few_groups,
    few_mistakes,
    few_of_classes,
    for_groups_to_come,
    groups_of_classes,
    share_for_groups_to_come,
)

Array = npt.NDArray[Any]


def accuracy(probs: Array, labels: Array, weights: Array) -> Array:
    """Share of pictures whose most probable class is the true one. probs [n, k], labels [n], weights [b, n] -> [b]."""
    return _mean(_correct(probs, labels), weights)


def balanced_accuracy(probs: Array, labels: Array, weights: Array) -> Array:
    """Mean recall of the classes that occur among the labels; a class without pictures has no recall.

    probs [n, k], labels [n], weights [b, n] -> [b].
    """
    k = probs.shape[1]
    correct = _per_class(weights * _correct(probs, labels), labels, k)
    return _macro(correct, _per_class(weights, labels, k))


def macro_f1(probs: Array, labels: Array, weights: Array) -> Array:
    """Mean F1 of the classes that occur among the labels: a class that was not tested has none, answered or not.

    probs [n, k], labels [n], weights [b, n] -> [b].
    """
    k = probs.shape[1]
    correct = _per_class(weights * _correct(probs, labels), labels, k)
    tested, predicted = _per_class(weights, labels, k), _per_class(weights, probs.argmax(1), k)
    return _macro(2 * correct, np.where(tested > 0, tested + predicted, 0))


def auroc(probs: Array, labels: Array, weights: Array) -> Array:
    """Area under the ROC curve; a tie counts half (Mann-Whitney).

    Two classes: of the second. More: mean of one class against the rest, over the classes for which it is defined
    (some pictures of the class, some of others). Nan where it is defined for none.
    probs [n, k], labels [n], weights [b, n] -> [b].
    """
    k = probs.shape[1]
    classes = [1] if k == 2 else range(k)
    wrong = np.stack([_wrong_pairs(probs[:, c], labels == c, weights) for c in classes], axis=1)
    positives = _per_class(weights, labels, k)
    pairs = (positives * (positives.sum(1, keepdims=True) - positives))[:, classes]
    return _macro(pairs - wrong, pairs)


def log_loss(probs: Array, labels: Array, weights: Array) -> Array:
    """Mean of -ln(probability of the true class), in nats; probabilities below 2.2e-16 count as that.

    probs [n, k], labels [n], weights [b, n] -> [b].
    """
    true = probs[np.arange(len(labels)), labels].astype(np.float64)
    return _mean(-np.log(np.clip(true, np.finfo(np.float64).eps, 1.0)), weights)


def top5_accuracy(probs: Array, labels: Array, weights: Array) -> Array:
    """Share of pictures whose true class is among the five most probable; among equal ones the first count.

    probs [n, k], labels [n], weights [b, n] -> [b].
    """
    true = probs[np.arange(len(labels)), labels][:, None]
    ahead = (probs > true) | ((probs == true) & (np.arange(probs.shape[1]) < labels[:, None]))
    return _mean(np.asarray(ahead.sum(1) < 5, dtype=np.float32), weights)


CONFIDENCE_BINS = 15  # as in Guo et al. 2017


def calibration_error(probs: Array, labels: Array, weights: Array) -> Array:
    """Expected calibration error: how far confidence and accuracy lie apart (Guo et al. 2017, 15 bins of equal width).

    probs [n, k], labels [n], weights [b, n] -> [b].
    """
    confidence = probs.max(1).astype(np.float64)
    bins = confidence_bins(confidence)
    gaps = _per_class(weights * (_correct(probs, labels) - confidence), bins, CONFIDENCE_BINS)  # [b, bins]
    error: Array = np.abs(gaps).sum(1) / weights.sum(1, dtype=np.float64)
    return error


def confidence_bins(confidence: Array) -> Array:
    """Return the bin of each confidence float64 [n], 0 to 14; a bin holds its lower edge, the last one 1 as well."""
    bins: Array = np.minimum((confidence * CONFIDENCE_BINS).astype(np.int64), CONFIDENCE_BINS - 1)
    return bins


Kind = Literal["share", "mean", "mean over classes", "biased"]
"""Which interval fits: that of a share of pictures that are right, or of another mean over pictures; none where a class
is too rare, for a mean that counts classes alike; or one drawn out to the figure, which is larger in smaller samples.
"""


@dataclass(frozen=True)
class Metric:
    """A row of the table: the function, and all that its interval, a page or a leaderboard has to know of it."""

    function: Callable[[Array, Array, Array], Array]
    kind: Kind
    meaning: str  # in plain words
    best: float = 1.0  # of a perfect model
    of_predicted: bool = False  # looks at which class is predicted, not at how probable it is
    scale: Scale = SHARE  # on which errors are about as large on either side
    least_classes: int = 2  # with fewer it says nothing
    compared: bool = True  # whether a leaderboard, which has little room, has a column of it
    title: str = ""  # of that column, where it is not the name


METRICS = {
    "accuracy": Metric(accuracy, "share", "share of the pictures that are predicted correctly", of_predicted=True),
    "balanced_accuracy": Metric(
        balanced_accuracy,
        "mean over classes",
        "the same, as the mean over the classes: a rare class counts as much as a common one",
        of_predicted=True,
        compared=False,
    ),
    "macro_f1": Metric(
        macro_f1,
        "mean over classes",
        "balance of missed pictures and false alarms, as the mean over the classes; 1 is best",
        of_predicted=True,
        title="macro\u00a0F1",
    ),
    "auroc": Metric(
        auroc,
        "mean over classes",
        "how often a picture of a class gets more of it than one of another does; 0.5 is chance, 1 is best",
        title="AUROC",
    ),
    "log_loss": Metric(
        log_loss,
        "mean",
        "surprise at the truth; being sure and wrong costs most; 0 is best",
        best=0.0,
        scale=LOSS,
        compared=False,
    ),
    "calibration_error": Metric(
        calibration_error, "biased", "how far sureness and being right lie apart; 0 is best", best=0.0
    ),
    "top5_accuracy": Metric(
        top5_accuracy,
        "share",
        "share of the pictures whose true class is among the five most probable",
        least_classes=6,
        compared=False,
    ),
}


def metrics_of(classes: int) -> dict[str, Metric]:
    """The metrics that say something about so many classes."""
    return {name: metric for name, metric in METRICS.items() if classes >= metric.least_classes}


def untested(per_class: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say which classes no tested picture is of, and so no figure; `per_class` as in `Scores`, or metrics.json."""
    names = [repr(row["label"]) for row in per_class if not row["support"]]
    if not names:
        return []
    tested = len(per_class) - len(names)
    return [
        f"{name_some(names)} {'was' if len(names) == 1 else 'were'} not tested: no test picture is of "
        f"{'that class' if len(names) == 1 else 'those classes'}. All figures are of the other "
        f"{tested} class{'' if tested == 1 else 'es'}."
    ]


class ClassScores(TypedDict):
    """One class; None where undefined: precision of a class never predicted, recall and F1 of one without pictures."""

    label: str
    precision: float | None
    recall: float | None
    f1: float | None
    support: int


@dataclass(frozen=True, repr=False)
class Scores:
    """What a model scored on one part of the data. An undefined value is nan."""

    values: dict[str, float]
    intervals: dict[str, Interval]  # for pictures to come; where there are groups, for groups to come
    these: dict[str, Interval]  # for other pictures of these very groups; empty where there are none
    per_class: list[ClassScores]
    confusion: Array  # [k, k] counts, rows = truth
    n: int
    groups: int | None  # how many groups the pictures are of; None: the intervals are over pictures
    rare: tuple[str, ...] = ()  # what is said of classes that are too rare for an interval

    def __repr__(self) -> str:
        """Say what it is, with its accuracy alone."""
        return f"<Scores: {self.n} pictures, accuracy {self.values['accuracy']:.3f}>"

    def cautions(self) -> list[str]:
        """Say where groups, mistakes, or pictures of a class are too few for the intervals."""
        accuracy = self.values["accuracy"]
        return [*few_groups(self.groups), *few_mistakes(self.groups, accuracy, self.n), *self.rare]

    def rows(self) -> list[dict[str, Any]]:
        """Return the figures with their intervals, as a notebook shows them."""
        bounds = {name: tuple(self.intervals.get(name, (math.nan, math.nan))) for name in self.values}
        return [
            {"measure": name.replace("_", " "), "value": value, "95 % from": bounds[name][0], "to": bounds[name][1]}
            for name, value in self.values.items()
        ]

    def as_dict(self) -> dict[str, Any]:
        """The metrics for JSON: ``{"accuracy": 0.95, "accuracy_ci": [0.93, 0.97], ...}``; nan becomes None.

        Where there are groups, ``accuracy_ci`` is for groups to come, ``accuracy_ci_these`` for these groups alone.
        """
        flat: dict[str, Any] = {}
        for name, value in self.values.items():
            flat[name] = defined(value)
            for key, intervals in ((f"{name}_ci", self.intervals), (f"{name}_ci_these", self.these)):
                flat |= {key: [defined(bound) for bound in intervals[name]]} if name in intervals else {}
        return flat


def evaluate(
    probs: Array,
    labels: Array,
    classes: Sequence[str],
    *,
    predicted: Array | None = None,
    again: Resampling | None = None,
) -> Scores:
    """Score probabilities [n, k] against labels [n], indices into classes [k].

    `predicted` [n] are the predicted classes, where that is not the most probable one, as with a threshold; what judges
    the probabilities (AUROC, log loss, calibration) does not look at it.

    The intervals are those of a bootstrap over pictures, unless `again` draws otherwise. Pictures of one patient
    resemble each other, so drawing them one by one would promise too much: with groups, the intervals are for groups to
    come, see `for_groups_to_come`, and a second one is for other pictures of these very groups, which stay as they are.

    A biased figure, as the calibration error, is larger in any sample, and in samples of samples more so. Its
    percentiles are left as they are, and drawn out to the figure itself where they miss it; for groups to come it has
    no interval.

    Where all draws agree, as where no picture is wrong, the bootstrap would promise certainty, of six pictures too. An
    accuracy of 1 or 0 then has the exact interval of that many independent pictures, other metrics have none (nan). Nor
    have means over the classes where one of these is too rare to tell, see `enough_of_classes`.

    Raises:
        NoImages: nothing to score.
        ValueError: shapes that do not fit, labels outside the classes, probabilities that are not finite.
    """
    n, k = _checked_shape(probs, labels, classes)
    predicted = probs.argmax(1) if predicted is None else predicted
    decided = np.eye(k, dtype=np.float32)[predicted]

    def measured(weights: Array) -> Array:  # [metrics, b]
        seen = [(decided if metric.of_predicted else probs, metric.function) for metric in metrics_of(k).values()]
        return np.stack([function(what, labels, weights) for what, function in seen])

    again = again or Resampling.of(n)
    groups: list[int] | None = again.units.tolist() if again.grouped else None
    values, these = dict(zip(metrics_of(k), measured(np.ones((1, n)))[:, 0].tolist(), strict=True)), {}
    if groups:
        intervals = _for_groups_to_come(measured, values, again)
        these = _resampled(measured, values, again.within())
        if not enough_of_classes(groups_of_classes(labels, groups, k), LEAST_GROUPS_OF_CLASS):
            intervals = _without_means_over_classes(intervals)
    else:
        intervals = _resampled(measured, values, again)
    if not enough_of_classes(np.bincount(labels, minlength=k), LEAST_OF_CLASS):
        intervals, these = _without_means_over_classes(intervals), _without_means_over_classes(these)
    confusion = np.bincount(labels * k + predicted, minlength=k * k).reshape(k, k)
    return Scores(
        values=values,
        intervals=intervals,
        these=these,
        per_class=_class_scores(confusion, classes),
        confusion=confusion,
        n=n,
        groups=again.count if groups else None,
        rare=tuple(few_of_classes(labels, groups, classes)),
    )


Measured = Callable[[Array], Array]  # weights [b, n] -> metrics [metrics, b]


def _resampled(measured: Measured, values: dict[str, float], again: Resampling) -> dict[str, Interval]:
    draws, without = (
        np.concatenate([measured(weights) for weights in some], axis=1) for some in (again.weights(), again.left_out())
    )
    intervals = {}
    for (name, value), row, rest in zip(values.items(), draws, without, strict=True):
        kind = METRICS[name].kind
        if kind == "biased":
            low, high = again.interval(row)
            intervals[name] = min(low, value), max(high, value)
        else:
            interval = again.interval_of_share if kind == "share" else again.interval
            intervals[name] = interval(row, value, rest)
    return intervals


def _without_means_over_classes(intervals: dict[str, Interval]) -> dict[str, Interval]:
    return {
        name: NONE if METRICS[name].kind == "mean over classes" else interval for name, interval in intervals.items()
    }


def _for_groups_to_come(measured: Measured, values: dict[str, float], again: Resampling) -> dict[str, Interval]:
    without = np.concatenate([measured(weights) for weights in again.left_out()], axis=1)
    few_tell = few(values["accuracy"], int(again.sizes.sum()))
    intervals = {}
    for (name, value), rest in zip(values.items(), without, strict=True):
        metric = METRICS[name]
        if metric.kind == "share":
            intervals[name] = share_for_groups_to_come(value, rest, again.sizes)
        elif few_tell or metric.kind == "biased":
            intervals[name] = NONE
        else:
            intervals[name] = for_groups_to_come(value, rest, again.sizes, metric.scale)
    return intervals


def share(correct: Array, groups: Sequence[str] | None = None, *, seed: int = 0) -> tuple[float, Interval]:
    """Return the share of pictures that are correct, bool [n], and its interval, as `evaluate` has it; nan of none."""
    if not len(correct):
        return math.nan, NONE
    value, again = float(np.mean(correct)), Resampling.of(len(correct), groups, seed=seed)
    without = _means(correct.astype(np.float32), again.left_out())
    if again.grouped:
        return value, share_for_groups_to_come(value, without, again.sizes)
    return value, again.interval_of_share(_means(correct.astype(np.float32), again.weights()), value, without)


def difference(first: Array, second: Array, groups: Sequence[str] | None = None, *, seed: int = 0) -> Interval:
    """Return the interval of how much more often the first is right than the second, on the same pictures, bool [n].

    For pictures to come, or for groups to come where there are groups; nan where too few pictures tell them apart.
    """
    apart = first.astype(np.float32) - second.astype(np.float32)
    again, value = Resampling.of(len(apart), groups, seed=seed), float(apart.mean(dtype=np.float64))
    if np.count_nonzero(apart) < LEAST_MISTAKES:
        return NONE
    without = _means(apart, again.left_out())
    if again.grouped:
        return for_groups_to_come(value, without, again.sizes, DIFFERENCE)
    return again.interval(_means(apart, again.weights()), value, without)


def _checked_shape(probs: Array, labels: Array, classes: Sequence[str]) -> tuple[int, int]:
    n, k = len(labels), len(classes)
    if n == 0:
        raise NoImages("There are 0 pictures to evaluate. Expected at least one; is the test part empty?")
    if probs.shape != (n, k):
        raise ValueError(f"probs has shape {probs.shape}, expected {(n, k)}: one row per label, one column per class")
    if labels.min() < 0 or labels.max() >= k:
        raise ValueError(f"labels run from {labels.min()} to {labels.max()}, expected 0 to {k - 1}")
    if not np.isfinite(probs).all():
        raise ValueError("probs holds values that are not finite; did the training diverge?")
    return n, k


def _class_scores(confusion: Array, classes: Sequence[str]) -> list[ClassScores]:
    rows = zip(
        classes, confusion.diagonal().tolist(), confusion.sum(1).tolist(), confusion.sum(0).tolist(), strict=True
    )
    return [
        ClassScores(
            label=label,
            precision=correct / predicted if predicted else None,
            recall=correct / support if support else None,
            f1=2 * correct / (support + predicted) if support else None,
            support=support,
        )
        for label, correct, support, predicted in rows
    ]


def defined(value: float) -> float | None:
    """Return the value as JSON has it: nan becomes None."""
    return None if math.isnan(value) else value


def _correct(probs: Array, labels: Array) -> Array:
    return np.asarray(probs.argmax(1) == labels, dtype=np.float32)


def _mean(values: Array, weights: Array) -> Array:
    """Mean of values [n] under every row of weights [b, n], in float64 -> [b]."""
    sums = weights @ np.stack([values, np.ones(len(values))], axis=1)  # [b, 2]
    means: Array = sums[:, 0] / sums[:, 1]
    return means


def _means(values: Array, drawn: Iterable[Array]) -> Array:
    """Mean of values [n] in every draw, whose weights [b, n] come a chunk at a time -> [draws]."""
    return np.concatenate([_mean(values, weights) for weights in drawn])


def _macro(part: Array, whole: Array) -> Array:
    """Mean of part / whole [b, k] over the classes where whole is not 0; nan where there is none -> [b]."""
    present = whole > 0
    ratios = np.divide(part, whole, out=np.zeros(whole.shape), where=present)
    count = present.sum(1)
    means: Array = np.divide(ratios.sum(1), count, out=np.full(len(count), math.nan), where=count > 0)
    return means


def _per_class(weights: Array, index: Array, k: int) -> Array:
    """Sum of the weights [b, n] in each class, index [n] being the class -> [b, k]."""
    order = np.argsort(index, kind="stable")
    edges = np.searchsorted(index[order], np.arange(1, k + 1))
    sums: Array = np.diff(_before(weights, order, edges), axis=1, prepend=0.0)
    return sums


def _wrong_pairs(scores: Array, positive: Array, weights: Array) -> Array:
    """Weight of the (positive, negative) pairs that scores [n] put in the wrong order; a tie is half wrong -> [b]."""
    below = -scores  # best first
    mine = below[positive]
    rivals = np.flatnonzero(below <= mine.max(initial=-np.inf))  # the others rank below every positive, as they should
    rivals = rivals[np.argsort(below[rivals])]
    edges = [np.searchsorted(below[rivals], mine, side) for side in ("left", "right")]
    rank = _before(weights, rivals, np.stack(edges)).mean(1)  # [b, positives], ties at their middle
    own = weights.T[positive].T
    wrong: Array = (own * rank).sum(1) - own.sum(1, dtype=np.float64) ** 2 / 2  # without the pairs of two positives
    return wrong


def _before(weights: Array, order: Array, edges: Array) -> Array:
    """Sum of the weights [b, n] of the first e pictures of an order, for every e in edges -> float64 [b, *edges]."""
    cuts, where = np.unique(np.append(0, edges), return_inverse=True)
    steps = np.add.reduceat(weights.T.take(order[: cuts[-1]], axis=0), cuts[:-1], axis=0)
    sums = np.cumsum(np.pad(steps, ((1, 0), (0, 0))), axis=0, dtype=np.float64)  # [cuts, b]
    return np.reshape(sums[where[1:]].T, (len(weights), *edges.shape))
