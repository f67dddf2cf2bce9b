"""Test-time augmentation: probabilities of a picture's views -> one prediction, and what that has gained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from regraft.metrics.predictions import Predicted


def mean_over_views(probabilities: np.ndarray) -> np.ndarray:
    """Return the mean over views, [views, n, classes] -> [n, classes]: of logarithms, so that it commutes with cooling.

    On malaria cells by patient (12 splits, four quarter turns) it has the accuracy and AUROC of the plain mean. Where
    the temperature was fitted on plain pictures, its calibration error stays 0.028, and the plain mean's is 0.040.
    """
    if len(probabilities) == 1:
        plain: np.ndarray = probabilities[0]
        return plain
    least = np.finfo(probabilities.dtype).tiny
    logs: np.ndarray = np.log(np.maximum(probabilities, least)).mean(0)
    scores = np.exp(logs - logs.max(1, keepdims=True))
    mean: np.ndarray = scores / scores.sum(1, keepdims=True)
    return mean


def about_tta(views: int, plain: Predicted, classes: Sequence[str], seed: int = 0) -> dict[str, Any]:
    """Return what is said of test-time augmentation beside the figures: those without it, from the plain pictures."""
    return {"views": views, "without": plain.scores(classes, seed).as_dict()}


def sentence(tta: Mapping[str, Any] | None, accuracy: float) -> str:
    """Say how often each picture was looked at, and what one look gives; nothing where it was one."""
    if not tta:
        return ""
    views = tta["views"]
    return (
        f"Each picture is looked at {views} times (--tta): accuracy {accuracy:.3f}. Looked at once, "
        f"{views} times as quick, the same model has {tta['without']['accuracy']:.3f} (--tta 1)."
    )
