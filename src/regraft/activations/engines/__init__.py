"""What runs the frozen stages: one file an engine, found by its name.

An engine's file has ``RANK`` (the highest that pays is taken), ``PAYS_FROM`` (pictures), ``PACKAGE``, ``AUTO`` (the
precisions that ``auto`` may take, the fastest first), ``supports(device, precision)``, ``known(precision)``,
``ready(recipe, folder)`` and ``open(job) -> Engine``.
"""

from __future__ import annotations

from collections.abc import Collection
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch

from regraft.activations.engines._job import Engine, Job, Taps
from regraft.errors import ConfigError, UnknownName
from regraft.utils import plugins

__all__ = [
    "PRECISIONS",
    "SHORTER",
    "Engine",
    "Job",
    "Runner",
    "Taps",
    "able",
    "choose",
    "known",
    "module",
    "names",
    "open_engine",
    "placed",
]

CPU = torch.device("cpu")  # made here: once it is loaded, `torch` is the engine of that name
SHORTER = ("bfloat16", "float16")
PRECISIONS = ("float32", *SHORTER)


class Runner(NamedTuple):
    """What computes rows, and in which precision."""

    engine: str
    precision: str = "float32"


def names() -> list[str]:
    """Return the names of all engines, the one that is preferred first."""
    return sorted(plugins.names(__name__), key=lambda name: (-module(name).RANK, name))


def module(name: str) -> Any:
    """Return an engine's module."""
    return plugins.load(__name__, name)


def placed(engine: str, device: torch.device) -> torch.device:
    """Return where an engine computes: one that is asked for and knows no other place does on the CPU."""
    if engine == "auto" or engine not in names() or module(engine).supports(device, "float32"):
        return device
    return CPU


def able(asked: Runner, device: torch.device) -> list[Runner]:
    """Return what runs there of what is asked, where ``auto`` leaves it open; the fastest first, as far as is known.

    Raises:
        UnknownName: there is no such engine.
        ConfigError: the engine asked for is not installed, or nothing computes so there.
    """
    known = names()
    if asked.engine not in ("auto", *known):
        raise UnknownName("engine", asked.engine, ("auto", *known))
    if asked.engine != "auto" and find_spec(module(asked.engine).PACKAGE) is None:
        package = module(asked.engine).PACKAGE
        raise ConfigError(
            f"--engine={asked.engine} needs the package {package}, which is not installed: pip install {package}"
        )
    found = [
        Runner(name, precision)
        for name in (known if asked.engine == "auto" else [asked.engine])
        for precision in (module(name).AUTO if asked.precision == "auto" else [asked.precision])
        if module(name).supports(device, precision)
    ]
    if not found:
        raise ConfigError(_refusal(asked, device))
    return found


def known(runner: Runner) -> bool:
    """Say whether it was measured, on a machine like this one, that nothing is faster."""
    return bool(module(runner.engine).known(runner.precision))


def _refusal(asked: Runner, device: torch.device) -> str:
    others = [one for one in PRECISIONS for name in names() if module(name).supports(device, one)]
    lacking = "No engine computes" if asked.engine == "auto" else f"--engine={asked.engine} does not compute"
    return (
        f"{lacking} in {asked.precision} on this {device.type}. Engines here compute in "
        f"{', '.join(dict.fromkeys(others))}: choose one of these, or leave out --engine."
    )


def choose(
    requested: str,
    device: torch.device,
    pictures: int,
    *,
    ready: Collection[str] = (),
    precision: str = "float32",
) -> Runner:
    """Return the engine asked for; ``auto`` takes the highest that runs on the device and is `ready`, or pays.

    Raises:
        UnknownName, ConfigError: as `able`.
    """
    found = able(Runner(requested, precision), device)
    return next((one for one in found if one.engine in ready or pictures >= module(one.engine).PAYS_FROM), found[0])


def open_engine(name: str, job: Job) -> Engine:
    """Prepare what an engine needs for a network, or take what is kept of it, and return what runs it."""
    engine: Engine = module(name).open(job)
    return engine
