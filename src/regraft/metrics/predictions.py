"""Keep what a model predicted on the test part: every figure and curve of a report is computed from it."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from regraft.data import Manifest
from regraft.errors import RunError, reason_of
from regraft.metrics.baseline import Baseline
from regraft.metrics.functions import Scores, evaluate
from regraft.metrics.intervals import Resampling
from regraft.utils import files

PREDICTIONS = "answers.npz"
PLAIN = "answers_plain.npz"  # from the plain pictures alone, where they were predicted from several views of each


@dataclass(frozen=True, eq=False)
class Predicted:
    """Probabilities for all test pictures, in the order of predictions.csv, with what they are measured against."""

    probabilities: np.ndarray  # [n, classes]
    labels: np.ndarray  # [n]
    groups: list[str] | None  # [n]
    decided: np.ndarray | None = None  # [n], the predicted classes; None: the most probable ones

    @classmethod
    def of(
        cls, split: Manifest, probabilities: np.ndarray, decided: np.ndarray | None = None, part: str = "test"
    ) -> Predicted:
        """Return the predictions for a part of a split."""
        which, groups = split.part(part), split.groups
        return cls(probabilities, split.labels[which], groups and [groups[index] for index in which], decided)

    @classmethod
    def together(cls, folds: Sequence[Predicted]) -> Predicted:
        """Join the folds of a cross-validation."""
        groups = None if folds[0].groups is None else [group for fold in folds for group in fold.groups or ()]
        return cls(
            np.concatenate([fold.probabilities for fold in folds]),
            np.concatenate([fold.labels for fold in folds]),
            groups,
            None if all(fold.decided is None for fold in folds) else np.concatenate([fold.predicted for fold in folds]),
        )

    @property
    def predicted(self) -> np.ndarray:
        """The predicted classes, [n]."""
        predicted: np.ndarray = self.probabilities.argmax(1) if self.decided is None else self.decided
        return predicted

    @property
    def correct(self) -> np.ndarray:
        """Whether the predicted class is the true one, [n]."""
        right: np.ndarray = self.predicted == self.labels
        return right

    @property
    def most_probable(self) -> Predicted:
        """The same, predicted by the probabilities alone."""
        return replace(self, decided=None)

    def scores(self, classes: Sequence[str], seed: int = 0) -> Scores:
        """Return the figures, with intervals over groups where there are groups."""
        again = Resampling.of(len(self.labels), self.groups, seed=seed)
        return evaluate(self.probabilities, self.labels, classes, predicted=self.decided, again=again)

    def baseline(self, scores: Scores, classes: Sequence[str], seed: int = 0) -> Baseline:
        """Set the predictions beside always predicting the commonest class; `scores` are their figures."""
        return Baseline.of(self.predicted, self.labels, scores, classes, self.groups, seed=seed)

    def write_csv(
        self, path: Path, names: Sequence[str], classes: Sequence[str], folds: np.ndarray | None = None
    ) -> None:
        """Write predictions.csv: filename, index, label, prob of the predicted class, truth (a class name).

        With `folds` [n] also the fold whose model predicted, a number from 1; and behind these a column for each class,
        ``prob_<class>``. The file appears whole or not at all. A file name that is not valid UTF-8 keeps its bytes.
        """
        predicted = self.predicted
        columns = {
            "filename": names,
            "index": predicted.tolist(),
            "label": [classes[index] for index in predicted],
            "prob": _written(self.probabilities[np.arange(len(predicted)), predicted]),
            "truth": [classes[index] for index in self.labels],
            **({} if folds is None else {"fold": folds.tolist()}),
            **{
                f"prob_{name}": _written(of_class) for name, of_class in zip(classes, self.probabilities.T, strict=True)
            },
        }
        files.write_csv(path, list(columns), zip(*columns.values(), strict=True))

    def save(self, folder: Path, name: str = PREDICTIONS) -> None:
        """Write answers.npz, or a file of another name, whole or not at all."""
        groups = np.array(self.groups or [], dtype=np.str_)
        with files.whole(folder / name) as temporary, temporary.open("wb") as file:
            arrays = {"probabilities": self.probabilities, "labels": self.labels, "groups": groups}
            np.savez(file, **arrays, **({} if self.decided is None else {"answered": self.decided}))  # type: ignore[arg-type]

    @classmethod
    def load(cls, folder: Path, name: str = PREDICTIONS) -> Predicted:
        """Read what `save` wrote.

        Raises:
            RunError: it is missing, damaged, or does not fit together.
        """
        path = folder / name
        try:
            return cls._checked(_arrays(path))
        except Exception as error:
            reason = f"it has no {error}" if isinstance(error, KeyError) else reason_of(error).splitlines()[0]
            raise RunError(f"{path} cannot be read ({reason}). It is missing or damaged: train again.") from error

    @classmethod
    def _checked(cls, kept: Mapping[str, np.ndarray]) -> Predicted:
        probabilities, labels, groups = kept["probabilities"], kept["labels"], kept["groups"]
        decided = kept.get("answered")
        n, classes = probabilities.shape
        if probabilities.dtype.kind != "f" or not np.isfinite(probabilities).all() or not n:
            raise ValueError("no probabilities")
        if probabilities.min() < 0 or abs(probabilities.sum(1) - 1).max() > 0.01:
            raise ValueError("probabilities that do not add up to 1")
        for found in (labels, *([] if decided is None else [decided])):
            if found.dtype.kind not in "iu" or found.shape != (n,) or found.min() < 0 or found.max() >= classes:
                raise ValueError(f"labels that are not {n} of {classes} classes")
        if groups.dtype.kind != "U" or groups.shape not in ((0,), (n,)):
            raise ValueError("groups that are no names")
        return cls(probabilities, labels, groups.tolist() or None, decided)


def _written(shares: np.ndarray) -> list[str]:
    return [f"{share:.6g}" for share in shares]


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file, none of which takes more memory than the file has bytes."""
    with zipfile.ZipFile(path) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ValueError("packed arrays")
    with np.load(path, allow_pickle=False) as kept:
        return {name: kept[name] for name in kept.files if name in ("probabilities", "labels", "groups", "answered")}
