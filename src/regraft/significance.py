"""Two models on the same pictures -> p-value: is one really better, or was it luck?

McNemar's test (1947), exact, where pictures are independent; where they come in groups (patients), a sign-flip test
over whole groups, since pictures of one patient are right or wrong together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

Hits = npt.NDArray[np.bool_]  # [n]: whether a model was right on each picture

FLIPS = 9999  # with the observed one 10,000 sign patterns: the smallest p-value is 0.0001
EVERY_PATTERN_TO = 13  # groups; 2^13 = 8,192 patterns are fewer than FLIPS, so all are tried


def mcnemar(first: Hits, second: Hits) -> float:
    """Return the two-sided exact p-value that two models are right equally often, on the same independent pictures."""
    from scipy.stats import binomtest

    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    if only_first + only_second == 0:
        return 1.0
    return float(binomtest(only_first, only_first + only_second).pvalue)


def sign_flip(first: Hits, second: Hits, groups: Sequence[str], *, seed: int = 0) -> float:
    """Return the two-sided p-value that two models are right equally often, on pictures that come in groups.

    If neither is better, each group's difference could as well have had the other sign (Fisher's randomisation test).
    """
    _, group_of = np.unique(np.asarray(groups), return_inverse=True)
    differences = np.bincount(group_of, weights=first.astype(float) - second.astype(float))
    count = len(differences)
    if count <= EVERY_PATTERN_TO:
        bits = np.arange(2**count)[:, None] >> np.arange(count) & 1
        totals = np.abs((1 - 2 * bits) @ differences)  # the observed pattern is among them
        return float((totals >= abs(differences.sum()) - 1e-9).mean())
    signs = np.random.default_rng(seed).choice((-1.0, 1.0), (FLIPS, count))
    as_large = int((np.abs(signs @ differences) >= abs(differences.sum()) - 1e-9).sum())
    return (as_large + 1) / (FLIPS + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for their number (Holm 1979): reject where the result is below the level, all at once."""
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable").tolist()):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


def pairwise(hits: Mapping[str, Hits], groups: Sequence[str] | None, *, seed: int = 0) -> dict[tuple[str, str], float]:
    """Return the corrected p-value of every pair of models, both ways round."""
    pairs = list(combinations(hits, 2))
    raw = [
        mcnemar(hits[a], hits[b]) if groups is None else sign_flip(hits[a], hits[b], groups, seed=seed)
        for a, b in pairs
    ]
    corrected = dict(zip(pairs, holm(raw), strict=True))
    return corrected | {(b, a): p for (a, b), p in corrected.items()}
