"""Where one of two classes is predicted: a threshold that was asked for, and what it reaches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from regraft.config import Config
from regraft.data import Manifest
from regraft.metrics.predictions import Predicted
from regraft.metrics.thresholds import Threshold, fit_threshold, rates, too_few


def few_to_fit(split: Manifest, config: Config) -> list[str]:
    """Return a sentence where the validation part is too small for the target."""
    if config.target is None:
        return []
    notice = too_few(split.labels[split.part("val")], split.classes, **_target(config))
    return [notice] if notice else []


def threshold_of(val: Predicted, split: Manifest, config: Config) -> Threshold | None:
    """Return the threshold that reaches the target on the validation part; None without a target.

    Raises:
        TargetMissed: none does.
    """
    if config.target is None:
        return None
    return fit_threshold(val.probabilities, val.labels, split.classes, **_target(config))


def reached(threshold: Threshold | None, found: Mapping[str, Predicted], split: Manifest, config: Config) -> Any:
    """Return what metrics.json says of a threshold: on how many pictures it was fitted, and what it reaches."""
    if threshold is None:
        return None
    index = split.classes.index(threshold.positive)
    of_parts = {part: _rates(predictions, index, config) for part, predictions in found.items()}
    positive = found["val"].labels == index
    fitted_on = {"positive": int(positive.sum()), "other": int((~positive).sum())}
    return {**asdict(threshold), "fitted_on": fitted_on, **of_parts}


def reached_by_folds(predictions: Predicted, split: Manifest, config: Config) -> dict[str, Any] | None:
    """Return what the thresholds of all folds reach together; None without a target."""
    if config.target is None:
        return None
    return {**_target(config), "test": _rates(predictions, split.classes.index(str(config.positive)), config)}


def _rates(predictions: Predicted, index: int, config: Config) -> dict[str, Any]:
    return rates(predictions.predicted == index, predictions.labels == index, predictions.groups, seed=config.seed)


def _target(config: Config) -> dict[str, Any]:
    assert config.target is not None
    return {"positive": config.positive, "target": config.target[0], "wanted": config.target[1]}
