"""Model x pictures -> files that show where each picture speaks for the prediction: the picture beside its heat map."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from PIL import Image

from regraft import run_folder
from regraft.activations import engines
from regraft.activations.devices import pick_device
from regraft.activations.engines import Engine
from regraft.activations.sources import BATCH, batched
from regraft.config import Config, with_settings
from regraft.data import Named, Pictures, gathered, read_pixels
from regraft.errors import BadImage, NoImages, UnknownName
from regraft.inference.answering import predictions_from
from regraft.inference.classifier import Classifier
from regraft.inference.heatmaps import heat_maps, overlay
from regraft.inference.predict import Model, called, open_model
from regraft.inference.results import Explanation, ExplanationRow
from regraft.metrics.tta import mean_over_views
from regraft.utils import files
from regraft.utils.machine import cache_folder
from regraft.utils.progress import Listener, Progress, listener

FOLDER = "heatmaps"
ROWS = "heatmaps.csv"
HEADER = ("filename", "label", "prob", "heatmap", "error")
Shown: TypeAlias = "tuple[ExplanationRow, Image.Image | None]"
"""A row, and the picture beside its heat map where there is something to see."""


class Seen(NamedTuple):
    """What speaks for a class."""

    label: str
    prob: float
    pair: Image.Image | None  # the picture as the network sees it, and right of it its heat map; None: nothing does


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
    classifier = open_model(model, weights=weights, progress=progress)
    if label is not None and label not in classifier.classes:
        raise UnknownName("class", label, classifier.classes)
    if layer is not None:
        classifier.backbone.cut_above(layer)  # a stage that is not there is refused before a folder is made
    if label is None and classifier.rule:
        progress.note(f"{called(model)} predicts {classifier.rule}.")
    config = Config(channels=channels, range=range, max_megapixels=max_megapixels)
    number = None if label is None else classifier.classes.index(label)
    with gathered(pictures, progress) as found:
        classifier = classifier.seeing([picture.path for picture in found], progress, **config.of_files)
        shown = _explained(classifier, found, number, layer, device)
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


def explainer(classifier: Classifier, device: str = "auto") -> Callable[[Sequence[np.ndarray], int | None], list[Seen]]:
    """Return what explains a class of pictures, uint8 [s, s, 3], by its number; None: of each the predicted one.

    The network is opened once, for many calls.
    """
    return partial(_seen, classifier, _network(classifier, device), layer=None, device=device)


def _network(classifier: Classifier, device: str) -> Engine:
    size, folder = classifier.backbone.preprocessing.size, cache_folder()
    job = engines.Job(classifier.network(), size, dict, folder, device=pick_device(device))
    return engines.open_engine("torch", job)


def _explained(
    classifier: Classifier, pictures: Sequence[Named], number: int | None, layer: str | None, device: str
) -> Iterator[Shown]:
    """Yield a row for each picture, and the picture beside its heat map where there is something to see."""
    network = _network(classifier, device)
    for batch in batched(read_pixels([picture.path for picture in pictures], classifier.backbone.preprocessing), BATCH):
        good = [pixels for _, pixels in batch if not isinstance(pixels, BadImage)]
        seen = iter(_seen(classifier, network, good, number, layer=layer, device=device) if good else [])
        for position, pixels in batch:
            name = pictures[position].name
            if isinstance(pixels, BadImage):
                yield _row(name, error=str(pixels)), None
            else:
                found = next(seen)
                yield _row(name, found.label, found.prob), found.pair


def _seen(
    classifier: Classifier,
    network: Engine,
    pictures: Sequence[np.ndarray],
    number: int | None,
    *,
    layer: str | None,
    device: str,
) -> list[Seen]:
    together = np.stack(pictures)  # [b, s, s, 3]
    probabilities = mean_over_views(predictions_from(network, pictures, classifier.tta))
    chosen = classifier.answers(probabilities) if number is None else np.full(len(pictures), number)
    heats = heat_maps(classifier, together, chosen, layer=layer, device=device)  # [b, s, s]
    return [
        Seen(classifier.classes[answer], float(found[answer]), _beside(pixels, heat) if heat.any() else None)
        for pixels, answer, found, heat in zip(pictures, chosen, probabilities, heats, strict=True)
    ]


def _row(name: str, label: str | None = None, prob: float | None = None, error: str = "") -> ExplanationRow:
    rounded = None if prob is None else round(prob, 6)
    return ExplanationRow(filename=name, label=label, prob=rounded, heatmap=None, error=error)


def _beside(pixels: np.ndarray, heat: np.ndarray) -> Image.Image:
    return Image.fromarray(np.concatenate([pixels, np.asarray(overlay(pixels, heat))], axis=1))
