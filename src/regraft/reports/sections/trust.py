"""Is it as sure as it is right: calibration, coverage, and what other thresholds would give."""

from __future__ import annotations

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
    """Return the classes that are shown against all others: of two the one looked for, of more those that do worst."""
    tested = [row for row in report.metrics["per_class"] if 0 < row["support"] < report.tested]
    if len(report.classes) > 2:
        worst = sorted(tested, key=lambda row: row["f1"])[:CLASSES_APART]
        return [report.classes.index(row["label"]) for row in worst]
    reached = report.metrics.get("threshold")
    if not tested:
        return []
    return [report.classes.index(reached["positive"]) if reached else 1]


def _apart(report: Report, positive: int) -> dict[str, Any]:
    """Return what each threshold for one class against all others would give, drawn."""
    predictions, reached = report.predictions, report.metrics.get("threshold") or {}
    again = Resampling.of(len(predictions.labels), predictions.groups, seed=report.config["settings"]["seed"])
    roc, precisions = (
        curve(axes, predictions.probabilities, predictions.labels, positive, again) for axes in (ROC, PRECISION_RECALL)
    )
    test = reached.get("test", {})
    specificity, recall, precision = (test.get(name) for name in ("specificity", "recall", "precision"))
    on_roc = None if specificity is None or recall is None else (1 - specificity, recall)
    on_precisions = None if precision is None or recall is None else (recall, precision)
    return {
        "positive": report.classes[positive],
        "roc": roc,
        "precision": precisions,
        "roc_drawn": threshold_curve(roc, "False alarms: share of the others", "Found (recall)", on_roc),
        "precision_drawn": threshold_curve(
            precisions, "Found (recall)", "Right among the found (precision)", on_precisions
        ),
        "reached": reached,
    }
