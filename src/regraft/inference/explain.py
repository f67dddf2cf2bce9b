"""Model x pictures -> files that show where each picture speaks for the prediction: the picture beside its heat map."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from regraft import run_folder
from regraft.config import Config, with_settings
from regraft.data import Pictures, gathered
from regraft.errors import NoImages, UnknownName
from regraft.inference.predict import Model, called, open_model, preflight_model
from regraft.inference.results import Explanation, ExplanationRow
from regraft.utils import files
from regraft.utils.progress import Listener, Progress, listener

if TYPE_CHECKING:
    from regraft.inference.explaining import Shown

FOLDER = "heatmaps"
ROWS = "heatmaps.csv"
HEADER = ("filename", "label", "prob", "heatmap", "error")


@with_settings()
def explain(
    model: Model,
    pictures: Pictures,
    *,
    out: str | os.PathLike[str] | None = None,
    label: str | None = None,
    layer: str | None = None,
    weights: str | None = None,
    channels: str | None = None,
    range: str | None = None,
    max_megapixels: int | None = None,
    device: str = "auto",
    progress: Listener = None,
) -> Explanation:
    """Draw where pictures speak for a class, see `regraft.inference.heatmaps.heat_maps`.

    Writes, into a new folder, a PNG for each picture: on the left what the network sees, on the right the same in grey
    under its heat, dark to bright; and heatmaps.csv with the rows that are returned: filename, label, prob, heatmap
    (the PNG; None where no place speaks for the class) and error, of a picture that cannot be read.

    Args:
        model: as in `regraft.predict`.
        pictures: as in `regraft.predict`.
        out: the folder; one that exists is left alone, and ``-2`` is put behind the name. Default: ``heatmaps``.
        label: the class to explain, by its name. Default: the predicted one, by the threshold if there is one.
        layer: the stage whose output is explained. Default: the one before the last.
        weights: where a pretrained network's tensors come from.
        channels, range, max_megapixels: as in training; by default those of the model's.
        device: auto, cpu, cuda or mps.
        progress: as in `regraft.predict`.

    Raises:
        UnknownName: there is no such class, or no such stage.
        NoImages: no picture can be read.
        RunError: the folder cannot be made.
    """
    progress = listener(progress)
    config = Config(channels=channels, range=range, max_megapixels=max_megapixels, device=device)
    preflight_model(model, pictures)
    classifier = open_model(model, weights=weights, progress=progress)
    if label is not None and label not in classifier.classes:
        raise UnknownName("class", label, classifier.classes)
    if layer is not None:
        classifier.backbone.cut_above(layer)  # a stage that is not there is refused before a folder is made
    if label is None and classifier.rule:
        progress.note(f"{called(model)} predicts {classifier.rule}.")
    number = None if label is None else classifier.classes.index(label)
    from regraft.inference.explaining import explained

    with gathered(pictures, progress) as found:
        classifier = classifier.seeing([picture.path for picture in found], progress, **config.of_files)
        shown = explained(classifier, found, number, layer, device)
        return _drawn(shown, len(found), files.named_path(FOLDER if out is None else out), progress)


def _drawn(shown: Iterator[Shown], count: int, wanted: Path, progress: Progress) -> Explanation:
    """Write the PNGs and the table into a new folder."""
    folder, rows = run_folder.new_folder(wanted), list[ExplanationRow]()
    with (
        files.temporary_beside(folder) as made,
        files.told_of(folder, made),
        progress.track("Explaining", count, "pictures") as tick,
    ):
        made.mkdir(parents=True)
        for row, pair in shown:
            if pair is not None:
                name = f"{len(rows) + 1:04}-{Path(row['filename']).stem[:60]}.png"  # of 255 bytes that a name may have
                pair.save(made / name)
                row["heatmap"] = name
            rows.append(row)
            tick(1)
        if all(row["error"] for row in rows):
            raise NoImages(f"None of the {len(rows)} pictures can be read; the first: {rows[0]['error']}.")
        taken = run_folder.take(made, wanted, lambda folder: _write(rows, made, folder))
    return Explanation(tuple(rows), taken)


def _write(rows: Sequence[ExplanationRow], made: Path, folder: Path) -> None:
    """Let the rows name their PNGs by where they will lie, and write the table."""
    for row in rows:
        if row["heatmap"]:
            row["heatmap"] = str(folder / Path(row["heatmap"]).name)
    files.write_csv(made / ROWS, HEADER, (list(row.values()) for row in rows))
