"""What every engine takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from regraft.backbones.backbone import Backbone
from regraft.utils.progress import Progress

Engine = Callable[[np.ndarray], list[np.ndarray]]
"""uint8 pixels ``[b, s, s, 3]`` -> one float32 array ``[b, ...]`` per output of the network."""


@dataclass(frozen=True, eq=False)
class Job:
    """What an engine runs: a network from uint8 pixels ``[b, size, size, 3]`` to a list of outputs, any b."""

    network: nn.Module
    size: int
    recipe: Callable[[], Mapping[str, Any]]  # what the outputs depend on beside the pictures; it takes a while
    folder: Path  # where an engine keeps what it prepares, by the recipe
    name: str = "the network"  # as a reader knows it
    device: torch.device = torch.device("cpu")
    precision: str = "float32"  # what it computes in; values of float16 end at 65504
    progress: Progress = field(default_factory=Progress)
    prepared: Callable[[], object] = lambda: None  # called when something new lies in the folder


class Taps(nn.Module):
    """Runs the stages once and hands out what passes at each of the cuts (above 0), in ascending order."""

    def __init__(self, backbone: Backbone, cuts: Sequence[int]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(backbone.prefix(cut, start) for start, cut in pairwise([0, *sorted(cuts)]))

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """uint8 [b, s, s, 3] -> the outputs at the cuts."""
        passing, taps = pixels, []
        for part in self.parts:
            passing = part(passing)
            taps.append(passing)
        return taps
