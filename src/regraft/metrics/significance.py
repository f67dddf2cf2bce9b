"""Two models on the same pictures -> p-value: is one really better, or was it luck?

McNemar's test (1947), exact, where pictures are independent; where they come in groups (patients), a sign-flip test
over whole groups, since pictures of one patient are right or wrong together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

Correct = npt.NDArray[np.bool_]  # [n]: whether a model was right on each picture

FLIPS = 9999  # with the observed one 10,000 sign patterns: the smallest p-value is 0.0001
FLIPS_PER_PAIR = 40  # of models: the smallest p-value, corrected for the number of pairs, is 0.025


def mcnemar(first: Correct, second: Correct) -> float:
    """Return the two-sided exact p-value that two models are right equally often, on the same independent pictures."""
    from scipy.stats import binomtest

    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    if only_first + only_second == 0:
        return 1.0
    return float(binomtest(only_first, only_first + only_second).pvalue)


def sign_flip(first: Correct, second: Correct, groups: Sequence[str], *, seed: int = 0) -> float:
    """Return the two-sided p-value that two models are right equally often, on pictures that come in groups.

    If neither is better, each group's difference could as well have had the other sign (Fisher's randomisation test).
    Where there are so many groups that not all patterns of signs can be tried, some are drawn.
    """
    return _sign_flips(_of_groups(first, groups) - _of_groups(second, groups), seed)[0]


def _of_groups(correct: Correct, groups: Sequence[str]) -> npt.NDArray[np.float64]:
    """How many pictures of each group are right: [groups, 1]."""
    _, group_of = np.unique(np.asarray(groups), return_inverse=True)
    return np.bincount(group_of, weights=correct.astype(float)).astype(np.float64)[:, None]


def _sign_flips(differences: npt.NDArray[np.float64], seed: int) -> list[float]:
    """The p-value of each pair of models, from the groups' differences [groups, pairs].

    The more pairs the result is to be corrected for, the more patterns of signs are drawn; the same for all pairs.
    """
    count, pairs = differences.shape
    flips, observed = _flips(pairs), np.abs(differences.sum(0)) - 1e-9
    tried_all = 2**count <= flips + 1
    if tried_all:  # the observed pattern is among them
        signs = 1.0 - 2 * (np.arange(2**count)[:, None] >> np.arange(count) & 1)
    else:
        signs = np.random.default_rng(seed).choice((-1.0, 1.0), (flips, count))
    as_large = sum((np.abs(some @ differences) >= observed).sum(0) for some in np.array_split(signs, 32))
    found: list[float] = (as_large / len(signs) if tried_all else (as_large + 1) / (len(signs) + 1)).tolist()
    return found


def _flips(pairs: int) -> int:
    return max(FLIPS, FLIPS_PER_PAIR * pairs)


def least_p(groups: int, models: int) -> float:
    """Return the smallest p-value that any pair of so many models can have, corrected for the number of pairs.

    With six groups there are 64 patterns of signs, and two of them are as extreme as can be: 0.03 for two models, 0.1
    for three, however much better one of them is.
    """
    pairs = models * (models - 1) // 2
    least: float = max(2 / 2**groups, 1 / (_flips(pairs) + 1))
    return min(1.0, pairs * least)


def p_value(first: Correct, second: Correct, groups: Sequence[str] | None, *, seed: int = 0) -> float:
    """Return the two-sided p-value that two models are right equally often; by groups where there are groups."""
    return mcnemar(first, second) if groups is None else sign_flip(first, second, groups, seed=seed)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for their number (Holm 1979): reject where the result is below the level, all at once."""
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable").tolist()):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


def pairwise(
    correct: Mapping[str, Correct], groups: Sequence[str] | None, *, seed: int = 0
) -> dict[tuple[str, str], float]:
    """Return the corrected p-value of every pair of models, both ways round."""
    pairs = list(combinations(correct, 2))
    if groups is None or not pairs:
        raw = [mcnemar(correct[a], correct[b]) for a, b in pairs]
    else:
        right = {name: _of_groups(found, groups) for name, found in correct.items()}
        raw = _sign_flips(np.hstack([right[a] - right[b] for a, b in pairs]), seed)
    corrected = dict(zip(pairs, holm(raw), strict=True))
    return corrected | {(b, a): p for (a, b), p in corrected.items()}
