"""Embedding -> class scores: the new end of the network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from msgspec import Meta
from torch import Tensor, nn

from regraft.backbones import GlobalPool


@dataclass(frozen=True)
class HeadSpec:
    """The shape of a head: what a bundle needs to build it again."""

    width: Annotated[int, Meta(ge=1, le=2**20)]  # length of an embedding
    classes: Annotated[int, Meta(ge=1, le=2**20)]
    hidden: Annotated[int, Meta(ge=0, le=65536)] = 256  # 0: one linear layer
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.2


LEAST_DEVIATION = 0.3
"""Least deviation that a channel is divided by, as a share of the mean deviation; 0.1 to 1 did equally well."""


class Standardize(nn.Module):
    """[b, c] -> zero mean and unit deviation over the training pictures.

    Embeddings of different networks differ in scale by a factor of a hundred; with this, one learning rate fits all.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("std", torch.ones(width))

    def set(self, chunks: Iterable[Tensor]) -> None:
        """Take mean and deviation from embeddings [b, c] that come chunk by chunk: they need not fit into memory.

        A channel that hardly moves in training is not blown up: on a new picture it could drown all others.
        """
        count, mean, squares = 0, self.mean.double(), torch.zeros_like(self.mean, dtype=torch.float64)
        for chunk in chunks:  # Chan, Golub & LeVeque 1979: exact where the mean is much larger than the deviation
            rows = chunk.double()
            step, share = rows.mean(0) - mean, len(rows) / (count + len(rows))
            squares += (rows - rows.mean(0)).square().sum(0) + step.square() * count * share
            mean, count = mean + step * share, count + len(rows)
        std = (squares / count).sqrt()
        self.mean.copy_(mean)
        self.std.copy_(std.clamp(min=LEAST_DEVIATION * float(std.mean()) or 1.0))

    def forward(self, x: Tensor) -> Tensor:
        """[b, c] -> [b, c]."""
        return (x - self.mean) / self.std


class Dropout(nn.Dropout):
    """`nn.Dropout` with a quicker mask: torch draws Bernoulli's numbers one by one on a CPU, three times as long.

    That was a tenth of the time in which a head trains.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Any shape; in eval mode the input itself."""
        if not self.training or not self.p:
            return x
        kept = torch.rand(x.shape, device=x.device) >= self.p
        return x * (kept / (1 - self.p)).to(x.dtype)


class Head(nn.Module):
    """Pool, standardize, dropout, dense, dense: [b, width / 2, h, w] or [b, width] -> [b, classes]."""

    def __init__(self, spec: HeadSpec) -> None:
        super().__init__()
        self.pool, self.standardize = GlobalPool(), Standardize(spec.width)
        self.hidden, width = nn.Sequential(), spec.width
        if spec.hidden:
            self.hidden = nn.Sequential(Dropout(spec.dropout), nn.Linear(width, spec.hidden), nn.ReLU())
            width = spec.hidden
        self.dropout, self.out = Dropout(spec.dropout), nn.Linear(width, spec.classes)

    def forward(self, x: Tensor) -> Tensor:
        """[b, width / 2, h, w] or [b, width] -> scores (logits) [b, classes]."""
        scores: Tensor = self.out(self.dropout(self.hidden(self.standardize(self.pool(x)))))
        return scores

    def begin_at(self, shares: np.ndarray) -> None:
        """Let the head begin with the classes' shares as its answer, [classes]: where training starts, and not further.

        Rare classes would else take the first epochs to become rare (Lin et al. 2017, section 3.3).
        """
        with torch.no_grad():
            self.out.bias.copy_(torch.from_numpy(np.log(shares)))

    def cool(self, temperature: float, shares: np.ndarray) -> None:
        """Move the scores so that, divided by a temperature, they are tempered about the shares: see `calibration`."""
        with torch.no_grad():
            self.out.bias.add_((temperature - 1) * torch.from_numpy(np.log(shares)))


def build_head(spec: HeadSpec, *, seed: int = 0) -> Head:
    """Build a head with random weights; torch's global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return Head(spec)


def inherit(head: nn.Module, classes: Sequence[str], earlier: nn.Module, earlier_classes: Sequence[str]) -> bool:
    """Copy what an earlier head knows of the classes that both share by name; False when there is nothing to copy.

    The layers before the last go along, since its rows mean nothing without them; so both heads must be of one shape.
    """
    shared = [name for name in classes if name in earlier_classes]
    state, old = head.state_dict(), earlier.state_dict()
    same_shape = state.keys() == old.keys() and all(
        state[key].shape == old[key].shape for key in state if not key.startswith("out.")
    )
    if not shared or not same_shape:
        return False
    new_rows = [list(classes).index(name) for name in shared]
    old_rows = [list(earlier_classes).index(name) for name in shared]
    for key, value in old.items():
        if key.startswith("out."):
            state[key][new_rows] = value[old_rows]
        else:
            state[key].copy_(value)
    return True
