"""Keep what a model answered on the test part: every figure and curve of a report is computed from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from regraft import files
from regraft.data import Manifest

ANSWERS = "answers.npz"


@dataclass(frozen=True, eq=False)
class Answers:
    """Probabilities for all test pictures, in the order of predictions.csv, with what they are measured against."""

    probabilities: np.ndarray  # [n, classes]
    labels: np.ndarray  # [n]
    groups: list[str] | None  # [n]
    answered: np.ndarray | None = None  # [n], the classes answered with a threshold; None: the most probable ones

    @classmethod
    def of(cls, parts: Manifest, probabilities: np.ndarray, answered: np.ndarray | None = None) -> Answers:
        """Return the answers for a split's test part."""
        which = parts.part("test")
        groups = parts.groups
        return cls(probabilities, parts.labels[which], groups and [groups[index] for index in which], answered)

    @classmethod
    def together(cls, folds: Sequence[Answers]) -> Answers:
        """Join the folds of a cross-validation."""
        groups = None if folds[0].groups is None else [group for fold in folds for group in fold.groups or ()]
        return cls(
            np.concatenate([fold.probabilities for fold in folds]),
            np.concatenate([fold.labels for fold in folds]),
            groups,
            None if folds[0].answered is None else np.concatenate([fold.given for fold in folds]),
        )

    @property
    def given(self) -> np.ndarray:
        """The classes answered, [n]."""
        given: np.ndarray = self.probabilities.argmax(1) if self.answered is None else self.answered
        return given

    @property
    def hits(self) -> np.ndarray:
        """Whether the class answered is the true one, [n]."""
        right: np.ndarray = self.given == self.labels
        return right

    def save(self, folder: Path) -> None:
        """Write answers.npz, whole or not at all."""
        groups = np.array(self.groups or [], dtype=np.str_)
        with files.whole(folder / ANSWERS) as temporary, temporary.open("wb") as file:
            arrays = {"probabilities": self.probabilities, "labels": self.labels, "groups": groups}
            np.savez(file, **arrays, **({} if self.answered is None else {"answered": self.answered}))  # type: ignore[arg-type]

    @classmethod
    def load(cls, folder: Path) -> Answers:
        """Read what `save` wrote."""
        with np.load(folder / ANSWERS, allow_pickle=False) as kept:
            answered = kept.get("answered")
            return cls(kept["probabilities"], kept["labels"], kept["groups"].tolist() or None, answered)
