"""Report -> the sections of its page: one file each, found by its name.

A section is ``<name>.py`` with its ``TITLE`` in the navigation, its place in the ``ORDER`` and ``values(report)``: what
its template needs beside the report, or None where this run has no such section. The template is
``templates/sections/<name>.html``, and the name is its anchor.
"""

from __future__ import annotations

from typing import NamedTuple

from markupsafe import Markup

from regraft.reports.pages import render
from regraft.reports.run_report import Report
from regraft.utils import plugins


class Section(NamedTuple):
    """A section as it is on a page."""

    name: str
    title: str
    html: Markup


def sections(report: Report) -> list[Section]:
    """Return the sections that this run has, in their order."""
    files = {name: plugins.load(__name__, name) for name in plugins.names(__name__)}
    shown = []
    for name in sorted(files, key=lambda name: (files[name].ORDER, name)):
        values = files[name].values(report)
        if values is not None:
            html = render(f"sections/{name}.html", report=report, **values)
            shown.append(Section(name, files[name].TITLE, Markup(html)))
    return shown
