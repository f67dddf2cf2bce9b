"""Exported file x pictures -> does it answer as its model does? It is run itself, on pictures straight from files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regraft.activations.sources import BATCH
from regraft.data import Preprocessing, Tta, ahead_of, decode
from regraft.data.decode import decode_whole
from regraft.data.reading import read_file
from regraft.errors import BadImage, ExportError, NoImages
from regraft.exporters._order import Answer, Order, Pixels, Whole
from regraft.exporters._pictures import REAL, Sample
from regraft.inference.classifier import Classifier
from regraft.metrics.significance import p_value
from regraft.utils.progress import Progress

TOLERANCE = {"float16": 0.1, "int8": 0.5}
"""The largest difference of a probability from that of the model given the same pixels, but with float32, of which each
format says it. What counts then is how many pictures are right; this bound finds what is broken."""
LEVEL = 0.05
"""A file that is right less often, with a smaller p-value than this, is worse than its model."""
INSTEAD = {
    "float32": "Another --format may pass.",
    "float16": "--precision float32 passes where this does not.",
    "int8": "--precision float16 is nearer to the model.",
}


@dataclass(frozen=True)
class Verification:
    """How an exported file answers, beside its model."""

    pictures: int
    of: str  # what these are
    difference: float  # the largest of a probability, from the model given the same pixels, on at most 64 of them
    difference_predicted: float  # the same on all of them, from what `regraft.predict` says
    labels_changed: int  # that `regraft.predict` says otherwise
    tolerance: float  # of `difference`
    accuracy: float | None = None  # on those whose class is known
    accuracy_model: float | None = None
    p_value: float | None = None  # that both are right equally often (McNemar's test, or over groups)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        said = (
            f"On {self.pictures} pictures ({self.of}) probabilities differ by at most {self.difference_predicted:.1e} "
            f"from those of regraft predict, and {self.labels_changed} labels do; given the same pixels, by "
            f"{self.difference:.1e} from the model."
        )
        if self.p_value is None:
            return said
        right = f"The file is right on {self.accuracy:.4f}, the model on {self.accuracy_model:.4f}"
        return f"{said} {right} (p = {self.p_value:.2g})."


def reading(any_size: bool, look: Preprocessing) -> Callable[[Path], Pixels]:
    """Return what reads a file as an exported model takes it: upright and of its own size, or as the square."""
    made = decode_whole if any_size else decode
    return lambda path: made(read_file(path), look)


def verify(
    classifier: Classifier, answer: Answer, sample: Sample, order: Order, *, same: float, progress: Progress
) -> Verification:
    """Run an exported file on pictures, and return how its answers differ from those of the model.

    `same` is how near the format comes to the model in float32.

    Raises:
        ExportError: they differ by more than they may; says by how much, and what would pass.
        NoImages: no picture can be read.
    """
    read, found = reading(order.any_size, classifier.backbone.preprocessing), dict[int, NDArray[np.float32]]()
    first = list[Pixels]()
    with progress.track("Trying the file", len(sample.paths), "pictures") as tick:
        for at, pixels in ahead_of(read, sample.paths, ahead=4):
            tick(1)
            if isinstance(pixels, BadImage):
                continue
            found[at] = answer(pixels[None])[0]
            first += [pixels] if len(first) < REAL else []
    if not found:
        raise NoImages(
            f"None of the {len(sample.paths)} pictures ({sample.called}) can be read: the file is not tried."
        )
    on_same = np.stack(list(found.values())[: len(first)])
    difference = float(np.abs(on_same - _of_model(classifier, first, order.any_size)).max())
    plain = classifier.predict_files(sample.paths, tta=Tta(), device="cpu", progress=progress)
    predicted = [one.probabilities for one in plain]
    both = {at: (own, predicted[at]) for at, own in found.items() if predicted[at] is not None}
    seen = _compared(classifier, sample, both, difference, TOLERANCE.get(order.precision, same))
    refuse_worse(seen, order.precision)
    return seen


def _of_model(classifier: Classifier, pictures: Sequence[Pixels], any_size: bool) -> NDArray[np.float32]:
    """Answer as the model does from the same pixels: n of uint8 [h, w, 3] -> [n, classes]."""
    whole = Whole(classifier, any_size=any_size).eval()
    with torch.inference_mode():
        squares = torch.cat([whole.seeing(torch.from_numpy(pixels[None])) for pixels in pictures])
        answers: list[Tensor] = [whole.answering(some)[0] for some in squares.split(BATCH)]
    found: NDArray[np.float32] = torch.cat(answers).numpy()
    return found


def _compared(
    classifier: Classifier, sample: Sample, both: Mapping[int, tuple[Any, Any]], difference: float, tolerance: float
) -> Verification:
    """Set the probabilities of a file, and those of the model, beside each other, and beside the classes if known."""
    own, of_model = (np.stack(probabilities) for probabilities in zip(*both.values(), strict=True))
    given, expected = classifier.answers(own), classifier.answers(of_model)
    seen = Verification(
        pictures=len(both),
        of=sample.called,
        difference=difference,
        difference_predicted=float(np.abs(own - of_model).max()),
        labels_changed=int((given != expected).sum()),
        tolerance=tolerance,
    )
    labels = np.array([sample.labels[at] if at < len(sample.labels) else -1 for at in both])
    known = np.flatnonzero(labels >= 0)
    if not len(known):
        return seen
    right, right_model = (given == labels)[known], (expected == labels)[known]
    groups = [sample.groups[at] for at in np.array(list(both))[known]] if sample.groups else None
    return replace(
        seen,
        accuracy=float(right.mean()),
        accuracy_model=float(right_model.mean()),
        p_value=p_value(right, right_model, groups),
    )


def refuse_worse(seen: Verification, precision: str) -> None:
    """Raise ExportError where a file does not answer as its model does."""
    if not seen.difference <= seen.tolerance:  # nor where it is no number
        raise ExportError(
            f"The file's probabilities differ by up to {seen.difference:.2g} from the model's on the same pixels "
            f"({seen.of}); {seen.tolerance:g} is accepted with --precision {precision}. {INSTEAD[precision]}"
        )
    if seen.p_value is not None and seen.p_value < LEVEL and seen.accuracy < seen.accuracy_model:  # type: ignore[operator]
        raise ExportError(
            f"The file is right on {seen.accuracy:.4f} of {seen.pictures} pictures ({seen.of}), the model on "
            f"{seen.accuracy_model:.4f}: less often, with p = {seen.p_value:.2g}, where {LEVEL:g} or more is accepted. "
            f"{INSTEAD[precision]}"
        )


def calibration(classifier: Classifier, sample: Sample, *, any_size: bool) -> Iterator[Pixels]:
    """Return the training pictures, as a format takes them to find its scales."""
    read = reading(any_size, classifier.backbone.preprocessing)
    found = (pixels for _, pixels in ahead_of(read, sample.training, ahead=4))
    return (pixels[None] for pixels in found if not isinstance(pixels, BadImage))
