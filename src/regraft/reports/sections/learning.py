"""How it learned, epoch by epoch; of a method with epochs."""

from __future__ import annotations

from typing import Any

from regraft.reports.plots import training_curves
from regraft.reports.run_report import Report
from regraft.training.history import kept_epoch

TITLE, ORDER = "Learning", 40


def values(report: Report) -> dict[str, Any] | None:
    """Return the curves, drawn; None where there was no epoch."""
    if not report.history:
        return None
    loss, accuracy = training_curves(report.history, kept_epoch(report.history))
    return {"loss": loss, "accuracy": accuracy} if loss else None
