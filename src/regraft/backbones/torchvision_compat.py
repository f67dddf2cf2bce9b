"""Import torchvision, and timm after it, beside a torch of another build.

``import torchvision`` fails beside a CPU-only torch when its own wheel was built for CUDA ("operator torchvision::nms
does not exist"): its compiled operators were not loaded, yet it registers their shapes. Declaring the two names that
it asks for is enough for classification; only ``torchvision.io`` and ``torchvision.ops.nms`` stay unusable. Nothing
is declared where the plain import works.

This is the one place that imports either library: everybody else calls :func:`torchvision` or :func:`timm`.
"""

from __future__ import annotations

import functools
import importlib
import sys
from typing import Any

import torch

MISSING_OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


@functools.cache  # also keeps the declarations alive: torch withdraws them with the Library object
def _declare_operators() -> torch.library.Library:
    library = torch.library.Library("torchvision", "DEF")
    for schema in MISSING_OPERATORS:
        library.define(schema)
    return library


def _forget(package: str) -> None:
    """Drop the half-imported package, so that the next import starts from the beginning."""
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        del sys.modules[name]


@functools.cache
def torchvision() -> Any:
    """The torchvision module, for its architectures and the metadata of its weights."""
    try:
        return importlib.import_module("torchvision")
    except RuntimeError:
        _forget("torchvision")
        _declare_operators()
        return importlib.import_module("torchvision")


def mended() -> bool:
    """Whether operators had to be declared here, which leaves ``torchvision.io`` and ``ops.nms`` unusable."""
    torchvision()
    return _declare_operators.cache_info().currsize > 0


@functools.cache
def timm() -> Any:
    """The timm module; it imports torchvision, which therefore has to come first."""
    torchvision()
    return importlib.import_module("timm")


@functools.cache
def library_of(name: str) -> str | None:
    """Which library has a classifier of that name; where both do, torchvision, which publishes one set of weights."""
    if name in torchvision().models.list_models(module=torchvision().models):
        return "torchvision"
    return "timm" if name in timm().list_models() else None
