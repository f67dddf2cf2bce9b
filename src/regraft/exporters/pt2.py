"""torch.export: a file that torch alone runs, ``torch.export.load(FILE).module()(pixels)``, without Regraft or timm."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from regraft.exporters._order import Answer, Order, Pixels

SUFFIX = ".pt2"
PACKAGES = ("torch",)
PRECISIONS = ("float32", "float16")
SAME = 1e-4
ABOUT = "regraft.json"
"""Of the extra files that `torch.export.load` hands out: what is said of the model."""


def write(order: Order, path: Path) -> None:
    """Write a model, with what is said of it."""
    import torch

    sides = ("batch", "height", "width")[: 3 if order.any_size else 1]
    ranges = {at: torch.export.Dim(name, min=1, max=2**20) for at, name in enumerate(sides)}
    network = copy.deepcopy(order.network).requires_grad_(False)  # what runs it need not say that nothing is learned
    program = torch.export.export(network, (order.example,), dynamic_shapes=(ranges,))
    torch.export.save(program, path, extra_files={ABOUT: json.dumps(order.about)})


def run(path: Path) -> Answer:
    """Return what runs a file."""
    import torch

    network = torch.export.load(path).module()

    def answer(pixels: Pixels) -> NDArray[np.float32]:
        with torch.inference_mode():
            found: NDArray[np.float32] = network(torch.from_numpy(pixels)).numpy()
        return found

    return answer
