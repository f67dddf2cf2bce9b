"""What runs the frozen stages: one file an engine, found by its name.

An engine's file has ``RANK`` (the highest that pays is taken), ``PAYS_FROM`` (pictures), ``supports(device)``,
``ready(recipe, folder)`` and ``open(job) -> Engine``.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch

from regraft.activations.engines._job import Engine, Job, Taps
from regraft.errors import UnknownName
from regraft.utils import plugins

__all__ = ["Engine", "Job", "Taps", "choose", "module", "names", "open_engine"]


def names() -> list[str]:
    """Return the names of all engines, the one that is preferred first."""
    return sorted(plugins.names(__name__), key=lambda name: (-module(name).RANK, name))


def module(name: str) -> Any:
    """Return an engine's module."""
    return plugins.load(__name__, name)


def choose(requested: str, device: torch.device, pictures: int, *, ready: Collection[str] = ()) -> str:
    """Return the engine asked for; ``auto`` takes the highest that runs on the device and is `ready`, or pays.

    Raises:
        UnknownName: there is no such engine.
    """
    known = names()
    if requested not in ("auto", *known):
        raise UnknownName("engine", requested, ("auto", *known))
    if requested != "auto":
        return requested
    able = [name for name in known if module(name).supports(device)]
    return next(name for name in able if name in ready or pictures >= module(name).PAYS_FROM)


def open_engine(name: str, job: Job) -> Engine:
    """Prepare what an engine needs for a network, or take what is kept of it, and return what runs it."""
    engine: Engine = module(name).open(job)
    return engine
