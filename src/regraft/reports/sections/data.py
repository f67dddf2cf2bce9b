"""What the files show, and what in them may mislead."""

from __future__ import annotations

from typing import Any

from regraft.data import Preprocessing
from regraft.reports.pages import ROWS_OF_A_KIND, gallery
from regraft.reports.run_report import Report

TITLE, ORDER = "Data", 70
PICTURES = 6  # of a kind of finding: the page of `regraft check` has more


def values(report: Report) -> dict[str, Any] | None:
    """Return the first findings of each kind, with their pictures."""
    preprocessing = Preprocessing.from_dict(report.about["preprocessing"])
    found = report.found.items()
    labels = {row["filename"]: row["label"] for row in report.split}
    galleries = {kind: gallery(remarks, report.files.read, preprocessing, labels, PICTURES) for kind, remarks in found}
    return {"shown": ROWS_OF_A_KIND, "galleries": galleries}
