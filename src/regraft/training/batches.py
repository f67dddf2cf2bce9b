"""Activations -> whole batches, drawn from (seed, epoch): one read per batch instead of one per picture."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from regraft.activations.sources import Activations


@dataclass(frozen=True)
class Examples:
    """What a phase learns from: activations, the labels of all pictures, and which of them are in the part."""

    activations: Activations
    labels: np.ndarray  # int64 [pictures]
    which: np.ndarray  # int64 [n]: indices into the activations and the labels
    views: int = 1


def batches(pictures: int, size: int) -> int:
    """Return how many batches an epoch has: a last one of one picture joins the one before, see `Batches`."""
    return max(1, math.ceil((pictures - 1) / size))


@dataclass(frozen=True)
class Batches:
    """The examples of a part, batch by batch.

    A last batch of one picture joins the one before, since batch normalisation needs two.
    """

    examples: Examples
    size: int
    seed: int = 0

    def __len__(self) -> int:
        return batches(len(self.examples.which), self.size)

    def plain(self, view: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the plain views, ([b, *shape], [b]), in order; or another view of each."""
        for batch in self._cut(self.examples.which):
            yield self._read(batch, np.full_like(batch, view))

    def shuffled(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield an epoch's views, ([b, *shape], [b]), in an order of its own."""
        for batch in self._cut(np.random.default_rng((self.seed, epoch)).permutation(self.examples.which)):
            # each picture comes in another view in every epoch, and not all pictures in the same one
            yield self._read(batch, (batch + epoch) % self.examples.views)

    def _cut(self, which: np.ndarray) -> list[np.ndarray]:
        return np.split(which, [self.size * nth for nth in range(1, len(self))])

    def _read(self, batch: np.ndarray, views: np.ndarray) -> tuple[Tensor, Tensor]:
        rows = self.examples.activations.rows(batch.tolist(), views.tolist())
        return torch.from_numpy(rows), torch.from_numpy(self.examples.labels[batch])
