"""Findings -> one self-contained HTML file each: no outside address, opens from disk, reads on a phone and on paper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from regraft.plots import accuracy_against_time, learning_curves

if TYPE_CHECKING:
    from regraft.leaderboard import Findings


def comparison_page(findings: Findings) -> str:
    """Return the page of a comparison: the table, which differences are real, accuracy against cost, the control."""
    control = findings.control
    curves = {"pretrained": control.pretrained, "random weights": control.scratch} if control else {}
    points = [(f"{row.backbone}-{row.method}", row.predict_ms, row.accuracy) for row in findings.done]
    return _page(
        "comparison.html",
        found=findings,
        names=[name for name, *_ in points],
        scatter=accuracy_against_time(points, findings.front),
        curves=learning_curves(curves) if control and control.pretrained else "",
    )


def _page(template: str, **values: Any) -> str:
    import jinja2

    pages = jinja2.Environment(
        loader=jinja2.PackageLoader("regraft", "pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters["figure"] = _figure
    return pages.get_template(template).render(**values)


def _figure(value: float | None, digits: int = 3) -> str:
    """Return a number for a reader; a dash where there is none."""
    return "–" if value is None or value != value else f"{value:.{digits}f}"
