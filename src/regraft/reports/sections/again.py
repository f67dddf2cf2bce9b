"""How the run is made again: its command, its settings, the versions it ran with."""

from __future__ import annotations

from typing import Any

from regraft.reports.run_report import Report

TITLE, ORDER = "Settings", 100


def values(report: Report) -> dict[str, Any] | None:
    """Return nothing of its own: all is in the report."""
    return {}
