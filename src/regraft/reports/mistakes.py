"""Confusion matrix -> missed pictures and false alarms: counts that name their classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

CLASSES_COUNTED = 3  # of more than two, those with the most mistakes


class Counted(NamedTuple):
    """How many of some pictures were predicted wrongly: ``3 of 45 infected called healthy``."""

    pictures: int
    of: int
    which: str


def counted(confusion: npt.NDArray[Any], classes: Sequence[str], positive: str | None = None) -> list[Counted]:
    """Count what was missed and what was a false alarm, from counts [k, k], rows = truth.

    Of two classes what is missed of one is a false alarm of the other: only where the one that is looked for is known,
    `positive`, are they called so.
    """
    if len(classes) == 2:
        found = _of_two(confusion, classes, positive)
    else:
        worst = np.argsort(-(confusion.sum(0) + confusion.sum(1) - 2 * confusion.diagonal()), kind="stable")
        found = [one for label in worst[:CLASSES_COUNTED].tolist() for one in _of_many(confusion, classes, label)]
    return [one for one in found if one.of]


def _of_two(confusion: npt.NDArray[Any], classes: Sequence[str], positive: str | None) -> list[Counted]:
    first = 0 if positive is None else classes.index(positive)
    found = []
    for truth in (first, 1 - first):
        which = f"{classes[truth]} called {classes[1 - truth]}"
        if positive is not None:
            which = f"{positive} missed" if truth == first else f"{which}: false alarms"
        found.append(Counted(int(confusion[truth, 1 - truth]), int(confusion[truth].sum()), which))
    return found


def _of_many(confusion: npt.NDArray[Any], classes: Sequence[str], label: int) -> list[Counted]:
    right, of = int(confusion[label, label]), int(confusion[label].sum())
    alarms, others = int(confusion[:, label].sum()) - right, int(confusion.sum()) - of
    return [
        Counted(of - right, of, f"{classes[label]} missed"),
        Counted(alarms, others, f"others called {classes[label]}"),
    ]
