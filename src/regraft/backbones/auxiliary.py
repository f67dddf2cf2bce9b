"""Network -> its auxiliary classifiers: side exits that only training has, and inference never sees.

Inception v1 and v3 are trained with them. They are taken off the network when it is built, so that neither its stages
nor a model that is kept hold them; a training whose tail contains the place where one branches off gets it back.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from regraft.backbones.families import Family
from regraft.backbones.stages import Stage


@dataclass(frozen=True, eq=False)
class Auxiliary:
    """An auxiliary classifier, with its layers as published weights have them: for ImageNet's 1000 classes."""

    name: str  # in the library's own network, and in files of weights
    stage: int  # index of the stage whose output it reads
    weight: float  # of its loss, as published
    module: nn.Module

    def classifier(self, classes: int, *, seed: int = 0) -> nn.Module:
        """Return a copy for other classes: the last layer is new; torch's global random state stays as it was."""
        fresh = copy.deepcopy(self.module)
        last, layer = [(name, part) for name, part in fresh.named_modules() if isinstance(part, nn.Linear)][-1]
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            fresh.set_submodule(last, nn.Linear(layer.in_features, classes))
        return fresh

    def takes(self, shape: Sequence[int]) -> bool:
        """Whether its layers find room on a map [c, h, w]; those of Inception v3 need pictures of 299 pixels."""
        outline = copy.deepcopy(self.module).to("meta").eval()
        try:
            outline(torch.empty(1, *shape, device="meta"))
        except RuntimeError:
            return False
        return True


def detach(family: Family, model: nn.Module, stages: Sequence[Stage]) -> tuple[Auxiliary, ...]:
    """Take the auxiliary classifiers of a row off the network, which then gives its scores only."""
    names = [stage.name for stage in stages]
    found = tuple(
        Auxiliary(name, names.index(stage), weight, model.get_submodule(name))
        for name, stage, weight in family.auxiliaries
    )
    for auxiliary in found:
        setattr(model, auxiliary.name, None)
        model.aux_logits = False  # type: ignore[assignment]
    return found
