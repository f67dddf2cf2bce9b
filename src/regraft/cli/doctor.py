"""Examine the machine: versions, devices, weights, the state of torchvision, the room for kept activations."""

from __future__ import annotations

import os
from typing import Any

import torch

from regraft import run_folder
from regraft.activations.store import free_bytes
from regraft.backbones import names, torchvision_compat
from regraft.utils.machine import cache_folder, cores
from regraft.weights.loading import available


def examine() -> dict[str, Any]:
    """Return what is there, as plain JSON values."""
    cache = cache_folder()
    return {
        "versions": run_folder.environment(),
        "devices": _devices(),
        "torchvision": "mended: its compiled part does not fit this torch; classification works"
        if torchvision_compat.mended()
        else "imports as it should",
        "weights": {
            name: found for name in names() if (found := [source for source in available(name) if source != "random"])
        },
        "weights_folder": os.environ.get("REGRAFT_WEIGHTS", ""),
        "cache": str(cache),
        "cache_free_gb": round(free_bytes(cache) / 1e9, 1),
    }


def _devices() -> list[str]:
    cuda = [f"cuda ({torch.cuda.get_device_name(index)})" for index in range(torch.cuda.device_count())]
    return [*cuda, *(["mps"] if torch.backends.mps.is_available() else []), f"cpu ({cores()} cores)"]


def as_text(found: dict[str, Any]) -> str:
    """Return the findings for a reader."""
    weights = [f"  {name}: {', '.join(sources)}" for name, sources in found["weights"].items()]
    return "\n".join(
        [
            "Versions",
            *(f"  {name} {version}" for name, version in found["versions"].items()),
            "Devices",
            *(f"  {device}" for device in found["devices"]),
            f"torchvision: {found['torchvision']}",
            f"Weights on this machine (REGRAFT_WEIGHTS={found['weights_folder'] or 'not set'})",
            *(weights or ["  none"]),
            f"Kept activations: {found['cache']}, {found['cache_free_gb']} GB free",
        ]
    )
