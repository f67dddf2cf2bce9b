"""Transfer learning for image classification: what is frozen runs once.

The public names are imported when they are first used: ``import regraft`` alone loads neither torch nor anything heavy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from regraft.utils.version import __version__

if TYPE_CHECKING:  # what type checkers and editors see; the others are told where each name lives
    from regraft.catalog import models
    from regraft.config import Config
    from regraft.errors import RegraftError
    from regraft.experiments.checking import check
    from regraft.experiments.comparison import compare
    from regraft.experiments.recommendation import recommend
    from regraft.experiments.run import Run
    from regraft.experiments.train import train
    from regraft.inference.bundle import load
    from regraft.inference.classifier import Classifier
    from regraft.inference.explain import explain
    from regraft.inference.features import features
    from regraft.inference.predict import Evaluation, evaluate, predict
    from regraft.inference.results import Explanation, Features, Predictions
    from regraft.reports.run_page import report

__all__ = [
    "Classifier",
    "Config",
    "Evaluation",
    "Explanation",
    "Features",
    "Predictions",
    "RegraftError",
    "Run",
    "__version__",
    "check",
    "compare",
    "evaluate",
    "explain",
    "features",
    "load",
    "models",
    "predict",
    "recommend",
    "report",
    "train",
]

_HOMES = {
    "Classifier": "inference.classifier",
    "Config": "config",
    "Evaluation": "inference.predict",
    "Explanation": "inference.results",
    "Features": "inference.results",
    "Predictions": "inference.results",
    "RegraftError": "errors",
    "Run": "experiments.run",
    "check": "experiments.checking",
    "compare": "experiments.comparison",
    "evaluate": "inference.predict",
    "explain": "inference.explain",
    "features": "inference.features",
    "load": "inference.bundle",
    "models": "catalog",
    "predict": "inference.predict",
    "recommend": "experiments.recommendation",
    "report": "reports.run_page",
    "train": "experiments.train",
}

if not TYPE_CHECKING:  # a type checker that sees it would believe any name

    def __getattr__(name: str) -> Any:
        """Import a public name's module when the name is first asked for."""
        if name not in _HOMES:
            raise AttributeError(f"module 'regraft' has no attribute {name!r}; it has {', '.join(sorted(_HOMES))}")
        return getattr(import_module(f"regraft.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
