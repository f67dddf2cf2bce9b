"""Is it as sure as it is right: calibration, coverage, and what other thresholds would give."""

from __future__ import annotations

from typing import Any

from regraft.metrics.curves import coverage_accuracy, precision_recall, reliability, roc
from regraft.reports.plots import coverage_curve, reliability_diagram, threshold_curve
from regraft.reports.run_report import Report

TITLE, ORDER = "Sureness", 30
CLASSES_APART = 4  # of more than two, each with its two curves of 20 kB


def values(report: Report) -> dict[str, Any] | None:
    """Return the curves, drawn, and the points on them that the text names."""
    answers = report.answers
    covered = coverage_accuracy(answers.probabilities, answers.labels)
    return {
        "reliability": reliability_diagram(reliability(answers.probabilities, answers.labels)),
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
    answers, reached = report.answers, report.metrics.get("threshold") or {}
    given = (answers.probabilities, answers.labels, positive, answers.groups)
    seed = report.config["settings"]["seed"]
    found = {"roc": roc(*given, seed=seed), "precision": precision_recall(*given, seed=seed)}
    test = reached.get("test", {})
    specificity, recall, precision = (test.get(name) for name in ("specificity", "recall", "precision"))
    at = {
        "roc": None if specificity is None or recall is None else (1 - specificity, recall),
        "precision": None if precision is None or recall is None else (recall, precision),
    }
    return {
        "positive": report.classes[positive],
        "roc": found["roc"],
        "precision": found["precision"],
        "roc_drawn": threshold_curve(found["roc"], "False alarms: share of the others", "Found (recall)", at["roc"]),
        "precision_drawn": threshold_curve(
            found["precision"], "Found (recall)", "Right among the found (precision)", at["precision"]
        ),
        "reached": reached,
    }
