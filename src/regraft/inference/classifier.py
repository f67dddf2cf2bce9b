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
from regraft.activations.engines import Runner
from regraft.activations.recipes import export_recipe, stage_digests
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
    plain: NDArray[np.float32] | None = None  # the probabilities at one look, whatever the views


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
    tta: Tta = Tta()  # the views of a picture that are predicted from
    folder: Path | None = None  # the bundle that it was loaded from, which may lie in a run

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
        return _Outputs(nn.Sequential(body, self.head, *self._probabilities())).eval()

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

        `engine` is as in the settings: ``auto`` computes the frozen part in the precision in which it was trained on,
        where this machine does so; what was trained is always computed in float32.
        """
        views = self.tta if tta is None else tta
        run = self._engine(device, engine, len(paths) * views.views, progress or Progress())
        with (progress or Progress()).track("Predicting", len(paths), "pictures") as tick:
            for batch in batched(read_pixels(paths, self.backbone.preprocessing), BATCH):
                good = [pixels for _, pixels in batch if not isinstance(pixels, BadImage)]
                of_views = predictions_from(run, good, views) if good else np.empty((1, 0, 0), np.float32)
                predictions = zip(mean_over_views(of_views), of_views[0], strict=True)
                for position, pixels in batch:
                    if isinstance(pixels, BadImage):
                        yield Prediction(paths[position], None, str(pixels))
                    else:
                        probabilities, plain = next(predictions)
                        yield Prediction(paths[position], probabilities, plain=plain)
                tick(len(batch))

    def _engine(self, device: str, engine: str, pictures: int, progress: Progress) -> engines.Engine:
        on = pick_device(device)
        try:
            return self._opened(self._runner(engine, on, pictures), engines.placed(engine, on), progress)
        except StoreError as error:
            if engine != "auto":
                raise
            progress.note(f"{error} Going on with torch, which is slower.")
            return self._opened(Runner("torch"), on, progress)

    def _runner(self, engine: str, device: torch.device, pictures: int) -> Runner:
        """Return what computes the network: in float32, but in the precision of its training where that was another."""
        device = engines.placed(engine, device)
        if device.type == "cuda":
            return engines.choose(engine, device, pictures, precision="float16")
        own = self.of_training(device)
        return own if own and engine in ("auto", own.engine) else engines.choose(engine, device, pictures)

    def of_training(self, device: torch.device) -> Runner | None:
        """Return what computed the rows that were trained on, where it was no float32 and is as fast here."""
        part = self.about.get("frozen_part")
        if not isinstance(part, dict) or device.type != "cpu" or self._frozen is None:
            return None
        known = [Runner(name, precision) for name in engines.names() for precision in engines.SHORTER]
        found = next((one for one in known if [*one] == [part.get("engine"), part.get("precision")]), None)
        if found is None or found.precision not in engines.module(found.engine).AUTO:
            return None
        return found if engines.module(found.engine).supports(device, found.precision) else None

    @property
    def _frozen(self) -> int | None:
        """The cut below what was trained; None where the bundle names no stages that follow each other to the end."""
        names = [stage.name for stage in self.backbone.stages]
        trained = list(self.about.get("trained", ()))
        cut = len(names) + 1 - len(trained)
        return cut if cut > 0 and trained == [*names[cut:], "head"] else None

    def _opened(self, runner: Runner, device: torch.device, progress: Progress) -> engines.Engine:
        """Open what computes the stages: all, or as in the training those that were frozen in its precision."""
        whole = len(self.backbone.stages) if self.spec else None
        cut = self._frozen if runner == self.of_training(device) else whole
        job = engines.Job(
            engines.Taps(self.backbone, [cut]) if cut else self.network(),
            self.backbone.preprocessing.size,
            lambda: self._recipe_of(cut),
            cache_folder() / "prefixes",
            self.backbone.name,
            device,
            runner.precision,
            progress=progress,
            prepared=lambda: make_room([cache_folder() / "prefixes"], 0, MOST_EXPORTS),
        )
        opened = engines.open_engine(runner.engine, job)
        return self._above(cut, opened) if cut else opened

    def _above(self, cut: int, prefix: engines.Engine) -> engines.Engine:
        """Run what was trained in float32 on what an engine makes of pictures: so probabilities are precise."""
        above = nn.Sequential(self.backbone.tail(cut), self.head, *self._probabilities()).cpu().eval()

        def run(pixels: np.ndarray) -> list[np.ndarray]:
            with torch.inference_mode():
                return [above(torch.from_numpy(prefix(pixels)[0])).numpy()]

        return run

    def _probabilities(self) -> list[nn.Module]:
        return [_Tempered(self.temperature), nn.Softmax(1)]

    def _recipe_of(self, cut: int | None) -> dict[str, Any]:
        """Name the network up to a cut as a training does, so that they share an export; None: with its own head."""
        if cut:
            return export_recipe(self.backbone, [cut], stage_digests(self.backbone, cut))
        pixels = replace(self.backbone.preprocessing, file_channels=None, value_range=None, max_megapixels=None)
        weights = digest_state(self.network().state_dict())
        return {"classifier": weights, "backbone": self.backbone.name, "pixels": pixels.as_dict()}


def predictions_from(run: engines.Engine, pictures: Sequence[np.ndarray], tta: Tta) -> np.ndarray:
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
