"""torch: runs on every device, and needs no preparation."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from regraft.activations.devices import layout
from regraft.activations.engines._job import Engine, Job

RANK = 0
PACKAGE = "torch"
PAYS_FROM = 0  # pictures
AUTO = ("float32",)


def supports(device: torch.device, precision: str) -> bool:
    """Say whether it runs there, in that precision."""
    return precision != "bfloat16" or device.type in ("cpu", "cuda")


def ready(recipe: Mapping[str, Any], folder: Path) -> bool:
    """Say whether what it prepares is there; it prepares nothing."""
    return False


def known(precision: str) -> bool:
    """Say whether it was measured that nothing is faster on a CPU like this one."""
    return False


def open(job: Job) -> Engine:
    """Run a network in its precision: below float32, what torch's autocast finds safe to round."""
    network = job.network.eval().to(job.device).to(memory_format=layout(job.device))  # type: ignore[call-overload]
    rounded = job.precision != "float32"

    def run(pixels: np.ndarray) -> list[np.ndarray]:
        how = torch.autocast(job.device.type, getattr(torch, job.precision)) if rounded else contextlib.nullcontext()
        with torch.inference_mode(), how:
            return [output.float().cpu().numpy() for output in network(torch.from_numpy(pixels).to(job.device))]

    return run
