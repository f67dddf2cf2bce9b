"""Each patient's or source's figures, where the pictures are grouped."""

from __future__ import annotations

from typing import Any

from regraft.reports.pages import ROWS_OF_A_KIND
from regraft.reports.run_report import Report

TITLE, ORDER = "Groups", 60


def values(report: Report) -> dict[str, Any] | None:
    """Return how many rows are shown; None where there are no groups."""
    return {"shown": ROWS_OF_A_KIND} if report.groups else None
