"""Figures of the run, of its folds and of each class."""

from __future__ import annotations

from typing import Any

from regraft.reports.run_report import Report

TITLE, ORDER = "Figures", 10


def values(report: Report) -> dict[str, Any] | None:
    """Return nothing of its own: all is in the report."""
    return {}
