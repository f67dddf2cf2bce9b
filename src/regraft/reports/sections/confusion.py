"""What is taken for what."""

from __future__ import annotations

from typing import Any

from regraft.reports.plots import confusion_drawing
from regraft.reports.run_report import Report

TITLE, ORDER = "Confusion matrix", 20


def values(report: Report) -> dict[str, Any] | None:
    """Return the matrix, drawn."""
    return {"confusion": confusion_drawing(report.confusion, report.classes)}
