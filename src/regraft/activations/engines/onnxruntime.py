"""ONNX Runtime: 1.1 to 3 times as fast as torch on a CPU, once the network is exported."""

from __future__ import annotations

import torch

from regraft.activations.engines._export import PAYS_FROM, exported, is_exported
from regraft.activations.engines._job import Engine, Job
from regraft.utils import onnx_file
from regraft.utils.machine import cores

__all__ = ["AUTO", "PACKAGE", "PAYS_FROM", "RANK", "known", "open", "ready", "supports"]

RANK = 1
PACKAGE = "onnxruntime"
AUTO = ("float32",)
ready = is_exported


def supports(device: torch.device, precision: str) -> bool:
    """Say whether it runs there, in that precision."""
    return device.type == "cpu" and precision == "float32"


def known(precision: str) -> bool:
    """Say whether it was measured that nothing is faster on a CPU like this one."""
    return False


def open(job: Job) -> Engine:
    """Run a network; its export stays in the job's folder."""
    session = onnx_file.session(exported(job), cores())
    return lambda pixels: session.run(None, {"pixels": pixels})
