"""Transfer learning for image classification: what is frozen runs once.

The public names are imported when they are first used: ``import regraft`` alone loads neither torch nor anything heavy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from regraft import errors as errors
from regraft.utils.version import __version__

if TYPE_CHECKING:  # what type checkers and editors see; the others are told where each name lives
    from regraft.catalog import models
    from regraft.config import Config
    from regraft.errors import (
        BundleError,
        ConfigError,
        DataError,
        RegraftError,
        RegraftWarning,
        RunError,
        UnknownName,
        WeightsError,
    )
    from regraft.experiments.api import check, compare, recommend, train
    from regraft.experiments.checking import Check
    from regraft.experiments.comparison_runner import Comparison
    from regraft.experiments.estimators import FeatureExtractor, RegraftClassifier
    from regraft.experiments.pushing import push
    from regraft.experiments.recommendation import Recommendation
    from regraft.experiments.run import Run
    from regraft.exporters._export import Export, export
    from regraft.inference.classifier import Classifier
    from regraft.inference.explain import explain
    from regraft.inference.exported import Exported
    from regraft.inference.features import features
    from regraft.inference.loading import load
    from regraft.inference.predict import Evaluation, evaluate, predict
    from regraft.inference.results import Explanation, Features, Predictions, PredictionsFile
    from regraft.reports.run_page import report
    from regraft.utils.progress import Progress

__all__ = [
    "BundleError",
    "Check",
    "Classifier",
    "Comparison",
    "Config",
    "ConfigError",
    "DataError",
    "Evaluation",
    "Explanation",
    "Export",
    "Exported",
    "FeatureExtractor",
    "Features",
    "Predictions",
    "PredictionsFile",
    "Progress",
    "Recommendation",
    "RegraftClassifier",
    "RegraftError",
    "RegraftWarning",
    "Run",
    "RunError",
    "UnknownName",
    "WeightsError",
    "__version__",
    "check",
    "compare",
    "evaluate",
    "explain",
    "export",
    "features",
    "load",
    "models",
    "predict",
    "push",
    "recommend",
    "report",
    "train",
]

_HOMES = {
    "BundleError": "errors",
    "Check": "experiments.checking",
    "Classifier": "inference.classifier",
    "Comparison": "experiments.comparison_runner",
    "Config": "config",
    "ConfigError": "errors",
    "DataError": "errors",
    "Evaluation": "inference.predict",
    "Explanation": "inference.results",
    "Export": "exporters._export",
    "Exported": "inference.exported",
    "FeatureExtractor": "experiments.estimators",
    "Features": "inference.results",
    "Predictions": "inference.results",
    "PredictionsFile": "inference.results",
    "Progress": "utils.progress",
    "Recommendation": "experiments.recommendation",
    "RegraftClassifier": "experiments.estimators",
    "RegraftError": "errors",
    "RegraftWarning": "errors",
    "Run": "experiments.run",
    "RunError": "errors",
    "UnknownName": "errors",
    "WeightsError": "errors",
    "check": "experiments.api",
    "compare": "experiments.api",
    "evaluate": "inference.predict",
    "explain": "inference.explain",
    "export": "exporters._export",
    "features": "inference.features",
    "load": "inference.loading",
    "models": "catalog",
    "predict": "inference.predict",
    "push": "experiments.pushing",
    "recommend": "experiments.api",
    "report": "reports.run_page",
    "train": "experiments.api",
}

if not TYPE_CHECKING:  # a type checker that sees it would believe any name

    def __getattr__(name: str) -> Any:
        """Import a public name's module when the name is first asked for."""
        if name not in _HOMES:
            raise AttributeError(f"module 'regraft' has no attribute {name!r}; it has {', '.join(sorted(_HOMES))}")
        return getattr(import_module(f"regraft.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
