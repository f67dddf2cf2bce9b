"""Backbone x Config -> Plan: one file per method, found by its name.

A method's file has a docstring whose first line says what it does, and ``plan(backbone, config) -> Plan``.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

from regraft.config import Config
from regraft.errors import UnknownName

if TYPE_CHECKING:  # a misspelt method is refused before torch is imported
    from regraft.backbones.backbone import Backbone
    from regraft.methods._plan import Plan


def names() -> list[str]:
    """Return the names of all methods."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def plan(backbone: Backbone, config: Config) -> Plan:
    """Ask the method that `config` names for its plan.

    Raises:
        UnknownName: there is no such method, or the network has no such stage.
        ConfigError: a setting that means nothing to this method.
    """
    check(config.method)
    made: Plan = importlib.import_module(f"{__name__}.{config.method}").plan(backbone, config)
    return made


_OF_TRAINING = frozenset(
    {"epochs", "batch_size", "lr", "weight_decay", "label_smoothing", "patience", "hidden", "dropout", "views"}
)


def idle_settings(plan: Plan) -> frozenset[str]:
    """Return the names of settings that mean nothing to this plan."""
    idle = frozenset[str]()
    if all(phase.linear for phase in plan.phases):
        idle |= _OF_TRAINING
    if not any(phase.tail_lr for phase in plan.phases):
        idle |= {"tail_lr", "mixup"}
    if all(phase.views == 1 for phase in plan.phases):
        idle |= {"augment"}
    return idle


def check(name: str) -> None:
    """Raise UnknownName when there is no such method."""
    if name not in names():
        raise UnknownName("method", name, names())
