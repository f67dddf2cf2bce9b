"""Backbone + head + class names -> Classifier: what a bundle holds, and what predicts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from regraft.activations import engines
from regraft.activations.devices import pick_device
from regraft.activations.engines import Runner
from regraft.activations.engines._export import squares
from regraft.activations.recipes import export_recipe, stage_digests
from regraft.activations.store import make_room
from regraft.backbones import Backbone
from regraft.data import Preprocessing, Tta
from regraft.errors import StoreError, WeightsMissing
from regraft.inference.answering import MOST_EXPORTS, Answering
from regraft.metrics.thresholds import Threshold
from regraft.training.head import HeadSpec
from regraft.utils.machine import cache_folder
from regraft.utils.progress import Progress
from regraft.weights.imagenet import imagenet_classes
from regraft.weights.loading import filled
from regraft.weights.state import digest_state

CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False, repr=False)
class Classifier(Answering):
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

    @property
    def preprocessing(self) -> Preprocessing:
        """What it expects of pictures."""
        return self.backbone.preprocessing

    @property
    def network_name(self) -> str:
        """The network's name."""
        return self.backbone.name

    @property
    def identity(self) -> str:
        """What its answers depend on, in one name; of one that lies in no bundle, its tensors."""
        return str(self.about.get("sha256") or self._recipe_of(None))

    @property
    def trained(self) -> bool:
        """Whether it learned its classes here; else they are those of ImageNet."""
        return self.spec is not None

    def looking(self, preprocessing: Preprocessing) -> Classifier:
        """Return the model with another preprocessing."""
        return replace(self, backbone=replace(self.backbone, preprocessing=preprocessing))

    def viewed(self, tta: Tta) -> Classifier:
        """Return the model that predicts from these views of a picture."""
        return replace(self, tta=tta)

    def network(self) -> nn.Module:
        """Return uint8 pixels [b, s, s, 3] -> probabilities [b, classes], in eval mode."""
        # the ImageNet head brings its own pool; ours follows the pooled prefix
        body = self.backbone.prefix(len(self.backbone.stages)) if self.spec else self.backbone.above(0)
        return _Outputs(nn.Sequential(body, self.head, *self._probabilities())).eval()

    def engine(self, device: str, engine: str, pictures: int, progress: Progress) -> engines.Engine:
        """Return what runs the network on so many pictures."""
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

    def for_export(self, progress: Progress) -> tuple[nn.Module, Tensor, dict[str, str]]:
        """Return what is to predict without torch, an example of what it takes, and what runs below it, if anything.

        That is all of the network; or what was trained, above what an engine has kept of the rest in a shorter format.
        """
        own, cut = self.of_training(CPU), self._frozen
        if own is None or own.engine != "openvino" or cut is None:
            return self.network(), squares(self.preprocessing.size), {}
        job = self._job(own, CPU, cut, progress)
        engines.open_engine(own.engine, job)
        name = engines.module(own.engine).compiled_path(job).name
        last = cut == len(self.backbone.stages)  # where the pool is part of it
        shape = (self.backbone.embedding_width,) if last else self.backbone.shapes(self.preprocessing.size)[cut - 1]
        above = _Outputs(self._trained_part(cut))
        return above.eval(), torch.zeros(2, *shape), {"body": name, "body_precision": own.precision}

    def _opened(self, runner: Runner, device: torch.device, progress: Progress) -> engines.Engine:
        """Open what computes the stages: all, or as in the training those that were frozen in its precision."""
        whole = len(self.backbone.stages) if self.spec else None
        cut = self._frozen if runner == self.of_training(device) else whole
        opened = engines.open_engine(runner.engine, self._job(runner, device, cut, progress))
        return self._above(cut, opened) if cut else opened

    def _job(self, runner: Runner, device: torch.device, cut: int | None, progress: Progress) -> engines.Job:
        return engines.Job(
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

    def _above(self, cut: int, prefix: engines.Engine) -> engines.Engine:
        """Run what was trained in float32 on what an engine makes of pictures: so probabilities are precise."""
        above = self._trained_part(cut)

        def run(pixels: np.ndarray) -> list[np.ndarray]:
            with torch.inference_mode():
                return [above(torch.from_numpy(prefix(pixels)[0])).numpy()]

        return run

    def _trained_part(self, cut: int) -> nn.Module:
        return nn.Sequential(self.backbone.tail(cut), self.head, *self._probabilities()).cpu().eval()

    def _probabilities(self) -> list[nn.Module]:
        return [_Tempered(self.temperature), nn.Softmax(1)]

    def _recipe_of(self, cut: int | None) -> dict[str, Any]:
        """Name the network up to a cut as a training does, so that they share an export; None: with its own head."""
        if cut:
            return export_recipe(self.backbone, [cut], stage_digests(self.backbone, cut))
        pixels = replace(self.backbone.preprocessing, file_channels=None, value_range=None, max_megapixels=None)
        weights = digest_state(self.network().state_dict())
        return {"classifier": weights, "backbone": self.backbone.name, "pixels": pixels.as_dict()}


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
