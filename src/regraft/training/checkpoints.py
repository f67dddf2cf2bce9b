"""A phase while it trains -> best.ckpt, its best epoch, and last.ckpt, to go on from; whole, and of tensors only.

The names in them are those of Lightning's checkpoints, which version 0.1.0 wrote: its runs go on.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from regraft.errors import RunError
from regraft.training.history import History, best_epoch
from regraft.utils import files
from regraft.weights.reading import read_torch
from regraft.weights.state import misfits

EVERY_S = 5.0  # writing one takes as long as a head's epoch


@dataclass
class Checkpoints:
    """Writes both every few seconds, the best also at the end of the phase.

    A head learns ten epochs in that time, and what a killed process had not written is learned again just as it was.
    """

    folder: Path
    every_s: float
    best: dict[str, Any] | None = None  # not written yet
    written_s: float = field(default_factory=time.monotonic)

    def keep(self, history: History, state: Mapping[str, Tensor]) -> None:
        """Keep the tensors of the epoch that is over in memory, if it is the best so far."""
        epoch = int(history.rows[-1]["epoch"])
        if best_epoch(history.rows) == epoch:
            tensors = {name: tensor.detach().clone() for name, tensor in state.items()}
            self.best = {"epoch": epoch - 1, "state_dict": tensors}

    @property
    def due(self) -> bool:
        """Whether it is time to write."""
        return time.monotonic() - self.written_s >= self.every_s

    def write(self, state: Mapping[str, Any]) -> None:
        """Write the best epoch, and the last one with all that training goes on with."""
        self.write_best()
        _write(state, self.folder / "last.ckpt")
        self.written_s = time.monotonic()

    def write_best(self) -> None:
        """Bring the best epoch to the disk."""
        if self.best is not None:
            _write(self.best, self.folder / "best.ckpt")
        self.best = None


def _write(state: Mapping[str, Any], path: Path) -> None:
    with files.whole(path) as temporary, temporary.open("wb") as file:
        torch.save(dict(state), file)


def restore(tail: nn.Module, head: nn.Module, checkpoint: Path) -> None:
    """Load the tensors of a checkpoint into tail and head, and leave both on the CPU, in eval mode.

    Raises:
        RunError: it is damaged.
    """
    state = read_checkpoint(checkpoint)["state_dict"]
    for name, part in (("tail.", tail), ("head.", head)):
        own = {key.removeprefix(name): value for key, value in state.items() if key.startswith(name)}
        if misfits(part.cpu().state_dict(), own):
            raise damaged(checkpoint)
        part.load_state_dict(own)
        part.eval()


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return what a checkpoint holds; its tensors by name under ``state_dict``.

    Raises:
        RunError: it is damaged.
    """
    try:
        found = read_torch(path)
        if not all(
            isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in found["state_dict"].items()
        ):
            raise TypeError("no tensors")
    except Exception as error:
        raise damaged(path) from error
    return dict(found)


def damaged(checkpoint: Path) -> RunError:
    """Return the error that says so."""
    return RunError(f"{checkpoint} is damaged, so this run cannot go on. Start a new one without --resume.")
