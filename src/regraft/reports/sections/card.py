"""What the model is for, and what it is not for."""

from __future__ import annotations

from typing import Any

from regraft.reports.run_report import Report

TITLE, ORDER = "Model card", 90


def values(report: Report) -> dict[str, Any] | None:
    """Return nothing of its own: all is in the report."""
    return {}
