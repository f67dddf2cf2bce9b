"""The worst mistakes and the most typical correct predictions, each under its heat map."""

from __future__ import annotations

from typing import Any

from regraft.reports.pages import picture
from regraft.reports.run_report import Report, Shown

TITLE, ORDER = "Mistakes and correct predictions", 50


def values(report: Report) -> dict[str, Any] | None:
    """Return the pictures."""
    return {
        "mistakes": [_with_heat(shown) for shown in report.mistakes],
        "correct": [_with_heat(shown) for shown in report.correct],
    }


def _with_heat(shown: Shown) -> dict[str, Any]:
    """Return a picture and its heat map, small, with what is said of them."""
    said = f"{shown.truth}, predicted {shown.predicted}"
    pictures = [picture(shown.pixels, f"{shown.name}: {said}")]
    if shown.heat is not None:
        pictures.append(picture(shown.heat, f"Heat map of {shown.name}: where it speaks for {shown.predicted}"))
    return {"shown": shown, "pictures": pictures}
