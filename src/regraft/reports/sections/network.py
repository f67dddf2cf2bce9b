"""Which stages were trained, and where the weights are from."""

from __future__ import annotations

from typing import Any

from regraft.reports.run_report import Report

TITLE, ORDER = "Network and weights", 80


def values(report: Report) -> dict[str, Any] | None:
    """Return nothing of its own: all is in the report."""
    return {}
