"""Probabilities -> what is predicted: the most probable class, a rare one before it is that, or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from regraft.errors import TargetMissed
from regraft.metrics.functions import defined, share
from regraft.utils.records import Share

TARGETS = ("recall", "precision", "specificity")
UNBALANCED = 1.5  # largest class over smallest; below this, weights change less than chance does
MOST_WEIGHT, MOST_GIVEN_UP = 3.0, 0.01
"""Of a rare class, and of the accuracy. docs/imbalance.md has the figures that these were chosen by."""


@dataclass(frozen=True)
class Threshold:
    """Predict `positive`, one of two classes, wherever its probability is `value` or more; else the other one."""

    positive: str
    value: Share
    target: str  # what it was fitted for: recall, precision or specificity
    wanted: Share  # how much of it

    def answers(self, probabilities: np.ndarray, classes: Sequence[str]) -> np.ndarray:
        """Return the predicted class for each picture: probabilities [n, 2] -> indices into classes [n]."""
        index = classes.index(self.positive)
        scores = probabilities[:, index].astype(np.float64)  # or the threshold would be rounded to their half or float
        predicted: np.ndarray = np.where(scores >= self.value, index, 1 - index)
        return predicted

    def __str__(self) -> str:
        start = rounded(self.value)
        return f"{self.positive!r} from a probability of {start} on, for a {self.target} of {self.wanted:g}"


def rounded(probability: float) -> str:
    """Return three digits of a probability; more where it would read as 1 and is less, and never 0 for what is more."""
    return f"{probability:.3g}" if probability >= 1 else _short_of(1, probability, "g")


def class_weights(shares: np.ndarray, requested: str, probabilities: np.ndarray) -> tuple[float, ...] | None:
    """Return what each class's probability counts when the prediction is chosen; None where all count alike.

    Who predicts the most probable class is right most often, and passes over rare classes. Who weighs each class by the
    inverse of its share finds the classes equally well, and is wrong far more often. Neither touches a probability.

    Args:
        shares: of the classes among the training pictures, [k], above 0.
        requested: ``on`` is the inverse of the shares; ``off`` weighs nothing; ``auto`` takes the square root of the
            inverse, at most 3, where the largest class is over 1.5 times the smallest, and less of it where this would
            give up more than 0.01 of the accuracy that the probabilities themselves let expect.
        probabilities: [n, k], tempered, of pictures that the model has not learned from; no label is looked at, so
            that a class with one picture among them will do.
    """
    rarity = shares.max() / shares
    if requested == "off" or rarity.max() == 1 or (requested == "auto" and rarity.max() <= UNBALANCED):
        return None
    if requested == "on":
        return tuple(rarity.tolist())
    most, highest = np.log(np.minimum(np.sqrt(rarity), MOST_WEIGHT)), probabilities.max(1)
    for part in np.linspace(1, 0, 21):
        weights = np.exp(part * most)
        predicted = weighed(probabilities, weights)
        given_up = np.mean(highest - probabilities[np.arange(len(predicted)), predicted])
        if given_up <= MOST_GIVEN_UP:
            break
    return tuple(np.minimum(weights, MOST_WEIGHT).tolist()) if part else None


def weighed(probabilities: np.ndarray, weights: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return the class with the highest product of probability [n, k] and weight [k], [n]."""
    predicted: np.ndarray = (probabilities.astype(np.float64) * weights).argmax(1)
    return predicted


def weighing(weights: Sequence[float], classes: Sequence[str]) -> str:
    """Say what weights [k] do: of two classes, from which probability on the rare one is predicted."""
    if len(classes) == 2:
        rare = int(np.argmax(weights))
        return f"{classes[rare]!r} from a probability of {rounded(weights[1 - rare] / sum(weights))} on, as it is rare"
    heaviest = sorted(zip(weights, classes, strict=True), reverse=True)[:3]
    said = ", ".join(f"{name!r} {weight:.1f} times" for weight, name in heaviest)
    return f"rare classes from lower probabilities on: these count {said}{' …' if len(classes) > 3 else ''}"


def fit_threshold(
    probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str], *, positive: str, target: str, wanted: float
) -> Threshold:
    """Return the threshold that reaches the target on these pictures, and gives up least for it.

    Thresholds lie between two neighbouring probabilities, halfway, so that a rounding in the last digit changes no
    prediction. Of those that reach the target, it is the one with the highest specificity where a recall is wanted, and
    the one with the highest recall where a precision or a specificity is wanted; among equals, the one with the most of
    what is wanted. One that finds no positive picture, or calls all of them positive, tells nothing apart and is
    not considered.

    Args:
        probabilities: [n, 2], tempered, of pictures that the model has not learned from.
        labels: [n], indices into classes.
        classes: two names.
        positive: the class that is looked for.
        target: recall (sensitivity), precision or specificity.
        wanted: how much of it, above 0 and up to 1.

    Raises:
        TargetMissed: no threshold reaches it; says how much the best one has.
    """
    index = classes.index(positive)
    scores, truth = probabilities[:, index].astype(np.float64), labels == index
    if truth.all() or not truth.any():
        raise TargetMissed(
            f"The validation part has {truth.sum()} pictures of {positive!r} and {(~truth).sum()} others: "
            "no threshold can be fitted. It needs both; --val makes it larger."
        )
    levels, where = np.unique(scores, return_inverse=True)
    below = [np.cumsum(np.bincount(where[of], minlength=len(levels)))[:-1] for of in (truth, ~truth)]
    found, false = (np.sum(of) - count for of, count in zip((truth, ~truth), below, strict=True))  # at each cut
    rates = {
        "recall": found / truth.sum(),
        "precision": found / (found + false),
        "specificity": below[1] / (~truth).sum(),
    }
    useful = (found > 0) & (below[1] > 0)
    reached = np.flatnonzero(useful & (rates[target] >= wanted))
    if not len(reached):
        most = "none tells the classes apart"
        if useful.any():
            most = f"the most is {_short_of(wanted, rates[target][useful].max())}"
        raise TargetMissed(
            f"No threshold on the {truth.sum()} pictures of {positive!r} and {(~truth).sum()} others in the validation "
            f"part gives a {target} of {wanted:g}: {most}. Ask for less."
        )
    other = "specificity" if target == "recall" else "recall"
    cut = max(reached.tolist(), key=lambda cut: (rates[other][cut], rates[target][cut]))
    value = max(levels[cut : cut + 2].mean(), np.nextafter(levels[cut], 1))  # the mean of neighbours may be the lower
    return Threshold(positive, float(value), target, wanted)


def too_few(labels: np.ndarray, classes: Sequence[str], *, positive: str, target: str, wanted: float) -> str:
    """Return a sentence where one picture more or less decides whether the target is reached; else nothing.

    A recall of 0.99 is about one miss in a hundred: it takes more than 100 positive pictures to see that there is one.
    For a precision all pictures are counted, as no more can be answered.

    Args:
        labels: [n], of the pictures that the threshold is fitted on.
        classes: two names.
        positive: the class that is looked for.
        target: as in `fit_threshold`.
        wanted: as in `fit_threshold`.
    """
    truth = labels == classes.index(positive)
    count, what = {
        "recall": (int(truth.sum()), f"pictures of {positive!r}"),
        "precision": (len(truth), "pictures"),
        "specificity": (int((~truth).sum()), f"pictures that are not {positive!r}"),
    }[target]
    if count * (1 - wanted) > 1 + 1e-9:
        return ""
    needed = (
        f"more than {1 / (1 - wanted):.0f}" if wanted < 1 else "no number of them is enough for certainty, but many"
    )
    return (
        f"The threshold is fitted on {count} {what}; a {target} of {wanted:g} can be known from {needed}. "
        "Read the interval on the test part, and take more pictures or a larger --val where you can."
    )


def shortfall(reached: Mapping[str, Any] | None) -> list[str]:
    """Say that the test pictures got less than was asked for; nothing where they got it, or there is no target.

    Args:
        reached: what metrics.json says of a threshold.
    """
    if reached is None:
        return []
    target, test = reached["target"], reached["test"]
    got = test[target]
    if got is None or got >= reached["wanted"]:
        return []
    low, high = test[f"{target}_ci"]
    between = "" if low is None or high is None else f", with 95 % confidence between {low:.3f} and {high:.3f}"
    return [
        f"A {target} of {reached['wanted']:g} for {reached['positive']!r} was asked for; on the test pictures it is "
        f"{_short_of(reached['wanted'], got)}{between}."
    ]


def _short_of(wanted: float, got: float, style: str = "f") -> str:
    """Return a lower figure with as many digits as it takes to see that it is lower: 0.9899 of 0.99."""
    return next(text for digits in range(3, 26) if float(text := f"{got:.{digits}{style}}") < wanted)


def rates(
    found: np.ndarray, truth: np.ndarray, groups: Sequence[str] | None = None, *, seed: int = 0
) -> dict[str, Any]:
    """Return recall, precision and specificity for JSON, each with a ``…_ci``; None where there is nothing to count.

    An interval is drawn over the pictures that the figure counts, or over their groups: the positive ones for recall,
    those that were called positive for precision, the negative ones for specificity.

    Args:
        found: bool [n], whether positive was predicted.
        truth: bool [n], whether it is.
        groups: [n].
        seed: of the bootstrap.
    """
    counted = {"recall": (truth, found), "precision": (found, truth), "specificity": (~truth, ~found)}
    flat: dict[str, Any] = {}
    for name, (which, correct) in counted.items():
        flat |= _named(name, correct, which, groups, seed)
    return flat


def abstaining(
    probabilities: np.ndarray,
    labels: np.ndarray,
    below: float,
    groups: Sequence[str] | None = None,
    *,
    predicted: np.ndarray | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Return what is left when pictures whose highest probability is below `below` are not predicted, for JSON.

    That is the coverage, the share of the pictures that are predicted, and the accuracy on these, each with a ``…_ci``.

    Args:
        probabilities: [n, k].
        labels: [n].
        below: a probability.
        groups: [n].
        predicted: the predicted classes, [n]; the most probable ones by default.
        seed: of the bootstrap.
    """
    sure = probabilities.max(1) >= below
    correct = (probabilities.argmax(1) if predicted is None else predicted) == labels
    return {
        "below": below,
        "n_answered": int(sure.sum()),
        **_named("coverage", sure, np.ones_like(sure), groups, seed),
        **_named("accuracy", correct, sure, groups, seed),
    }


def _named(
    name: str, correct: np.ndarray, which: np.ndarray, groups: Sequence[str] | None, seed: int
) -> dict[str, Any]:
    chosen = None if groups is None else [groups[index] for index in np.flatnonzero(which).tolist()]
    value, interval = share(correct[which], chosen, seed=seed)
    return {name: defined(value), f"{name}_ci": [defined(bound) for bound in interval]}
