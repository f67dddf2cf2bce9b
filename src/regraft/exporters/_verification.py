"""Exported file x pictures -> does it answer as its model does? It is run itself, on pictures straight from files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from regraft.activations.sources import BATCH, batched
from regraft.data import Preprocessing, ahead_of, decode
from regraft.data.decode import decode_whole
from regraft.data.reading import read_file
from regraft.errors import BadImage, ExportError, NoImages
from regraft.exporters._order import Answer, Order, Pixels, Whole
from regraft.exporters._pictures import REAL, Sample
from regraft.inference.classifier import Classifier
from regraft.metrics.significance import p_value
from regraft.utils.progress import Progress


@dataclass(frozen=True)
class Bound:
    """How far a file of lower precision may be from its model in float32, given the same pixels."""

    largest: float  # of a probability, on any picture
    mean: float  # over pictures, of each one's largest difference
    changed: float  # share of pictures with another label


BOUNDS = {"float16": Bound(0.15, 0.01, 0.01), "int8": Bound(0.4, 0.02, 0.02)}
"""A frozen and a fine-tuned MobileNetV2 were tried on 809 real cells of patients that they had not seen. What bfloat16,
in which Regraft itself computes a frozen part, does to the one that changes most has been taken for what int8 may do:
0.35, 0.017 and 0.019. float16 has 0.11 and 0.006, and 2 other labels."""
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
    p_value: float | None = None  # that both are right equally often (McNemar's test, or over groups, if smaller)
    difference_mean: float | None = None  # of lower precision, on all: the mean over pictures of each one's largest
    labels_changed_float32: int | None = None  # of lower precision: that the model in float32 says otherwise

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
    read = reading(order.any_size, classifier.backbone.preprocessing)
    found = dict[int, NDArray[np.float32]]()
    with progress.track("Trying the file", len(sample.paths), "pictures") as tick:
        for at, pixels in ahead_of(read, sample.paths, ahead=4):
            tick(1)
            if isinstance(pixels, BadImage):
                continue
            found[at] = answer(pixels[None])[0]
    if not found:
        raise NoImages(
            f"None of the {len(sample.paths)} pictures ({sample.called}) can be read: the file is not tried."
        )
    first = list(found) if order.precision in BOUNDS else list(found)[:REAL]
    whole = Whole(classifier, any_size=order.any_size).eval()
    same_pixels = dict(zip(first, _of_model(whole, read, [sample.paths[at] for at in first], progress), strict=True))
    of_files = classifier.predict_files(sample.paths, tta=order.tta, device="cpu", progress=progress)
    predicted = [one.probabilities for one in of_files]
    both = {at: (own, predicted[at], same_pixels.get(at)) for at, own in found.items() if predicted[at] is not None}
    tolerance = BOUNDS[order.precision].largest if order.precision in BOUNDS else same
    seen = _compared(classifier, sample, _Answers.of(both), tolerance)
    refuse_worse(seen, order.precision)
    return seen


def _of_model(
    whole: Whole, read: Callable[[Path], Pixels], paths: Sequence[Path], progress: Progress
) -> Iterator[NDArray[np.float32]]:
    """Yield [classes] of each picture, as the model answers from the same pixels.

    Apart from the file's own pass: threads of two libraries that take turns wait for each other.
    """
    with torch.inference_mode(), progress.track("Asking the model", len(paths), "pictures") as tick:
        for batch in batched(ahead_of(read, paths, ahead=4), BATCH):
            squares = torch.cat([whole.seeing(torch.from_numpy(pixels[None])) for _, pixels in batch])
            yield from whole.answered(squares).numpy()
            tick(len(batch))


@dataclass(frozen=True)
class _Answers:
    """Probabilities [n, classes] of the same pictures."""

    places: list[int]  # in the sample
    file: np.ndarray
    predicted: np.ndarray  # by `regraft.predict`
    float32: np.ndarray  # by the model from the same pixels; of the first ones alone, or of all

    @classmethod
    def of(cls, both: Mapping[int, tuple[Any, Any, Any]]) -> _Answers:
        own, predicted, exact = zip(*both.values(), strict=True)
        return cls(list(both), np.stack(own), np.stack(predicted), np.stack([one for one in exact if one is not None]))


def _compared(classifier: Classifier, sample: Sample, answers: _Answers, tolerance: float) -> Verification:
    """Set the probabilities of a file, and those of the model, beside each other, and beside the classes if known."""
    count = len(answers.float32)
    apart = np.abs(answers.file[:count] - answers.float32).max(1)
    given, predicted = classifier.answers(answers.file), classifier.answers(answers.predicted)
    seen = Verification(
        pictures=len(answers.places),
        of=sample.called,
        difference=float(apart.max()),
        difference_predicted=float(np.abs(answers.file - answers.predicted).max()),
        labels_changed=int((given != predicted).sum()),
        tolerance=tolerance,
    )
    if count == len(answers.places):
        predicted = classifier.answers(answers.float32)
        changed = int((given != predicted).sum())
        seen = replace(seen, difference_mean=float(apart.mean()), labels_changed_float32=changed)
    labels = np.array([sample.labels[at] if at < len(sample.labels) else -1 for at in answers.places])
    known = np.flatnonzero(labels >= 0)
    if not len(known):
        return seen
    right, right_model = (given == labels)[known], (predicted == labels)[known]
    groups = [sample.groups[at] for at in np.array(answers.places)[known]] if sample.groups else None
    # a test over few groups finds little: of six, 0.03 is its smallest value
    p_values = [p_value(right, right_model, kind) for kind in (None, groups)]
    return replace(seen, accuracy=float(right.mean()), accuracy_model=float(right_model.mean()), p_value=min(p_values))


def refuse_worse(seen: Verification, precision: str) -> None:
    """Raise ExportError where a file does not answer as its model does."""
    if not seen.difference <= seen.tolerance:  # nor where it is no number
        raise ExportError(
            f"The file's probabilities differ by up to {seen.difference:.2g} from the model's on the same pixels "
            f"({seen.of}); {seen.tolerance:g} is accepted with --precision {precision}. {INSTEAD[precision]}"
        )
    if precision in BOUNDS and seen.difference_mean is not None and seen.labels_changed_float32 is not None:
        _refuse_far(seen, precision, BOUNDS[precision])
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


def _refuse_far(seen: Verification, precision: str, bound: Bound) -> None:
    changed, most = seen.labels_changed_float32 or 0, max(1, int(bound.changed * seen.pictures))
    if changed > most or (seen.difference_mean or 0) > bound.mean:
        raise ExportError(
            f"The file says otherwise of {changed} of {seen.pictures} pictures ({seen.of}) than the model in float32, "
            f"and its probabilities differ by {seen.difference_mean:.2g} on average; {most} and {bound.mean:g} are "
            f"accepted with --precision {precision}. {INSTEAD[precision]}"
        )
