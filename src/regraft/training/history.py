"""The rows of history.csv: one for each epoch; which epoch was the best, and when patience is at its end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from regraft.errors import RunError
from regraft.utils import files
from regraft.utils.progress import Progress

COLUMNS = ("phase", "epoch", "train_loss", "val_loss", "val_accuracy", "lr")

Row = dict[str, Any]


@dataclass(frozen=True)
class Stop:
    """Where Ctrl-C ended a training: what is there then is the model of an unfinished run."""

    phase: str
    epochs: int  # that were run in this phase
    of: int  # that it was to have at most

    def __str__(self) -> str:
        return f"stopped in the {self.phase} phase after {self.epochs} of {self.of} epochs"


@dataclass
class History:
    """The rows of one phase, written into history.csv behind those of the phases before."""

    path: Path
    phase: str
    progress: Progress = field(default_factory=Progress)
    rows: list[Row] = field(default_factory=list)
    before: list[Row] = field(default_factory=list)
    unwritten: bool = False  # and the user knows

    @classmethod
    def begin(cls, path: Path, phase: str, progress: Progress) -> History:
        """Read what the phases before have written: not much is lost where a loss of power has spoilt it."""
        try:
            rows = read_history(path)
        except RunError as error:
            progress.warn(f"{error} The training goes on; the curves of its earlier phases are lost.")
            rows = []
        return cls(path, phase, progress, before=[row for row in rows if row["phase"] != phase])

    def add(self, epoch: int, seen: Mapping[str, float], lr: float | None = None) -> None:
        """Add an epoch; epoch 0 is what the phase before had given."""
        row = {"phase": self.phase, "epoch": epoch, **{name: round(value, 6) for name, value in seen.items()}}
        self.rows.append(row if lr is None else {**row, "lr": f"{lr:.3g}"})

    def write(self) -> None:
        """Write history.csv, whole or not at all; where it cannot be written, the training goes on."""
        cells = ([row.get(name, "") for name in COLUMNS] for row in [*self.before, *self.rows])
        try:
            files.write_csv(self.path, COLUMNS, cells, flushed=False)  # once an epoch: a tenth of a head's time
        except OSError as error:  # such as a table that a spreadsheet on Windows has open
            if not self.unwritten:
                self.progress.warn(f"{self.path} cannot be written ({error.strerror}); the training goes on.")
            self.unwritten = True

    @property
    def losses(self) -> list[float]:
        """The validation loss of each epoch from the first on."""
        return [float(row["val_loss"]) for row in self.rows if int(row["epoch"]) > 0]

    def ended(self, patience: int) -> bool:
        """Say whether the loss ceased to be a number, or has not become better for so many epochs."""
        losses = self.losses
        if not losses:
            return False
        return not math.isfinite(losses[-1]) or len(losses) - 1 - losses.index(min(losses)) >= patience

    def tell_divergence(self) -> None:
        """Say that the loss ceased to be a finite number.

        Raises:
            RunError: no epoch has a loss that is one.
        """
        finite = [math.isfinite(float(row["val_loss"])) for row in self.rows]
        if all(finite):
            return
        epoch = self.rows[finite.index(False)]["epoch"]
        line = (
            f"The training diverged in epoch {epoch} of phase {self.phase!r}: the loss is not a number. "
            "Use a smaller --lr or --tail-lr."
        )
        if not any(finite):
            raise RunError(line)
        self.progress.warn(f"{line} The best epoch before is kept.")


def epochs_of(rows: Sequence[Row]) -> int:
    """Return how many epochs history.csv has; a row of epoch 0 is what the phase before had given."""
    return sum(int(row["epoch"]) > 0 for row in rows)


def best_epoch(rows: Sequence[Row]) -> int:
    """Return the epoch with the lowest validation loss; 0 for what the phase before had given."""

    def loss(row: Row) -> float:
        value = float(row["val_loss"])
        return value if math.isfinite(value) else math.inf  # nothing is less than nan

    return int(min(rows, key=loss)["epoch"])


def kept_epoch(history: Sequence[Row]) -> int:
    """Return which epoch's tensors were kept, counted from 1 over all phases; 0 where its row is missing."""
    phase = [row for row in history if row["phase"] == history[-1]["phase"]]
    before = history[: len(history) - len(phase)]
    best = best_epoch(phase)
    if best:
        return epochs_of(before) + best
    return kept_epoch(before) if before else 0


def read_history(path: Path) -> list[Row]:
    """Read history.csv; an absent file has no rows.

    Raises:
        RunError: it is damaged.
    """
    rows = files.read_csv(path, needed=COLUMNS)
    try:
        for row in rows:
            numbers = [float(row[name]) for name in COLUMNS[2:] if row[name] or name.startswith("val")]
            if int(row["epoch"]) < 0 or -math.inf in numbers:
                raise ValueError(f"the row of epoch {row['epoch']}")
    except ValueError as error:
        raise RunError(f"{path} cannot be read ({error}). It was edited or damaged.") from error
    return rows
