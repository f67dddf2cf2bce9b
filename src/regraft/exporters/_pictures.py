"""What an exported file is tried on: the test part of the run, labelled pictures that are given, or drawn ones."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from regraft import run_folder
from regraft.data import digest, scan
from regraft.data.reading import read_file
from regraft.data.rows import Reading
from regraft.errors import BadImage
from regraft.inference import bundle
from regraft.inference.answering import Answering
from regraft.inference.classifier import Classifier
from regraft.inference.predict import Model, named
from regraft.utils import files
from regraft.utils.progress import Progress

T = TypeVar("T")

REAL = 64
"""Pictures that a file is tried on at least, where there are as many."""
CALIBRATED_ON = 128


@dataclass(frozen=True)
class Sample:
    """Pictures, with their classes and groups where these are known."""

    called: str
    paths: tuple[Path, ...]
    labels: tuple[int, ...] = ()  # of the first pictures; -1: of a class that the model does not know
    groups: tuple[str, ...] = ()  # of these
    training: tuple[Path, ...] = ()  # on which a model in whole numbers finds its scales


def of_run(model: str, classifier: Classifier) -> Sample | None:
    """Return the pictures of a run that are where they were, and as they were: its test part, and others up to 64."""
    folder = bundle.folder_of(Path(model))
    if folder is None or not (folder.parent / run_folder.SETTINGS).exists():
        return None
    data = Path(run_folder.read_as(folder.parent / run_folder.SETTINGS, run_folder.Begun).data)
    root, rows = data if data.is_dir() else data.parent, files.read_csv(folder.parent / "split.csv", ["filename"])
    tested = [row for row in rows if row["split"] == "test" and _is_there(root, row)]
    others = _spread([row for row in rows if row["split"] != "test"], max(REAL - len(tested), CALIBRATED_ON))
    kept = [root / row["filename"] for row in others if _is_there(root, row)]
    if not tested:
        return None
    numbers = {name: at for at, name in enumerate(classifier.classes)}
    return Sample(
        f"the test part of {model}",
        (*(root / row["filename"] for row in tested), *kept[: max(0, REAL - len(tested))]),
        tuple(numbers.get(row["label"], -1) for row in tested),
        tuple(row["group"] for row in tested) if all(row["group"] for row in tested) else (),
        tuple(kept),
    )


def sample(
    model: Model, classifier: Classifier, data: str | os.PathLike[str] | None, folder: Path, progress: Progress
) -> Sample:
    """Return what the file is tried on, and say where it is nothing real."""
    if data is not None:
        return of_data(data, classifier)
    found = None if isinstance(model, Answering) else of_run(named(model), classifier)
    if found is None:
        progress.warn(
            "There are no pictures of a run here: the file is tried on drawn ones. --data DATA names real ones."
        )
        found = drawn(folder)
    return found


def of_data(data: str | os.PathLike[str], classifier: Classifier) -> Sample:
    """Return labelled pictures: the test part where there are parts, and what is in none of it to calibrate on."""
    found = scan(Path(data), Reading(learn=False))
    chosen = found.part("test").tolist() or list(range(len(found)))
    others = np.setdiff1d(np.arange(len(found)), chosen).tolist() or chosen
    numbers = {name: at for at, name in enumerate(classifier.classes)}
    return Sample(
        os.fspath(data),
        tuple(found.items[at].path for at in chosen),
        tuple(numbers.get(found.classes[found.items[at].label], -1) for at in chosen),
        training=tuple(found.items[at].path for at in _spread(others, CALIBRATED_ON)),
    )


def drawn(folder: Path) -> Sample:
    """Draw pictures of many sizes: coarse noise under fine noise, since edges and grain are what a resize changes."""
    random, paths = np.random.default_rng(0), []
    for number in range(REAL):
        width, height = np.exp(random.uniform(np.log(20), np.log(1200), 2)).astype(int).tolist()
        coarse = Image.fromarray(random.integers(0, 256, (5, 5, 3), np.uint8)).resize((width, height))
        fine = random.integers(-20, 21, (height, width, 3))
        paths.append(folder / f"{number}.png")
        Image.fromarray((np.asarray(coarse) + fine).clip(0, 255).astype(np.uint8)).save(paths[-1])
    return Sample("drawn pictures", tuple(paths))


def _is_there(root: Path, row: dict[str, str]) -> bool:
    try:
        return row.get("digest", "") in ("", digest(read_file(root / row["filename"])))
    except BadImage:
        return False


def _spread(rows: Sequence[T], count: int) -> list[T]:
    """Return so many of the rows, from all over them."""
    return [rows[at] for at in np.linspace(0, len(rows) - 1, min(count, len(rows)), dtype=int)]
