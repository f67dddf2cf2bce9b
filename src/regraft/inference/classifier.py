"""Backbone + head + class names -> Classifier: what a bundle holds, and what predicts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from regraft.activations import BATCH, batched, cache_folder, engines
from regraft.activations.devices import pick_device
from regraft.activations.store import make_room
from regraft.backbones import Backbone
from regraft.data import Pictures, Tta, adjusted, gathered, read_pixels
from regraft.errors import ActivationOverflow, BadImage, StoreError, WeightsMissing
from regraft.metrics.thresholds import Threshold, weighed, weighing
from regraft.metrics.tta import mean_over_views
from regraft.training.head import HeadSpec
from regraft.utils.progress import Progress
from regraft.weights.imagenet import imagenet_classes
from regraft.weights.loading import filled
from regraft.weights.state import digest_state

MOST_EXPORTS = 5 * 10**9  # bytes of exports that predicting leaves behind; training keeps to --cache-limit in all


@dataclass(frozen=True)
class Prediction:
    """One picture's prediction: probabilities [classes], or why there is none."""

    path: Path
    probabilities: NDArray[np.float32] | None
    error: str = ""


@dataclass(frozen=True, eq=False)
class Classifier:
    """A network with its class names; ``spec`` is None where the network's own ImageNet head predicts."""

    backbone: Backbone
    head: nn.Module
    classes: tuple[str, ...]
    spec: HeadSpec | None = None
    about: dict[str, Any] = field(default_factory=dict)  # bundle.json
    temperature: float = 1.0  # divides the head's scores, see regraft.calibration
    threshold: Threshold | None = None  # where one of two classes is predicted; None: the most probable class is
    class_weights: tuple[float, ...] | None = None  # what each probability counts in that, without a threshold
    tta: Tta = Tta()  # the views of a picture that it is answered from

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

    def network(self) -> nn.Module:
        """Return uint8 pixels [b, s, s, 3] -> probabilities [b, classes], in eval mode."""
        # the ImageNet head brings its own pool; ours follows the pooled prefix
        body = self.backbone.prefix(len(self.backbone.stages)) if self.spec else self.backbone.above(0)
        return _Outputs(nn.Sequential(body, self.head, _Tempered(self.temperature), nn.Softmax(1))).eval()

    def seeing(self, paths: Sequence[Path], progress: Progress, **overrides: Any) -> Classifier:
        """Return the model as it sees these pictures: as in its training, but for what is given.

        `overrides` as in `Preprocessing.showing`. `progress` hears what does not fit; see `data.adjusted`.
        """
        trained = self.spec is not None
        preprocessing = adjusted(
            self.backbone.preprocessing.showing(**overrides), paths, trained=trained, progress=progress
        )
        return replace(self, backbone=replace(self.backbone, preprocessing=preprocessing))

    def predict(
        self,
        pictures: Pictures,
        *,
        tta: Tta | None = None,
        device: str = "auto",
        engine: str = "auto",
        progress: Progress | None = None,
    ) -> Iterator[Prediction]:
        """Classify pictures of any kind, in order; one that cannot be read gives its reason.

        Arguments are as in `predict_files`, pictures as in `regraft.predict`.
        """
        with gathered(pictures, progress, absent_ok=True) as files:
            of_files = self.predict_files(
                [file.path for file in files], tta=tta, device=device, engine=engine, progress=progress
            )
            for file, prediction in zip(files, of_files, strict=True):
                yield replace(prediction, path=Path(file.name))

    def predict_files(
        self,
        paths: Sequence[Path],
        *,
        tta: Tta | None = None,
        device: str = "auto",
        engine: str = "auto",
        progress: Progress | None = None,
    ) -> Iterator[Prediction]:
        """Classify files, in order, in constant memory; a file that cannot be read gives its reason.

        With `tta`, by default the model's own, the probabilities are the mean over several views of a picture. They
        depend on the picture alone: asking twice, or for other pictures beside it, gives the same answer.

        `engine` is as in the settings: ``auto`` exports to ONNX Runtime where there are many pictures and no GPU.
        """
        views = self.tta if tta is None else tta
        run = self._engine(device, engine, len(paths) * views.views, progress or Progress())
        with (progress or Progress()).track("Predicting", len(paths), "pictures") as tick:
            for batch in batched(read_pixels(paths, self.backbone.preprocessing), BATCH):
                good = [pixels for _, pixels in batch if not isinstance(pixels, BadImage)]
                predictions = iter(predictions_from(run, good, views) if good else ())
                for position, pixels in batch:
                    bad = isinstance(pixels, BadImage)
                    yield Prediction(paths[position], None if bad else next(predictions), str(pixels) if bad else "")
                tick(len(batch))

    def _engine(self, device: str, engine: str, pictures: int, progress: Progress) -> engines.Engine:
        on = pick_device(device)
        chosen = engines.choose(engine, on, pictures).engine
        try:
            return self._opened(chosen, on, progress)
        except StoreError as error:
            if engine != "auto":
                raise
            progress.note(f"{error} Going on with torch, which is slower.")
            return self._opened("torch", on, progress)

    def _opened(self, engine: str, device: torch.device, progress: Progress) -> engines.Engine:
        network, preprocessing, folder = self.network(), self.backbone.preprocessing, cache_folder() / "prefixes"

        def recipe() -> dict[str, Any]:
            pixels = replace(preprocessing, file_channels=None, value_range=None, max_megapixels=None).as_dict()
            weights = digest_state(network.state_dict())
            return {"classifier": weights, "backbone": self.backbone.name, "pixels": pixels}

        job = engines.Job(
            network,
            preprocessing.size,
            recipe,
            folder,
            self.backbone.name,
            device,
            precision="float16" if device.type == "cuda" else "float32",
            progress=progress,
            prepared=lambda: make_room([folder], 0, MOST_EXPORTS),
        )
        return engines.open_engine(engine, job)


def predictions_from(run: engines.Engine, pictures: Sequence[np.ndarray], tta: Tta) -> np.ndarray:
    """Return probabilities [n, classes] of n pictures uint8 [s, s, 3], from several views of each.

    Raises:
        ActivationOverflow: they are no numbers.
    """
    views = range(tta.views)
    predictions = np.stack([run(np.stack([tta.view(pixels, number) for pixels in pictures]))[0] for number in views])
    if not np.isfinite(predictions).all():
        raise ActivationOverflow(
            "The network's predictions are not numbers. Half precision on a GPU may overflow: use --device cpu."
        )
    return mean_over_views(predictions)


class _Tempered(nn.Module):
    """Divides scores by the temperature; a buffer, so that an export with another one is another export."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature: Tensor
        self.register_buffer("temperature", torch.tensor(temperature))

    def forward(self, scores: Tensor) -> Tensor:
        return scores.float() / self.temperature  # a low temperature could take half precision beyond its end


class _Outputs(nn.Module):
    """Gives the one output as a list, as the engines expect."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.inner = network

    def forward(self, pixels: Tensor) -> list[Tensor]:
        return [self.inner(pixels)]


def pretrained(name: str, weights: str | None = None) -> Classifier:
    """Return a backbone with its own ImageNet head: 1000 classes, named ``n02504013 Indian_elephant``.

    Raises:
        UnknownName: there is no such backbone.
        WeightsMissing: the weights are not here, or came without their head.
    """
    backbone, found = filled(name, weights)
    if not found.has_classifier:
        raise WeightsMissing(
            f"The weights of {backbone.name} at hand ({found.source}) have no ImageNet head, "
            "so it cannot name ImageNet classes. "
            "Train it on your own classes, or give weights with a head: --weights FILE."
        )
    names = tuple(" ".join(pair) for pair in imagenet_classes())
    return Classifier(backbone, backbone.classifier.module, names)
