"""Backbone x Config -> Plan: one file per method, found by its name.

A method's file has a docstring whose first line says what it does, and ``plan(backbone, config) -> Plan``. It may have
``WEIGHTS``: the source that its network is filled from, whatever the settings say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from regraft.config import ABOUT, Config
from regraft.errors import UnknownName
from regraft.utils import plugins

if TYPE_CHECKING:  # a misspelt method is refused before torch is imported
    from regraft.backbones.backbone import Backbone
    from regraft.methods._plan import Plan


def names() -> list[str]:
    """Return the names of all methods."""
    return list(plugins.names(__name__))


def plan(backbone: Backbone, config: Config) -> Plan:
    """Ask the method that `config` names for its plan.

    Raises:
        UnknownName: there is no such method, or the network has no such stage.
        ConfigError: a setting that means nothing to this method.
    """
    check(config.method)
    made: Plan = plugins.load(__name__, config.method).plan(backbone, config)
    return made


def weights_of(name: str) -> str | None:
    """Return the source of weights that a method asks for itself; None: those that the settings name."""
    found: str | None = getattr(plugins.load(__name__, name), "WEIGHTS", None)
    return found


def idle_settings(plan: Plan, tta: int = 1) -> frozenset[str]:
    """Return the names of settings that mean nothing to this plan, with so many views of each test picture."""
    has = {
        "": True,
        "steps": not all(phase.linear for phase in plan.phases),
        "tail": any(phase.tail_lr for phase in plan.phases),
        "views": tta > 1 or any(phase.views > 1 for phase in plan.phases),
    }
    return frozenset(name for name, about in ABOUT.items() if not has[about.needs])


def check(name: str) -> None:
    """Raise UnknownName when there is no such method."""
    if name not in names():
        raise UnknownName("method", name, names())
