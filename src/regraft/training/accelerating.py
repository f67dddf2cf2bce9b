"""What brings a training loop its device and its precision: Lightning Fabric. On a CPU there is neither to bring."""

from __future__ import annotations

import contextlib
import inspect
import logging
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn


class AdamW(torch.optim.AdamW):
    """torch's own, without what lets it be compiled.

    Its methods are wrapped in functions that load torch's compiler when they are called first. Nothing is compiled
    here, and loading it takes as long as training a head on 1,000 kept rows.
    """

    add_param_group = inspect.unwrap(torch.optim.AdamW.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.AdamW.zero_grad)
    state_dict = inspect.unwrap(torch.optim.AdamW.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.AdamW.load_state_dict)
    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))


class OnCpu:
    """What Fabric does on a CPU, in float32: nothing. Loading it takes twice as long as loading torch."""

    def to_device(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return a batch as it is."""
        return batch

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients."""
        loss.backward()

    def autocast(self) -> contextlib.nullcontext[None]:
        """Round nothing."""
        return contextlib.nullcontext()


def accelerated(module: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device) -> tuple[Any, Any, Any]:
    """Return what moves batches, rounds and computes gradients there, and the two as they are used with it."""
    if device.type == "cpu":
        return OnCpu(), module.to(device), optimizer
    with _quiet():
        fabric = _fabric(device)
        learner, stepping = fabric.setup(module, optimizer)
    learner.mark_forward_method("loss")
    return fabric, learner, stepping


def _fabric(device: torch.device) -> Any:
    """Return what brings precision and device: on one machine, also where SLURM has started this process."""
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment

    return Fabric(accelerator=device.type, devices=1, precision=_precision(device), plugins=[LightningEnvironment()])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Fabric's notes on hardware from the user: they advise on code that users do not have."""
    log = logging.getLogger("lightning_fabric")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _precision(device: torch.device) -> Any:
    if device.type != "cuda":
        return "32-true"
    # emulated, bf16 is slower than float32
    return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
