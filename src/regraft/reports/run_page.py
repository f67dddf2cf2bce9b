"""What a run found -> report.html, one page that anyone can open, print and pass on."""

from __future__ import annotations

import os
from pathlib import Path

from jinja2 import TemplateError

from regraft import run_folder
from regraft.audit.judging import FINDINGS
from regraft.config import command
from regraft.errors import RegraftError, RunError, reason_of
from regraft.inference.classifier import Classifier
from regraft.reports.pages import render
from regraft.reports.run_report import Report, read
from regraft.reports.sections import sections
from regraft.utils import files
from regraft.utils.calls import Checks, checked
from regraft.utils.progress import Listener, listener

PAGE = "report.html"


@checked(Checks())
def report(run: str | os.PathLike[str], *, progress: Listener = None) -> Path:
    """Write report.html into a finished run's folder, anew where it is there already, and return its path.

    Equal runs give equal bytes. The heat maps are computed on the CPU, of 20 pictures at most. `progress` hears what
    the page lacks where the run was stopped before its data were judged, and how that is added; it is as in
    `regraft.train`.

    Raises:
        RunError: no run there, or one that has no figures yet.
        BundleError: its model is missing or damaged.
    """
    folder, progress = files.named_path(run), listener(progress)
    write(folder)
    if run_folder.learned(folder) and not (run_folder.finished(folder) or (folder / FINDINGS).exists()):
        data = run_folder.read_json(folder / run_folder.SETTINGS)["data"]
        progress.warn(
            f"{folder} was stopped before its data were judged, so its page has no findings of them. "
            f"Add them with: {command('train', data, '--out', folder, '--resume')}"
        )
    return folder / PAGE


def write(folder: Path, model: Classifier | None = None) -> None:
    """Write report.html; errors as `report`. `model` is the run's, of the first fold, where it is loaded already."""
    try:
        page = report_page(read(folder, model))
    except RegraftError:
        raise
    except (LookupError, ValueError, TemplateError) as error:
        # what a page says comes from ten files; each is checked as it is read, but not each against all others
        said = reason_of(error).splitlines() or [type(error).__name__]
        raise RunError(
            f"The files of {folder} do not fit together ({said[0]}). Was one edited, or copied from another run? "
            "Copy the folder again from where it was made."
        ) from error
    files.write_bytes(folder / PAGE, page.encode(errors="backslashreplace"))  # a file name may be no UTF-8


def report_page(report: Report) -> str:
    """Return the page of a run: figures in plain words, then its sections."""
    return render("report.html", report=report, sections=sections(report))
