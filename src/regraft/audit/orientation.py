"""What a model predicts for turned pictures -> whether they seem to have an up and a down."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from regraft import run_folder

MOST, LEAST = 200, 100  # pictures that are turned: fewer cannot show it, more cost time and show little more
MOST_LOST = 0.1
"""Of what a model knows beyond guessing.

A linear model on MobileNetV2 lost nothing on malaria cells (20 splits by patient, all below), a tenth on ants and bees,
and two fifths on six kinds of photographs of CIFAR-10.
"""
SURE = 1.645  # standard errors: 95 % on one side


@dataclass(frozen=True)
class Orientation:
    """Turned pictures that are predicted as well as they are upright."""

    pictures: int
    plain: float  # accuracy
    turned: float

    @property
    def notice(self) -> str:
        """Propose what suits such pictures."""
        return (
            f"These pictures seem to have no up or down: of {self.pictures} from the validation part "
            f"{100 * self.plain:.1f} % are predicted right, and {100 * self.turned:.1f} % when they are turned. "
            "--preset=microscopy learns from turned views, and looks at each new picture from several sides."
        )


def to_turn(labels: NDArray[np.int64], classes: int) -> list[int]:
    """Return which pictures are turned, the same number of each class; none where they would be too few."""
    counts = np.bincount(labels, minlength=classes)
    each = min(int(counts.min()), MOST // classes)
    if each * classes < LEAST:
        return []
    of_class = [np.flatnonzero(labels == label) for label in range(classes)]
    return sorted(int(at) for own in of_class for at in own[np.linspace(0, len(own) - 1, each).astype(int)])


def orientation(plain: NDArray[np.bool_], turned: NDArray[np.bool_], classes: int) -> Orientation | None:
    """Return what was found where pictures [n] are predicted `turned` as they are upright, else None.

    They are, where it is sure to 95 % that turning takes less than `MOST_LOST` of what the model knows beyond guessing.
    """
    lost = plain.astype(float) - turned
    at_most = lost.mean() + SURE * lost.std(ddof=1) / np.sqrt(len(lost))
    if at_most >= MOST_LOST * (plain.mean() - 1 / classes):
        return None
    return Orientation(len(plain), float(plain.mean()), float(turned.mean()))


def write_orientation(found: Orientation, folder: Path) -> None:
    """Write orientation.json, from which the page of a run is written."""
    run_folder.write_json(folder / run_folder.ORIENTATION, asdict(found))


def orientation_in(folder: Path) -> Orientation | None:
    """Read orientation.json, which is there where turned pictures were predicted as well.

    Raises:
        RunError: it is damaged.
    """
    path = folder / run_folder.ORIENTATION
    return run_folder.read_as(path, Orientation) if path.exists() else None
