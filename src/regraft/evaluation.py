"""Probabilities x labels -> Scores: every metric with its interval.

A metric is one function and its row in ``METRICS``. It takes weights [b, n], one row per bootstrap draw (a picture
drawn twice weighs 2, one left out weighs 0), so that many draws are one call.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import numpy as np
import numpy.typing as npt

from regraft import files
from regraft.errors import NoImages

Array = npt.NDArray[Any]
BLOCKS = 100  # of pictures or groups that are left out in turn: more say little more about the skew
CHUNK = 2**22  # weights drawn at once, 16 MB in float32: bounds the memory, and larger chunks are no faster


def accuracy(probs: Array, labels: Array, weights: Array) -> Array:
    """Share of pictures whose most probable class is the true one. probs [n, k], labels [n], weights [b, n] -> [b]."""
    return _mean(_hits(probs, labels), weights)


def balanced_accuracy(probs: Array, labels: Array, weights: Array) -> Array:
    """Mean recall of the classes that occur among the labels; a class without pictures has no recall.

    probs [n, k], labels [n], weights [b, n] -> [b].
    """
    k = probs.shape[1]
    hits = _per_class(weights * _hits(probs, labels), labels, k)
    return _macro(hits, _per_class(weights, labels, k))


def macro_f1(probs: Array, labels: Array, weights: Array) -> Array:
    """Mean F1 of the classes that occur among the labels or the predictions (scikit-learn's rule).

    probs [n, k], labels [n], weights [b, n] -> [b].
    """
    k = probs.shape[1]
    hits = _per_class(weights * _hits(probs, labels), labels, k)
    return _macro(2 * hits, _per_class(weights, labels, k) + _per_class(weights, probs.argmax(1), k))


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
    gaps = _per_class(weights * (_hits(probs, labels) - confidence), bins, CONFIDENCE_BINS)  # [b, bins]
    error: Array = np.abs(gaps).sum(1) / weights.sum(1, dtype=np.float64)
    return error


def confidence_bins(confidence: Array) -> Array:
    """Return the bin of each confidence float64 [n], 0 to 14; a bin holds its lower edge, the last one 1 as well."""
    bins: Array = np.minimum((confidence * CONFIDENCE_BINS).astype(np.int64), CONFIDENCE_BINS - 1)
    return bins


class Metric(NamedTuple):
    """A row of the table: the function, its value for a perfect model, and the direction of better."""

    function: Callable[[Array, Array, Array], Array]
    best: float
    higher_is_better: bool


METRICS = {
    "accuracy": Metric(accuracy, best=1.0, higher_is_better=True),
    "balanced_accuracy": Metric(balanced_accuracy, best=1.0, higher_is_better=True),
    "macro_f1": Metric(macro_f1, best=1.0, higher_is_better=True),
    "auroc": Metric(auroc, best=1.0, higher_is_better=True),
    "log_loss": Metric(log_loss, best=0.0, higher_is_better=False),
    "calibration_error": Metric(calibration_error, best=0.0, higher_is_better=False),
}


# Where there are five classes or fewer, this one would always be 1.
OF_MANY_CLASSES = {"top5_accuracy": Metric(top5_accuracy, best=1.0, higher_is_better=True)}


FEW_GROUPS = 20  # with fewer, an interval drawn over whole groups is itself uncertain (it is too narrow, as a rule)


def few_groups(count: int | None) -> list[str]:
    """Return a sentence where figures rest on few groups; none where there are many, or pictures without groups."""
    few = count is not None and count < FEW_GROUPS
    groups = "1 group was" if count == 1 else f"{count} groups were"
    return [f"Only {groups} tested: other groups may give other figures."] * few


SHARES = {"accuracy", "top5_accuracy"}  # of pictures that are right

OF_ANSWERS = {"accuracy", "balanced_accuracy", "macro_f1"}  # look at which class is answered, not at how probable it is


def metrics_of(classes: int) -> dict[str, Metric]:
    """The metrics that say something about so many classes."""
    return METRICS | (OF_MANY_CLASSES if classes > 5 else {})


class ClassScores(TypedDict):
    """One class; None where undefined: precision of a class never predicted, recall of one without pictures."""

    label: str
    precision: float | None
    recall: float | None
    f1: float | None
    support: int


@dataclass(frozen=True)
class Scores:
    """What a model scored on one part of the data. An undefined value is nan."""

    values: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    per_class: list[ClassScores]
    confusion: Array  # [k, k] counts, rows = truth
    n: int
    groups: int | None  # how many groups the intervals were drawn over; None: over pictures

    def as_dict(self) -> dict[str, Any]:
        """The metrics for JSON: ``{"accuracy": 0.95, "accuracy_ci": [0.93, 0.97], ...}``; nan becomes None."""
        flat: dict[str, Any] = {}
        for name, value in self.values.items():
            flat[name] = defined(value)
            flat[f"{name}_ci"] = [defined(bound) for bound in self.intervals[name]]
        return flat


def evaluate(
    probs: Array,
    labels: Array,
    classes: Sequence[str],
    *,
    answered: Array | None = None,
    groups: Sequence[str] | None = None,
    bootstraps: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Scores:
    """Score probabilities [n, k] against labels [n], indices into classes [k].

    `answered` [n] are the classes that were answered, where that is not the most probable one, as with a threshold;
    what judges the probabilities (AUROC, log loss, calibration) does not look at it.

    The intervals are percentiles of a bootstrap over pictures, or over whole groups where there are any: pictures of
    one patient resemble each other, so drawing them one by one would promise too much (Davison & Hinkley 1997,
    section 3.8; Field & Welsh 2007). The percentiles are moved outwards for few groups (Hesterberg 2015, expanded
    percentiles) and for figures near their best value, whose draws lie to one side (Efron 1987, BCa). The calibration
    error is left as it is: it is larger in any draw, so that the correction would put it at the end of its interval.
    With 1000 draws a 95 % bound still has 25 draws beyond it. Draws in which a metric is undefined are left out of its
    interval; one group alone gives no interval (nan).

    Where all draws agree, as where no picture is wrong, the bootstrap would promise certainty, of six pictures too. An
    accuracy of 1 or 0 then has the exact interval of that many independent pictures or groups (Clopper & Pearson 1934),
    other metrics have none (nan).

    Raises:
        NoImages: nothing to score.
        ValueError: shapes that do not fit, labels outside the classes, probabilities that are not finite.
    """
    n, k = _checked_shape(probs, labels, classes)
    again = Resampling.of(n, groups, bootstraps=bootstraps, level=level, seed=seed)
    answered = probs.argmax(1) if answered is None else answered
    decided = np.eye(k, dtype=np.float32)[answered]

    def measured(weights: Array) -> Array:  # [metrics, b]
        seen = [(decided if name in OF_ANSWERS else probs, metric.function) for name, metric in metrics_of(k).items()]
        return np.stack([function(what, labels, weights) for what, function in seen])

    values = dict(zip(metrics_of(k), measured(np.ones((1, n)))[:, 0].tolist(), strict=True))
    draws, without = (
        np.concatenate([measured(weights) for weights in some], axis=1) for some in (again.weights(), again.left_out())
    )
    intervals = {}
    for name, row, rest in zip(metrics_of(k), draws, without, strict=True):
        interval = again.interval_of_share if name in SHARES else again.interval
        if name == "calibration_error":  # in every sample too high, and in samples of samples more so
            low, high = again.interval(row)
            intervals[name] = min(low, values[name]), max(high, values[name])
        else:
            intervals[name] = interval(row, values[name], rest)
    confusion = np.bincount(labels * k + answered, minlength=k * k).reshape(k, k)
    return Scores(
        values=values,
        intervals=intervals,
        per_class=_class_scores(confusion, classes),
        confusion=confusion,
        n=n,
        groups=None if groups is None else again.count,
    )


def share(
    hits: Array, groups: Sequence[str] | None = None, *, bootstraps: int = 1000, level: float = 0.95, seed: int = 0
) -> tuple[float, tuple[float, float]]:
    """Return the share of pictures that are hits, bool [n], and its interval, as `evaluate` draws it; nan of none."""
    if not len(hits):
        return math.nan, (math.nan, math.nan)
    again = Resampling.of(len(hits), groups, bootstraps=bootstraps, level=level, seed=seed)
    value = float(np.mean(hits))
    draws, without = (
        np.concatenate([_mean(hits.astype(np.float32), weights) for weights in some])
        for some in (again.weights(), again.left_out())
    )
    return value, again.interval_of_share(draws, value, without)


@dataclass(frozen=True, eq=False)
class Resampling:
    """A bootstrap over pictures, or over whole groups; see `evaluate`."""

    units: Array  # [n], the number of each picture's group, or its own
    bootstraps: int = 1000
    level: float = 0.95
    seed: int = 0

    @classmethod
    def of(cls, n: int, groups: Sequence[str] | None, **settings: Any) -> Resampling:
        """Draw n pictures, or their groups [n]."""
        return cls(np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1], **settings)

    @property
    def count(self) -> int:
        """How many pictures or groups there are to draw."""
        return int(self.units.max()) + 1

    @property
    def reach(self) -> float:
        """How many standard errors the interval goes to either side; nan for one unit.

        Resampled means of u units vary by sqrt((u - 1) / u) too little, and normal tails are too thin for u units:
        Hesterberg, What Teachers Should Know About the Bootstrap, The American Statistician 69 (2015), section 4.
        """
        from scipy.special import stdtrit  # comes with scikit-learn

        units = self.count
        if units == 1:
            return math.nan
        return -math.sqrt(units / (units - 1)) * float(stdtrit(units - 1, (1 - self.level) / 2))

    def weights(self) -> Iterator[Array]:
        """Draw with replacement; yield weights float32 [b, n], a chunk at a time."""
        rng, size = np.random.default_rng(self.seed), self.count
        chunk = max(1, CHUNK // len(self.units))
        for start in range(0, self.bootstraps, chunk):
            rows = min(chunk, self.bootstraps - start)
            drawn = rng.integers(size, size=(rows, size)) + size * np.arange(rows)[:, None]  # each draw counts apart
            counts = np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size)
            yield counts.T.astype(np.float32).take(self.units, axis=0).T  # draws of a picture side by side: fast

    def left_out(self) -> Iterator[Array]:
        """Leave out one unit after the other, or one of 100 blocks; yield weights float32 [b, n], a chunk at a time."""
        blocks = min(self.count, BLOCKS)
        if blocks == 1:  # without it there is nothing
            yield np.ones((1, len(self.units)), np.float32)
            return
        chunk = max(1, CHUNK // len(self.units))
        for start in range(0, blocks, chunk):
            out = np.arange(start, min(start + chunk, blocks))
            yield (self.units % blocks != out[:, None]).astype(np.float32)

    def interval(self, draws: Array, value: float | None = None, without: Array | None = None) -> tuple[float, float]:
        """Return the percentiles of a figure's draws; nan where they say nothing: one unit, or all draws equal.

        With the figure itself and what it is `left_out`, the percentiles are corrected.
        """
        from scipy.special import ndtr

        defined = draws[~np.isnan(draws)]
        if math.isnan(self.reach) or not len(defined) or defined.min() == defined.max():
            return math.nan, math.nan
        ends = np.array([-self.reach, self.reach])
        if value is not None and without is not None:
            ends = _corrected(ends, value, defined, without[~np.isnan(without)])
        low, high = np.quantile(defined, ndtr(ends))
        return float(low), float(high)

    def interval_of_share(self, draws: Array, value: float, without: Array) -> tuple[float, float]:
        """Return the interval of a share of pictures, whose draws are all equal where it is 0 or 1."""
        if value not in (0, 1) or math.isnan(self.reach):
            return self.interval(draws, value, without)
        bound = ((1 - self.level) / 2) ** (1 / self.count)  # Clopper & Pearson
        return (bound, 1.0) if value else (0.0, 1 - bound)


def _corrected(ends: Array, value: float, draws: Array, without: Array) -> Array:
    """Move ends, in standard errors, for a figure whose draws lie to one side of it, or are skewed.

    Bias-corrected and accelerated: Efron, Better Bootstrap Confidence Intervals, JASA 82 (1987). The acceleration is
    that of a jackknife over blocks; sums of cubes and of squares add up over independent units, so blocks will do.
    """
    from scipy.special import ndtri

    below = ((draws < value).mean() + (draws <= value).mean()) / 2
    bias = ndtri(np.clip(below, 0.001, 0.999))
    influence = without.mean() - without if len(without) else np.zeros(1)
    squares = float((influence**2).sum())
    acceleration = float((influence**3).sum()) / (6 * squares**1.5) if squares else 0.0
    moved = bias + ends
    corrected: Array = bias + moved / (1 - acceleration * moved)
    return corrected


def write_predictions(
    path: Path,
    names: Sequence[str],
    probs: Array,
    classes: Sequence[str],
    truth: Array | None = None,
    folds: Array | None = None,
    answered: Array | None = None,
) -> None:
    """Write predictions.csv: filename, index, label, prob of the class answered, and what else is known.

    That is the truth (a class name) and the fold whose model answered, a number from 1, [n]. The class answered is the
    most probable one, or `answered` [n].

    The file appears whole or not at all. A file name that is not valid UTF-8 keeps its bytes.
    """
    best = probs.argmax(1) if answered is None else answered
    header = ["filename", "index", "label", "prob"]
    columns: list[Sequence[object]] = [
        names,
        best.tolist(),
        [classes[i] for i in best],
        [f"{p:.6g}" for p in probs[np.arange(len(best)), best]],
    ]
    if truth is not None:
        header.append("truth")
        columns.append([classes[i] for i in truth])
    if folds is not None:
        header.append("fold")
        columns.append(folds.tolist())
    files.write_csv(path, header, zip(*columns, strict=True))


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
            precision=hits / predicted if predicted else None,
            recall=hits / support if support else None,
            f1=2 * hits / (support + predicted) if support + predicted else None,
            support=support,
        )
        for label, hits, support, predicted in rows
    ]


def defined(value: float) -> float | None:
    """Return the value as JSON has it: nan becomes None."""
    return None if math.isnan(value) else value


def _hits(probs: Array, labels: Array) -> Array:
    return np.asarray(probs.argmax(1) == labels, dtype=np.float32)


def _mean(values: Array, weights: Array) -> Array:
    """Mean of values [n] under every row of weights [b, n], in float64 -> [b]."""
    sums = weights @ np.stack([values, np.ones(len(values))], axis=1)  # [b, 2]
    means: Array = sums[:, 0] / sums[:, 1]
    return means


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
