"""Network, whatever runs it -> predictions: what every model does with probabilities and pictures. Needs no torch."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from regraft.activations.sources import BATCH, batched
from regraft.data import Pictures, Preprocessing, Tta, adjusted, ahead_of, decode, gathered
from regraft.data.reading import read_file
from regraft.errors import ActivationOverflow, BadImage, ConfigError
from regraft.metrics.thresholds import Threshold, weighed, weighing
from regraft.metrics.tta import mean_over_views
from regraft.utils import tables
from regraft.utils.progress import Listener, Progress, listener

Run: TypeAlias = Callable[[np.ndarray], "list[np.ndarray]"]
"""uint8 pixels ``[b, s, s, 3]`` -> probabilities ``[b, classes]``, as the one of a list."""

M = TypeVar("M", bound="Answering")
S = TypeVar("S")
Decoded: TypeAlias = "tuple[int, NDArray[np.uint8] | BadImage]"
"""A picture's place among those asked for, and its pixels as the network takes them, or why there are none."""

MOST_EXPORTS = 5 * 10**9  # bytes of exports that predicting leaves behind; training keeps to --cache-limit in all


@dataclass(frozen=True)
class Prediction:
    """One picture's prediction: probabilities [classes], or why there is none."""

    path: Path
    probabilities: NDArray[np.float32] | None
    error: str = ""
    plain: NDArray[np.float32] | None = None  # the probabilities at one look, whatever the views
    label: str | None = None  # the predicted class; None where there are no probabilities


class Answering(ABC):
    """A model with class names, and a rule by which one of them is predicted."""

    classes: tuple[str, ...]
    about: dict[str, Any]  # what its file says for people
    threshold: Threshold | None
    class_weights: tuple[float, ...] | None
    tta: Tta
    folder: Path | None  # the bundle that it was loaded from

    @property
    @abstractmethod
    def preprocessing(self) -> Preprocessing:
        """What it expects of pictures."""

    @property
    @abstractmethod
    def network_name(self) -> str:
        """The network's name."""

    @property
    def identity(self) -> str:
        """What its answers depend on, in one name: another model has another one."""
        return str(self.about["sha256"])

    @property
    @abstractmethod
    def trained(self) -> bool:
        """Whether it learned its classes here; else they are those of ImageNet."""

    @abstractmethod
    def looking(self: M, preprocessing: Preprocessing) -> M:
        """Return the model with another preprocessing."""

    @abstractmethod
    def viewed(self: M, tta: Tta) -> M:
        """Return the model that predicts from these views of a picture."""

    @abstractmethod
    def engine(self, device: str, engine: str, pictures: int, progress: Progress) -> Run:
        """Return what runs the network on so many pictures."""

    def __repr__(self) -> str:
        """Say what it is, without its tensors."""
        lies = f", in {self.folder}" if self.folder else ""
        return f"<{type(self).__name__}: {self.network_name}, {len(self.classes)} classes{lies}>"

    def _repr_html_(self) -> str:
        return tables.as_html([{"class": name} for name in self.classes], title=repr(self)[1:-1])

    def answers(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the predicted class for each picture: probabilities [n, classes] -> indices [n]."""
        if self.threshold is not None:
            return self.threshold.answers(probabilities, self.classes)
        return weighed(probabilities, self._weights)

    def ranking(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the classes of one picture, the predicted one first: probabilities [classes] -> indices [classes]."""
        order: np.ndarray = np.argsort(-probabilities * self._weights, kind="stable")
        # with a threshold there are two classes, and the predicted one may be the less probable one
        return order if order[0] == self.answers(probabilities[None])[0] else order[::-1]

    @property
    def rule(self) -> str:
        """Say what is predicted, where that is not always the most probable class; else nothing."""
        if self.threshold is not None:
            return str(self.threshold)
        return "" if self.class_weights is None else weighing(self.class_weights, self.classes)

    @property
    def _weights(self) -> np.ndarray:
        return np.ones(len(self.classes)) if self.class_weights is None else np.array(self.class_weights)

    def seeing(self: M, paths: Sequence[Path], progress: Progress, **overrides: Any) -> M:
        """Return the model as it sees these pictures: as in its training, but for what is given.

        `overrides` as in `Preprocessing.showing`. `progress` hears what does not fit; see `data.adjusted`.
        """
        look = self.preprocessing.showing(**overrides)
        return self.looking(adjusted(look, paths, trained=self.trained, progress=progress))

    def predict(
        self,
        pictures: Pictures,
        *,
        tta: Tta | None = None,
        device: str = "auto",
        engine: str = "auto",
        progress: Listener = None,
    ) -> Iterator[Prediction]:
        """Yield the prediction of each picture of any kind, as it is made; one that cannot be read, or is
        not there, gives its reason.

        Arguments are as in `predict_files`, pictures as in `regraft.predict`, which returns all of them together and
        refuses a path that is not there.
        """
        heard = listener(progress)
        with gathered(pictures, heard, absent_ok=True) as files:
            paths = [file.path for file in files]
            of_files = self.predict_files(paths, tta=tta, device=device, engine=engine, progress=heard)
            for file, prediction in zip(files, of_files, strict=True):
                yield replace(prediction, path=Path(file.name))

    def predict_files(
        self,
        paths: Sequence[Path],
        *,
        tta: Tta | None = None,
        device: str = "auto",
        engine: str = "auto",
        progress: Listener = None,
    ) -> Iterator[Prediction]:
        """Classify files, in order, in constant memory; a file that cannot be read gives its reason.

        With `tta`, by default the model's own, the probabilities are the mean over several views of a picture. They
        depend on the picture alone: asking twice, or for other pictures beside it, gives the same answer.

        `engine` is as in the settings: ``auto`` computes the frozen part in the precision in which it was trained on,
        where this machine does so; what was trained is always computed in float32.

        Raises:
            ConfigError: a single path: its letters are no files.
        """
        if isinstance(paths, str | bytes | Path):
            raise ConfigError(f"predict_files takes a list of paths, not one: [{paths!r}]. `predict` takes either.")
        views, heard = self.tta if tta is None else tta, listener(progress)

        def predicted() -> Iterator[Prediction]:
            run = self.engine(device, engine, len(paths) * views.views, heard)
            with heard.track("Predicting", len(paths), "pictures") as tick:
                for prediction in self.viewed(views).answered(map(Path, paths), run):
                    yield prediction
                    tick(1)

        return predicted()

    def answered(self, paths: Iterable[Path], run: Run) -> Iterator[Prediction]:
        """Yield what `run` makes of each file, any number of them, in batches that begin with the first."""
        read, named = itertools.tee(paths)  # what is between them is what is read ahead
        for batch in batched(self.decoded(read, read_file), self.at_once):
            for (_, prediction), path in zip(self._answered(run, self.tta, batch), named, strict=False):
                yield replace(prediction, path=path)

    def of_contents(
        self, *, device: str = "auto", engine: str = "auto"
    ) -> Callable[[Sequence[bytes]], Iterator[Prediction]]:
        """Return what classifies the bytes of picture files as `predict_files` does: for who answers many calls.

        The network is opened once. A prediction's path is the number of its picture, from 1.
        """
        run = self.engine(device, engine, BATCH, Progress())

        def answer(contents: Sequence[bytes]) -> Iterator[Prediction]:
            for batch in batched(self.decoded(contents, bytes), self.at_once):
                for at, prediction in self._answered(run, self.tta, batch):
                    yield replace(prediction, path=Path(f"{at + 1}"))

        return answer

    def _answered(self, run: Run, views: Tta, batch: Sequence[Decoded]) -> Iterator[tuple[int, Prediction]]:
        """Yield the prediction of each picture of a batch; its path is still to be named."""
        good = [pixels for _, pixels in batch if not isinstance(pixels, BadImage)]
        of_views = predictions_from(run, good, views) if good else np.empty((1, 0, 0), np.float32)
        predictions = zip(mean_over_views(of_views), of_views[0], strict=True)
        for position, pixels in batch:
            if isinstance(pixels, BadImage):
                yield position, Prediction(Path(), None, str(pixels))
            else:
                probabilities, plain = next(predictions)
                label = self.classes[int(self.answers(probabilities[None])[0])]
                yield position, Prediction(Path(), probabilities, plain=plain, label=label)

    @property
    def at_once(self) -> int:
        """How many pictures are run together."""
        return BATCH

    def decoded(self, pictures: Iterable[S], content_of: Callable[[S], bytes]) -> Iterator[Decoded]:
        """Yield the pixels of every picture as the network takes them, or why it cannot be read."""
        return ahead_of(lambda one: decode(content_of(one), self.preprocessing), pictures)


def predictions_from(run: Run, pictures: Sequence[np.ndarray], tta: Tta) -> np.ndarray:
    """Return probabilities [views, n, classes] of n pictures uint8 [s, s, 3]; view 0 is the plain one.

    Raises:
        ActivationOverflow: they are no numbers.
    """
    views = range(tta.views)
    predictions = np.stack([run(np.stack([tta.view(pixels, number) for pixels in pictures]))[0] for number in views])
    if not np.isfinite(predictions).all():
        raise ActivationOverflow(
            "The network's predictions are not numbers. Half precision on a GPU may overflow: use --device cpu."
        )
    return predictions
