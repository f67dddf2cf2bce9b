"""Predictions x truth -> is a model better than always predicting the commonest class, and if not, why?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from regraft.metrics.functions import Scores
from regraft.metrics.significance import p_value

LEVEL = 0.05
FEW_TO_LEARN, FEW_TO_TEST = 20, 10  # pictures of a class; of all classes but the commonest


@dataclass(frozen=True)
class Baseline:
    """What always predicting the commonest class of the test pictures would have been right for, beside a model."""

    label: str
    accuracy: float  # its share of the test pictures
    of_model: float  # the model's accuracy
    told_apart: bool  # whether the model's is more than chance would make it
    learned: bool  # whether it is shown to rank the classes better than chance, though it may predict no better
    reasons: tuple[str, ...] = ()  # why it may be no better, the likeliest first
    chance: bool = False  # whether its ranking may be chance; without an interval of the AUROC neither is known

    @classmethod
    def of(
        cls,
        predicted: np.ndarray,
        labels: np.ndarray,
        scores: Scores,
        classes: Sequence[str],
        groups: Sequence[str] | None = None,
        *,
        seed: int = 0,
    ) -> Baseline:
        """Compare predictions [n] with labels [n]; `scores` are the figures of these."""
        common, of_model = int(np.bincount(labels).argmax()), float((predicted == labels).mean())
        correct, always = predicted == labels, labels == common
        # the test alone will not do: of five groups it cannot give less than 0.06
        apart = _low(scores, "accuracy") > always.mean() or p_value(correct, always, groups, seed=seed) <= LEVEL
        ranks = _low(scores, "auroc")
        learned = bool(ranks > 0.5)
        # where one right order or one wrong one is all there is, there is no interval, and only the figure to go by
        chance = not learned and not (math.isnan(ranks) and scores.values["auroc"] > 0.5)
        return cls(classes[common], float(always.mean()), of_model, bool(apart), learned, chance=chance)

    @property
    def verdict(self) -> str:
        """``better``, ``no better`` as far as these pictures can tell, or ``worse``."""
        if self.of_model < self.accuracy:
            return "worse"
        return "better" if self.told_apart else "no better"

    def as_dict(self) -> dict[str, Any]:
        """Return what metrics.json and ``--json`` say."""
        return {
            "class": self.label,
            "accuracy": self.accuracy,
            "below": self.verdict == "worse",
            "verdict": self.verdict,
            **({"reasons": list(self.reasons)} if self.reasons else {}),
        }


def _low(scores: Scores, name: str) -> float:
    """Return the lower end of a figure's interval, for these groups alone where there is none for others; or nan."""
    low = scores.intervals[name][0]
    return scores.these[name][0] if math.isnan(low) and scores.these else low


def sentences(found: Mapping[str, Any] | None, accuracy: float) -> list[str]:
    """Say first what a model is not good for, and why; nothing where it is better than its baseline.

    Args:
        found: what metrics.json says of the baseline; None in runs of before.
        accuracy: of the model.
    """
    if not found or found["verdict"] == "better":
        return []
    always = f"always predicting {found['class']!r}"
    right = (
        f"of the test pictures {100 * accuracy:.1f} % are predicted correctly, against {100 * found['accuracy']:.1f} %"
    )
    chance = ", which may be chance" if accuracy > found["accuracy"] else ""
    said = f"Not shown to be better than {always}: {right}{chance}."
    if found["below"]:
        said = f"Worse than {always}: {right}."
    return [said, *found.get("reasons", ())]


@dataclass(frozen=True)
class Circumstances:
    """What is known of a model that is no better than its baseline."""

    others: int  # test pictures that are not of the commonest class
    tested: int
    size: int  # pixels, of what the network sees
    counts: Mapping[str, int] = field(default_factory=dict)  # training pictures of each class
    epochs: int | None = None  # that the user asked for
    unfinished: str = ""  # where it was stopped
    diverged: bool = False
    random: bool = False  # the frozen part has random weights
    costly: bool = False  # the most probable class would have been right more often than what is predicted
    aimed: bool = False  # what is predicted goes by a target, such as a recall; else rare classes may be weighed


def reasons(found: Baseline, known: Circumstances) -> tuple[str, ...]:
    """Return why a model may be no better than its baseline, the likeliest first."""
    rarest, few = min(known.counts.items(), key=lambda pair: pair[1], default=("", FEW_TO_LEARN))
    said = [
        (known.unfinished, f"The training was {known.unfinished}."),
        (
            known.diverged,
            "The training diverged: its loss ceased to be a number. Use a smaller --lr or --tail-lr.",
        ),
        (
            known.random,
            "What is frozen has random weights, and what comes after it can do little with that: use pretrained ones.",
        ),
        (
            known.epochs and known.epochs < 5,
            f"It was to learn for {known.epochs} epoch{'' if known.epochs == 1 else 's'} only.",
        ),
        (few < FEW_TO_LEARN, f"There are {few} training pictures of {rarest!r}: few to learn from."),
        (
            known.others < FEW_TO_TEST,
            f"Of the {known.tested} test pictures only {known.others} {'is' if known.others == 1 else 'are'} not "
            f"{found.label!r}: too few for any model to show more.",
        ),
        (
            known.costly and not known.aimed,
            "Rare classes are weighed up when predicting; --class-weights=off predicts the most probable class.",
        ),
        (
            known.costly and known.aimed,
            "It predicts by its target, and not the most probable class, which would be right more often.",
        ),
        (found.learned, "It does rank the classes better than chance, see AUROC."),
        (
            found.chance,
            "Nor does it rank the classes better than chance: are the labels right (regraft check), and can one see "
            f"the classes in {known.size} pixels (--img-size)?",
        ),
    ]
    return tuple(sentence for holds, sentence in said if holds)


def is_random(lineage: Sequence[Mapping[str, Any]]) -> bool:
    """Say whether the weights that a run began with are random."""
    return len(lineage) == 1 and str(lineage[0].get("weights", "")).startswith("random")


def diverged(history: Sequence[Mapping[str, Any]]) -> bool:
    """Say whether the loss of an epoch is no number."""
    return any(not math.isfinite(float(row["val_loss"])) for row in history)
