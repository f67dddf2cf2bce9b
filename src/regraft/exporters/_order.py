"""Classifier -> what every format writes: one module from pixels to probabilities, and what is said of it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from regraft import catalog
from regraft.data import Tta
from regraft.exporters._seeing import Seeing
from regraft.inference.about import described
from regraft.inference.classifier import Classifier
from regraft.inference.exported import FORMAT

Pixels: TypeAlias = NDArray[np.uint8]
Answer: TypeAlias = Callable[[Pixels], NDArray[np.float32]]
"""Pictures of one size, uint8 [n, h, w, 3] -> probabilities [n, classes]."""


@dataclass(frozen=True, eq=False)
class Order:
    """What a format is to write."""

    network: nn.Module  # uint8 [n, h, w, 3] -> float32 [n, classes], on the CPU
    example: Tensor  # pictures that it takes
    any_size: bool
    precision: str
    about: dict[str, str]
    classifier: Classifier
    calibration: Iterable[Pixels] = ()  # training pictures, each [1, h, w, 3], for whole numbers
    tta: Tta = Tta()  # the views that the file predicts from


class Whole(nn.Module):
    """All of a model: what a file is to hold."""

    def __init__(self, classifier: Classifier, *, any_size: bool, half: bool = False) -> None:
        super().__init__()
        self.seeing = Seeing(classifier.backbone.preprocessing) if any_size else nn.Identity()
        self.moves = inside(classifier.tta).moves or []
        self.classes = len(classifier.classes)
        self.answering = _halved(classifier.network()) if half else classifier.network().cpu()

    def forward(self, pixels: Tensor) -> Tensor:
        """uint8 [n, h, w, 3] -> float32 [n, classes]."""
        return self.answered(self.seeing(pixels))

    def answered(self, squares: Tensor) -> Tensor:
        """uint8 [n, s, s, 3] -> float32 [n, classes], the mean over the views."""
        if len(self.moves) == 1:
            plain: Tensor = self.answering(squares)[0]
            return plain
        views = torch.cat([_moved(squares, *move) for move in self.moves])  # [v n, s, s, 3]
        found = self.answering(views)[0].reshape(len(self.moves), -1, self.classes)
        # as `mean_over_views` has it: the softmax of the mean of logarithms
        mean: Tensor = found.clamp(min=torch.finfo(torch.float32).tiny).log().mean(0).softmax(-1)
        return mean


def inside(tta: Tta) -> Tta:
    """Return the views that can lie in a file: the model's own where they only move pixels, else the plain one."""
    return Tta() if tta.moves is None else tta


def _moved(squares: Tensor, turns: int, mirrored: bool) -> Tensor:
    """Return pictures [n, s, s, 3] as `Tta.view` moves their pixels, in steps that every format has."""
    x = squares.flip(2) if mirrored else squares
    if turns % 2:
        x = x.transpose(1, 2)
    half = {0: [], 1: [1], 2: [1, 2], 3: [2]}[turns]
    return x.flip(half) if half else x


def _halved(network: nn.Module) -> nn.Module:
    """Return a copy with body and head in half precision; temperature and softmax stay as they are."""
    made = copy.deepcopy(network).cpu()
    (chain,) = made.children()
    for part in list(chain.children())[:2]:
        part.half()
    return made


def ordered(classifier: Classifier, *, asked: str, precision: str, calibration: Iterable[Pixels]) -> Order:
    """Return what is to be written of a classifier that takes pictures of any size, or squares."""
    network = Whole(classifier, any_size=asked == "any", half=precision == "float16").eval()
    size = classifier.backbone.preprocessing.size
    sides = (size + 11, size + 7) if asked == "any" else (size, size)  # unlike, so that none is taken for another
    example = torch.zeros(2, *sides, 3, dtype=torch.uint8)
    tta = inside(classifier.tta)
    about = said(classifier) | {"input": asked, "precision": precision}
    if tta.views > 1:  # what reads `tta` looks as often itself, on top of what the file does
        about["looks"] = about.pop("tta")
    return Order(network, example, asked == "any", precision, about, classifier, calibration, tta)


def said(classifier: Classifier) -> dict[str, str]:
    """Return what a file says of its model: text as it is, all else as JSON."""
    about = {
        "format": FORMAT,
        "licence": licence(classifier),
        **({} if classifier.spec is not None else {"method": "pretrained"}),
        **described(classifier),
    }
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in about.items()}


def licence(classifier: Classifier) -> str:
    """Return what is known of the licence of the weights that a model started from."""
    steps = [step["licence"] for step in classifier.about.get("lineage", ()) if step.get("licence")]
    listed = [row["licence"] for row in catalog.read() if row["name"] == classifier.backbone.name]
    return str([*steps, *(listed if classifier.spec is None else []), "unknown"][0])
