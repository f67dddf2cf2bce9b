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
PAYS_FROM = 0  # pictures


def supports(device: torch.device) -> bool:
    """Say whether it runs there."""
    return True


def ready(recipe: Mapping[str, Any], folder: Path) -> bool:
    """Say whether what it prepares is there; it prepares nothing."""
    return False


def open(job: Job) -> Engine:
    """Run a network in float32 or in half precision."""
    network = job.network.eval().to(job.device).to(memory_format=layout(job.device))  # type: ignore[call-overload]

    def run(pixels: np.ndarray) -> list[np.ndarray]:
        precision = torch.autocast(job.device.type, torch.float16) if job.half else contextlib.nullcontext()
        with torch.inference_mode(), precision:
            return [output.float().cpu().numpy() for output in network(torch.from_numpy(pixels).to(job.device))]

    return run
