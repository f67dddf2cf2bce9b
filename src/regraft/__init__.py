"""Transfer learning for image classification: what is frozen runs once.

The public names are imported when they are first used: ``import regraft`` alone loads neither torch nor anything heavy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from regraft.cards import models as models
    from regraft.classifier import Classifier as Classifier
    from regraft.config import Config as Config
    from regraft.errors import RegraftError as RegraftError
    from regraft.explanation import explain as explain
    from regraft.extraction import features as features
    from regraft.folds import train as train
    from regraft.pipeline import Run as Run

_HOMES = {
    "Classifier": "classifier",
    "Config": "config",
    "RegraftError": "errors",
    "Run": "pipeline",
    "check": "checking",
    "compare": "comparison",
    "evaluate": "inference",
    "explain": "explanation",
    "features": "extraction",
    "load": "bundle",
    "models": "cards",
    "predict": "inference",
    "recommend": "recommendation",
    "report": "reporting",
    "train": "folds",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    """Import a public name's module when the name is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'regraft' has no attribute {name!r}; it has {', '.join(sorted(_HOMES))}")
    return getattr(import_module(f"regraft.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
