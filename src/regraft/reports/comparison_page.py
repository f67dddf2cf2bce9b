"""Findings of a comparison -> comparison.html, leaderboard.csv and leaderboard.json."""

from __future__ import annotations

from pathlib import Path

from regraft import run_folder
from regraft.reports.comparison_report import Control, Findings, columns, compared
from regraft.reports.pages import render
from regraft.reports.plots import accuracy_against_time, learning_curves
from regraft.reports.row_details import details_of
from regraft.utils import files


def write(findings: Findings, folder: Path) -> None:
    """Write leaderboard.csv, leaderboard.json and comparison.html."""
    run_folder.write_json(folder / run_folder.LEADERBOARD, findings.as_dict())
    files.write_csv(folder / "leaderboard.csv", columns(), findings.cells())
    files.write_bytes(folder / "comparison.html", comparison_page(findings).encode())


def comparison_page(findings: Findings) -> str:
    """Return the page of a comparison: the table, which differences are real, accuracy against cost, the control."""
    control = findings.control
    points = [(f"{row.backbone}-{row.method}", row.predict_ms, row.accuracy) for row in findings.done]
    details = {} if findings.missing else {row.run: details_of(Path(row.run)) for row in findings.done if row.run}
    return render(
        "comparison.html",
        details=details,
        found=findings,
        compared=compared(),
        names=[name for name, *_ in points],
        scatter=accuracy_against_time(points, findings.winners),
        curves=_curves_of(control) if control else "",
    )


def _curves_of(control: Control) -> str:
    """Draw the control's curve beside the pretrained one's, or beside what that reached where it has no curve."""
    if len(control.scratch) < 2:
        return ""
    curves = {"pretrained": control.pretrained, "random weights": control.scratch}
    lines = {"always the commonest class": control.commonest, f"pretrained, {control.method}": control.reached}
    if len(control.pretrained) > 1:  # its curve says what it reached
        lines.popitem()
    return learning_curves(
        {name: curve for name, curve in curves.items() if len(curve) > 1},
        {name: height for name, height in lines.items() if height is not None},
    )
