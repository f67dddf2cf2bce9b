"""What a run found -> report.html, one page that anyone can open, print and pass on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from regraft import run_folder
from regraft.audit.judging import FINDINGS
from regraft.config import command
from regraft.data import Preprocessing
from regraft.errors import RegraftError, RunError, reason_of
from regraft.metrics.curves import coverage_accuracy, precision_recall, reliability, roc
from regraft.reports.pages import ROWS_OF_A_KIND, gallery, picture, render
from regraft.reports.plots import (
    confusion_drawing,
    coverage_curve,
    reliability_diagram,
    threshold_curve,
    training_curves,
)
from regraft.reports.run_report import Report, Shown, read
from regraft.training.history import kept_epoch
from regraft.utils import files
from regraft.utils.progress import Progress

PAGE = "report.html"
PICTURES_IN_REPORT = 6  # of a kind of finding: the page of `regraft check` has more
CLASSES_APART = 4  # of more than two, each with its two curves of 20 kB


def report(run: str | os.PathLike[str], *, progress: Progress | None = None) -> Path:
    """Write report.html into a finished run's folder, anew where it is there already, and return its path.

    Equal runs give equal bytes. The heat maps are computed on the CPU, of 20 pictures at most. `progress` hears what
    the page lacks where the run was stopped before its data were judged, and how that is added; silent by default.

    Raises:
        RunError: no run there, or one that has no figures yet.
        BundleError: its model is missing or damaged.
    """
    folder = Path(run)
    try:
        page = report_page(read(folder))
    except RegraftError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, TemplateError) as error:
        # what a page says comes from ten files; each is checked as it is read, but not each against all others
        said = reason_of(error).splitlines() or [type(error).__name__]
        raise RunError(
            f"The files of {folder} do not fit together ({said[0]}). Was one edited, or copied from another run? "
            "Copy the folder again from where it was made."
        ) from error
    files.write_bytes(folder / PAGE, page.encode(errors="backslashreplace"))  # a file name may be no UTF-8
    if progress and run_folder.learned(folder) and not (run_folder.finished(folder) or (folder / FINDINGS).exists()):
        data = run_folder.read_json(folder / run_folder.SETTINGS)["data"]
        progress.warn(
            f"{folder} was stopped before its data were judged, so its page has no findings of them. "
            f"Add them with: {command('train', data, '--out', folder, '--resume')}"
        )
    return folder / PAGE


def report_page(report: Report) -> str:
    """Return the page of a run: figures in plain words, curves, mistakes, what trained, where the weights are from."""
    answers = report.answers
    look = Preprocessing.from_dict(report.about["preprocessing"])
    covered = coverage_accuracy(answers.probabilities, answers.labels)
    loss, accuracy = training_curves(report.history, kept_epoch(report.history)) if report.history else ("", "")
    return render(
        "report.html",
        report=report,
        shown=ROWS_OF_A_KIND,
        galleries={
            kind: gallery(remarks, report.files.read, look, PICTURES_IN_REPORT)
            for kind, remarks in report.found.items()
        },
        confusion=confusion_drawing(report.confusion, report.classes),
        reliability=reliability_diagram(reliability(answers.probabilities, answers.labels)),
        coverage=coverage_curve(covered),
        all=covered[-1],
        half=next(point for point in covered if point.coverage >= 0.5),
        apart=[_apart(report, label) for label in _classes_apart(report)],
        loss=loss,
        accuracy=accuracy,
        mistakes=[_with_heat(shown) for shown in report.mistakes],
        hits=[_with_heat(shown) for shown in report.hits],
    )


def _classes_apart(report: Report) -> list[int]:
    """Return the classes that are shown against all others: of two the one looked for, of more those that do worst."""
    tested = [row for row in report.metrics["per_class"] if 0 < row["support"] < report.tested]
    if len(report.classes) > 2:
        worst = sorted(tested, key=lambda row: row["f1"])[:CLASSES_APART]
        return [report.classes.index(row["label"]) for row in worst]
    reached = report.metrics.get("threshold")
    return [report.classes.index(reached["positive"]) if reached else 1] * bool(tested)


def _apart(report: Report, positive: int) -> dict[str, Any]:
    """Return what each threshold for one class against all others would give, drawn."""
    answers, reached = report.answers, report.metrics.get("threshold") or {}
    given = (answers.probabilities, answers.labels, positive, answers.groups)
    seed = report.config["settings"]["seed"]
    found = {"roc": roc(*given, seed=seed), "precision": precision_recall(*given, seed=seed)}
    test = reached.get("test", {})
    specificity, recall, precision = (test.get(name) for name in ("specificity", "recall", "precision"))
    at = {
        "roc": None if specificity is None or recall is None else (1 - specificity, recall),
        "precision": None if precision is None or recall is None else (recall, precision),
    }
    return {
        "positive": report.classes[positive],
        "roc": found["roc"],
        "precision": found["precision"],
        "roc_drawn": threshold_curve(found["roc"], "False alarms: share of the others", "Found (recall)", at["roc"]),
        "precision_drawn": threshold_curve(
            found["precision"], "Found (recall)", "Right among the found (precision)", at["precision"]
        ),
        "reached": reached,
    }


def _with_heat(shown: Shown) -> dict[str, Any]:
    """Return a picture and its heat map, small, with what is said of them."""
    answered = f"{shown.truth}, answered {shown.answer}"
    pictures = [picture(shown.pixels, f"{shown.name}: {answered}")]
    if shown.heat is not None:
        pictures.append(picture(shown.heat, f"Heat map of {shown.name}: where it speaks for {shown.answer}"))
    return {"shown": shown, "pictures": pictures}
