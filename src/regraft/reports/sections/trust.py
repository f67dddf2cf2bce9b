"""Is it as sure as it is right: calibration, coverage, and what other thresholds would give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from regraft.metrics.curves import PRECISION_RECALL, ROC, coverage_accuracy, curve, reliability
from regraft.metrics.intervals import Resampling
from regraft.reports.plots import coverage_curve, reliability_diagram, threshold_curve
from regraft.reports.run_report import Report

TITLE, ORDER = "Sureness", 30
CLASSES_APART = 4  # of more than two, each with its two curves of 20 kB


def values(report: Report) -> dict[str, Any] | None:
    """Return the curves, drawn, and the points on them that the text names."""
    predictions = report.predictions
    covered = coverage_accuracy(predictions.probabilities, predictions.labels)
    return {
        "reliability": reliability_diagram(reliability(predictions.probabilities, predictions.labels)),
        "coverage": coverage_curve(covered),
        "all": covered[-1],
        "half": next(point for point in covered if point.coverage >= 0.5),
        "apart": [_apart(report, label) for label in _classes_apart(report)],
    }


def _classes_apart(report: Report) -> list[int]:
    """Return the classes that are shown against all others: the one looked for, else each of two, else the worst."""
    tested = [row for row in report.per_class if row["support"] < report.tested]
    if len(report.classes) > 2:
        worst = sorted(tested, key=lambda row: row["f1"] or 0.0)[:CLASSES_APART]
        return [report.classes.index(row["label"]) for row in worst]
    looked_for = [row["label"] for row in tested if report.positive in (None, row["label"])]
    return [report.classes.index(label) for label in looked_for]


def _apart(report: Report, positive: int) -> dict[str, Any]:
    """Return what each threshold for one class against all others would give, drawn."""
    predictions, reached = report.predictions, report.metrics.threshold or {}
    again = Resampling.of(len(predictions.labels), predictions.groups, seed=report.config.settings["seed"])
    roc, precisions = (
        curve(axes, predictions.probabilities, predictions.labels, positive, again) for axes in (ROC, PRECISION_RECALL)
    )
    test = reached.get("test", {})
    specificity, recall, precision = (test.get(name) for name in ("specificity", "recall", "precision"))
    on_roc = None if specificity is None or recall is None else (1 - specificity, recall)
    on_precisions = None if precision is None or recall is None else (recall, precision)
    name, others = report.classes[positive], _others(report.classes, positive)
    alarms, found, right = f"{others} called {name}", f"{name} found", f"Truly {name} of all called so"
    return {
        "positive": name,
        "alarms": alarms,
        "roc": roc,
        "precision": precisions,
        "roc_drawn": threshold_curve(roc, alarms, found, on_roc),
        "precision_drawn": threshold_curve(precisions, found, right, on_precisions),
        "reached": reached,
    }


def _others(classes: Sequence[str], positive: int) -> str:
    """Return what all but one class are called: of two, the other one's name."""
    return classes[1 - positive] if len(classes) == 2 else "others"
