"""The worst mistakes and the most typical hits, each under its heat map."""

from __future__ import annotations

from typing import Any

from regraft.reports.pages import picture
from regraft.reports.run_report import Report, Shown

TITLE, ORDER = "Mistakes and hits", 50


def values(report: Report) -> dict[str, Any] | None:
    """Return the pictures."""
    return {
        "mistakes": [_with_heat(shown) for shown in report.mistakes],
        "hits": [_with_heat(shown) for shown in report.hits],
    }


def _with_heat(shown: Shown) -> dict[str, Any]:
    """Return a picture and its heat map, small, with what is said of them."""
    answered = f"{shown.truth}, answered {shown.answer}"
    pictures = [picture(shown.pixels, f"{shown.name}: {answered}")]
    if shown.heat is not None:
        pictures.append(picture(shown.heat, f"Heat map of {shown.name}: where it speaks for {shown.answer}"))
    return {"shown": shown, "pictures": pictures}
