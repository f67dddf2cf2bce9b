"""Model x pixels -> where they speak for a class: the picture beside its heat map, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np
from PIL import Image

from regraft.activations import engines
from regraft.activations.devices import pick_device
from regraft.activations.engines import Engine
from regraft.activations.sources import BATCH, batched
from regraft.data import Named, read_pixels
from regraft.errors import BadImage
from regraft.inference.answering import predictions_from
from regraft.inference.classifier import Classifier
from regraft.inference.heatmaps import heat_maps, overlay
from regraft.inference.results import ExplanationRow
from regraft.metrics.tta import mean_over_views
from regraft.utils.machine import cache_folder

Shown: TypeAlias = "tuple[ExplanationRow, Image.Image | None]"
"""A row, and the picture beside its heat map where there is something to see."""


class Seen(NamedTuple):
    """What speaks for a class."""

    label: str
    prob: float
    pair: Image.Image | None  # the picture as the network sees it, and right of it its heat map; None: nothing does


def explainer(classifier: Classifier, device: str = "auto") -> Callable[[Sequence[np.ndarray], int | None], list[Seen]]:
    """Return what explains a class of pictures, uint8 [s, s, 3], by its number; None: of each the predicted one.

    The network is opened once, for many calls.
    """
    return partial(_seen, classifier, _network(classifier, device), layer=None, device=device)


def _network(classifier: Classifier, device: str) -> Engine:
    size, folder = classifier.backbone.preprocessing.size, cache_folder()
    job = engines.Job(classifier.network(), size, dict, folder, device=pick_device(device))
    return engines.open_engine("torch", job)


def explained(
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
