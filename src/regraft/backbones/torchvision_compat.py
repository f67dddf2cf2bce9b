"""Import torchvision, and timm after it, beside a torch of another build.

``import torchvision`` fails beside a CPU-only torch when its own wheel was built for CUDA ("operator torchvision::nms
does not exist"): its compiled operators were not loaded, yet it registers their shapes. Declaring the two names that
it asks for is enough for classification; only ``torchvision.io`` and ``torchvision.ops.nms`` stay unusable. Nothing
is declared where the plain import works.

torchvision 0.22 and later ask torch's compiler for one function when they are imported, for boxes of detectors.
Loading the compiler takes as long as loading torch, so what they get is a function that loads it when it is called.

This is the one place that imports either library: everybody else calls :func:`torchvision` or :func:`timm`.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
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


COMPILER = "torch._dynamo"


def is_compile_supported(device_type: str) -> bool:
    """Ask torch's compiler, which is loaded for it, whether it knows a device."""
    return bool(importlib.import_module(f"{COMPILER}.utils").is_compile_supported(device_type))


@contextmanager
def _without_compiler() -> Iterator[None]:
    """Keep torch's compiler from being loaded, unless it is already."""
    if COMPILER in sys.modules:
        yield
        return
    stand_ins = {name: ModuleType(name) for name in (COMPILER, f"{COMPILER}.utils")}
    stand_ins[f"{COMPILER}.utils"].is_compile_supported = is_compile_supported  # type: ignore[attr-defined]
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name in stand_ins:
            sys.modules.pop(name, None)


def _imported() -> Any:
    try:
        with _without_compiler():
            return importlib.import_module("torchvision")
    except (ImportError, AttributeError):  # another release may ask for more of the compiler
        _forget("torchvision")
        return importlib.import_module("torchvision")


@functools.cache
def torchvision() -> Any:
    """The torchvision module, for its architectures and the metadata of its weights."""
    try:
        return _imported()
    except RuntimeError:
        _forget("torchvision")
        _declare_operators()
        return _imported()


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
