"""A figure -> its interval: for pictures to come, for these groups with other pictures of them, for groups to come."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from regraft.data.rows import name_some

Array = npt.NDArray[Any]
Interval = tuple[float, float]
NONE: Interval = (math.nan, math.nan)
LEVEL = 0.95  # of every interval
BLOCKS = 100  # of pictures or groups that are left out in turn: more say little more about the skew
CHUNK = 2**22  # weights drawn at once, 16 MB in float32: bounds the memory, and larger chunks are no faster

LEAST_GROUPS = 10  # with fewer there is no interval for groups to come: at 8 to 10 it is 0.3 to 0.5 wide as it is
ENOUGH_GROUPS = 40  # with fewer it is wide: at 20 groups that differ as patients do, about 0.15
LEAST_OF_CLASS = 10  # pictures, for the interval of a figure in which each class counts alike
LEAST_GROUPS_OF_CLASS = 5  # the same for groups to come: with fewer, a class is as a mistake that few groups make
FARTHEST = 2.0  # times as far as without skewness goes a bound that is corrected for it
LEAST_MISTAKES = 5  # with fewer, the next group may have more of them than all of these: nothing shows how groups vary


class Scale(NamedTuple):
    """Where a figure's errors are about as large on either side."""

    to: Callable[[float], float]
    slope: Callable[[float], float]  # of `to`
    back: Callable[[float], float]
    within: Interval  # the figure itself lies between these, and on them there is nothing to say


def _expit(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


SHARE = Scale(lambda p: math.log(p / (1 - p)), lambda p: 1 / (p * (1 - p)), _expit, (0.0, 1.0))  # log odds
LOSS = Scale(math.log, lambda x: 1 / x, lambda x: math.exp(min(x, 700)), (0.0, math.inf))
DIFFERENCE = Scale(float, lambda _: 1.0, float, (-math.inf, math.inf))


def for_groups_to_come(value: float, without: Array, sizes: Array, scale: Scale = SHARE) -> Interval:
    """Return the interval of a figure over groups that are yet to come, from what it is without each of these.

    The standard error is the jackknife's over whole groups, which for a mean is the cluster-robust one with the
    correction CR3 (Cameron & Miller, Journal of Human Resources 50 (2015), section VI), on the log odds of a share, the
    logarithm of a loss. The quantile is that of Student's t with one less than the effective number of groups, which
    is smaller the less equal they are in size (Kish 1965, section 11.7; Carter, Schnepel & Steigerwald, Review of
    Economics and Statistics 99 (2017)). A few groups have most of the mistakes, so each bound is the farther one of
    this interval and of the one corrected for skewness (Hall, JRSS B 54 (1992)): with few groups the skewness is seen
    too small, and each alone falls short on one side.

    Simulated for 10, 20 and 40 groups that differ not at all to very much, equal to very unequal in size, accuracies of
    0.80 to 0.99, it held the truth in 92 to 99 of 100 (`benchmarks/coverage.py`). The same t without the corrections
    fell to 80 at 40 groups, where a few of them have most of the mistakes, and a bootstrap-t to 86.

    Args:
        value: of all groups.
        without: the figure without each group, or each of 100 blocks of them.
        sizes: pictures of each group.
        scale: where errors are about as large on either side.

    Returns nan where there is none: fewer than 10 groups, a figure at its bound, or one that is undefined without one
    of the groups.
    """
    from scipy.special import stdtrit  # comes with scikit-learn

    count, (least, most) = len(without), scale.within
    if count < LEAST_GROUPS or not least < value < most or np.isnan(without).any():
        return NONE
    influence = (count - 1) * (without.mean() - without) * scale.slope(value)
    error = math.sqrt(float((influence**2).sum()) / (count - 1) / count)
    if error < 1e-9:  # all groups alike, but for rounding
        return NONE
    reach = -float(stdtrit(max(effective(sizes) - 1, 1), (1 - LEVEL) / 2))
    ends = [end for reached in (reach, -reach) for end in (reached, _unskewed(reached, influence))]
    return scale.back(scale.to(value) - max(ends) * error), scale.back(scale.to(value) - min(ends) * error)


def effective(sizes: Array) -> float:
    """Return how many groups of equal size tell as much as groups of these sizes [g] (Kish 1965)."""
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def _unskewed(reach: float, influence: Array) -> float:
    """Return where t lies whose transform, free of skewness, is `reach`: the inverse of Hall's cubic (1992).

    Where one of 40 groups has nearly all mistakes, the cubic goes on to seven standard errors: an AUROC of 0.997 had an
    interval from 0.64. Ended at twice the reach, the simulated intervals held the truth as often, within 0.5 of 100,
    and the lowest of 100 ended at 0.88 in the place of 0.55.
    """
    count = len(influence)
    skewness = float((influence**3).mean() / (influence**2).mean() ** 1.5)
    third = skewness * math.sqrt(count * (count - 1)) / (count - 2) / 3
    if abs(third) < 1e-9:
        return reach
    inside = 1 + 3 * third * (reach / math.sqrt(count) - third / (2 * count))
    there = float((np.cbrt(inside) - 1) / third * math.sqrt(count))
    return math.copysign(min(abs(there), FARTHEST * abs(reach)), there)


def exact(share: float, units: float) -> Interval:
    """Return the interval of a share of so many independent pictures or groups (Clopper & Pearson 1934).

    It holds the truth at least as often as it says, and promises no certainty where the share is 0 or 1.
    """
    from scipy.special import betaincinv

    tail, count = (1 - LEVEL) / 2, share * units
    low = float(betaincinv(count, units - count + 1, tail)) if count > 0 else 0.0
    high = float(betaincinv(count + 1, units - count, 1 - tail)) if count < units else 1.0
    return low, high


def groups_of_classes(labels: Array, groups: Sequence[Any], classes: int) -> Array:
    """Return how many groups have pictures of each class [classes], from labels and groups [n]."""
    pairs = set(zip(labels.tolist(), groups, strict=True))
    counts: Array = np.bincount([label for label, _ in pairs], minlength=classes)
    return counts


def share_for_groups_to_come(share: float, without: Array, sizes: Array) -> Interval:
    """Return the interval of a share of pictures as `for_groups_to_come`, whose arguments it takes.

    Where `few` pictures tell, it is the exact one of as many predictions as there are groups: wide, and safe.
    """
    if len(without) >= LEAST_GROUPS and few(share, int(sizes.sum())):
        return exact(share, effective(sizes))
    return for_groups_to_come(share, without, sizes)


def few(share: float, pictures: int) -> bool:
    """Return whether a share is so near 0 or 1 that too few pictures are left to show how groups differ."""
    return min(share, 1 - share) * pictures < LEAST_MISTAKES - 0.5


def enough_of_classes(counts: Array, least: int) -> bool:
    """Return whether pictures of each class [k], or groups that have some, are enough for a mean over the classes.

    Of one picture of a class, such a mean knows only whether that one is told apart: drawing it again shows nothing of
    the others of its class. Beside 300 pictures of another class, 95 % intervals of the balanced accuracy held the
    truth in 26 to 75 of 100 with 1 picture of the rare class, in 76 to 83 with 5, in 89 to 97 with 10; those of the
    AUROC in 12 to 21, 76 to 84 and 86 to 91. A few pictures of each of many classes do: what counts then is how many
    equally weighty ones tell as much (Kish 1965), at least those that two classes of twice `least` are.
    """
    tested = counts[counts > 0]
    return bool(tested.min() >= least or len(tested) ** 2 / (1 / tested).sum() >= 4 * least)


@dataclass(frozen=True, eq=False)
class Resampling:
    """A bootstrap over units, which are pictures or whole groups; with strata, each stratum keeps its number of units.

    The intervals are percentiles, moved outwards for few units (Hesterberg 2015, expanded percentiles) and for figures
    near their best value, whose draws lie to one side (Efron 1987, BCa). With 1000 draws a 95 % bound still has 25
    draws beyond it. Draws in which a figure is undefined are left out of its interval.
    """

    units: Array  # [n], the number of each picture's unit
    strata: Array | None = None  # [n], where every picture is a unit: the number of its stratum
    bootstraps: int = 1000
    seed: int = 0

    @classmethod
    def of(cls, n: int, groups: Sequence[str] | None = None, **settings: Any) -> Resampling:
        """Draw n pictures, or their groups [n]."""
        return cls(
            np.arange(n) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1], **settings
        )

    def within(self) -> Resampling:
        """Draw other pictures of the same groups (Davison & Hinkley 1997, section 3.2)."""
        return replace(self, units=np.arange(len(self.units)), strata=self.units)

    @property
    def count(self) -> int:
        """How many pictures or groups there are to draw."""
        return int(self.units.max()) + 1

    @property
    def grouped(self) -> bool:
        """Whether whole groups are drawn."""
        return self.count < len(self.units)

    @property
    def reach(self) -> float:
        """How many standard errors the interval goes to either side; nan where no unit is free.

        Resampled means of u units vary by sqrt((u - 1) / u) too little, and normal tails are too thin for u units:
        Hesterberg, What Teachers Should Know About the Bootstrap, The American Statistician 69 (2015), section 4.
        """
        from scipy.special import stdtrit

        free = self.count - (1 if self.strata is None else int(self.strata.max()) + 1)
        if not free:
            return math.nan
        return -math.sqrt(self.count / free) * float(stdtrit(free, (1 - LEVEL) / 2))

    def weights(self) -> Iterator[Array]:
        """Draw with replacement; yield weights float32 [b, n], a chunk at a time."""
        rng, size = np.random.default_rng(self.seed), self.count
        chunk = max(1, CHUNK // len(self.units))
        for start in range(0, self.bootstraps, chunk):
            rows = min(chunk, self.bootstraps - start)
            drawn = self._drawn(rng, rows) + size * np.arange(rows)[:, None]  # each draw counts apart
            counts = np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size)
            yield counts.T.astype(np.float32).take(self.units, axis=0).T  # draws of a picture side by side: fast

    def _drawn(self, rng: np.random.Generator, rows: int) -> Array:
        """Return numbers of units [rows, units]."""
        if self.strata is None:
            return rng.integers(self.count, size=(rows, self.count))
        order = np.argsort(self.strata, kind="stable")
        sizes = np.bincount(self.strata)
        first, of = (np.cumsum(sizes) - sizes)[self.strata], sizes[self.strata]
        places = first + (rng.random((rows, self.count)) * of).astype(np.int64)
        drawn: Array = order[places]
        return drawn

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

    @property
    def sizes(self) -> Array:
        """How many pictures each unit has."""
        sizes: Array = np.bincount(self.units)
        return sizes

    def interval(self, draws: Array, value: float | None = None, without: Array | None = None) -> Interval:
        """Return the percentiles of a figure's draws; nan where they say nothing: no free unit, or all draws equal.

        With the figure itself and what it is `left_out`, the percentiles are corrected.
        """
        from scipy.special import ndtr

        defined = draws[~np.isnan(draws)]
        if math.isnan(self.reach) or not len(defined) or defined.min() == defined.max():
            return NONE
        ends = np.array([-self.reach, self.reach])
        if value is not None and without is not None:
            ends = _corrected(ends, value, defined, without[~np.isnan(without)])
        low, high = np.quantile(defined, ndtr(ends))
        return float(low), float(high)

    def interval_of_share(self, draws: Array, value: float, without: Array) -> Interval:
        """Return the interval of a share of pictures, whose draws are all equal where it is 0 or 1."""
        if value not in (0, 1) or math.isnan(self.reach):
            return self.interval(draws, value, without)
        return exact(value, self.count)


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


# ---- in plain words -------------------------------------------------------------------------------------------------

FOLDS = "--folds 5 tests every group once."


def few_to_test(tested: int, groups: int) -> list[str]:
    """Return a sentence, before anything is learned, where few of the groups are in the test part."""
    if tested >= ENOUGH_GROUPS:
        return []
    so = "too few for an interval" if tested < LEAST_GROUPS else "the interval will be wide"
    return [f"Only {tested} of {groups} groups will be tested, {so}. {FOLDS}"]


def these_groups(count: int) -> str:
    """Return ``this group`` or ``these 5 groups``."""
    return "this group" if count == 1 else f"these {count} groups"


def few_groups(count: int | None, remedy: str = "") -> list[str]:
    """Return a sentence where figures rest on few groups; none where there are many, or pictures without groups.

    `remedy` is a sentence on how more of them can be tested.
    """
    if count is None or count >= ENOUGH_GROUPS:
        return []
    said = f"Only {count} group{' was' if count == 1 else 's were'} tested: other groups may give other figures"
    said += ", and there is no interval for them." if count < LEAST_GROUPS else ", and the interval for them is wide."
    return [f"{said} {remedy}".strip()]


def few_of_classes(labels: Array, groups: Sequence[Any] | None, classes: Sequence[str]) -> list[str]:
    """Return a sentence where a class has too few pictures, or groups, for the intervals of means over classes.

    Args:
        labels: of the tested pictures [n], indices into the classes.
        groups: their groups [n], where there are some.
        classes: the names.
    """
    so = "too few for intervals of what is a mean over the classes (balanced accuracy, macro F1, AUROC)"
    counts = np.bincount(labels, minlength=len(classes))
    if not enough_of_classes(counts, LEAST_OF_CLASS):
        rare = [
            f"{name!r} ({count})" for name, count in zip(classes, counts, strict=True) if 0 < count < LEAST_OF_CLASS
        ]
        return [f"Fewer than {LEAST_OF_CLASS} tested pictures are of {name_some(rare)}, {so}."]
    if groups is not None and len(set(groups)) < len(labels):
        counts = groups_of_classes(labels, groups, len(classes))
        if len(set(groups)) >= LEAST_GROUPS and not enough_of_classes(counts, LEAST_GROUPS_OF_CLASS):
            few = [name for name, count in zip(classes, counts, strict=True) if 0 < count < LEAST_GROUPS_OF_CLASS]
            named = name_some([repr(name) for name in few])
            return [
                f"Fewer than {LEAST_GROUPS_OF_CLASS} tested groups have pictures of {named}, {so} for groups to come."
            ]
    return []


def few_mistakes(count: int | None, accuracy: float, pictures: int) -> list[str]:
    """Return a sentence where so few predictions are wrong, or right, that they do not show how groups differ."""
    if count is None or count < LEAST_GROUPS or not few(accuracy, pictures):
        return []
    number, what = round(min(accuracy, 1 - accuracy) * pictures), "wrong" if accuracy > 0.5 else "right"
    return [
        f"{number or 'No'} prediction{' is' if number == 1 else 's are'} {what}, too few to show how groups differ: "
        "the interval of the accuracy counts each group as one picture, and other figures have none for groups to come."
    ]
