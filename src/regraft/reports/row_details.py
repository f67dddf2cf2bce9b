"""The run of a comparison's row -> what is folded under it: its counts, its confusion matrix, five of its pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from regraft import run_folder
from regraft.data import Preprocessing
from regraft.errors import RegraftError
from regraft.inference.about import read_about
from regraft.metrics.predictions import Predicted
from regraft.reports.mistakes import Counted, counted
from regraft.reports.pages import thumbnail
from regraft.reports.plots import confusion_drawing
from regraft.reports.run_report import Files, typical_correct, worst_mistakes
from regraft.utils import files

PICTURES = 5
CLASSES_DRAWN = 12  # with more, the matrices of a long table take megabytes


class Details(NamedTuple):
    """What is folded under a row."""

    counted: list[Counted]
    matrix: str  # SVG; empty where there are many classes
    pictures: list[dict[str, Any]]  # mistakes first, the worst of them


def details_of(run: Path) -> Details | None:
    """Read a run's folder; None where it holds no figures, or was damaged since: its row says enough."""
    try:
        metrics = run_folder.read_as(run / run_folder.METRICS, run_folder.Measured)
        predictions = Predicted.load(run)
        matrix, classes = np.array(metrics.confusion), metrics.classes
        return Details(
            counted(matrix, classes, metrics.positive),
            confusion_drawing(matrix, classes) if len(classes) <= CLASSES_DRAWN else "",
            _pictures(run, predictions, folds=len(metrics.folds)),
        )
    except RegraftError:
        return None


def _pictures(run: Path, predictions: Predicted, folds: int) -> list[dict[str, Any]]:
    first = run / "fold-1" if folds else run
    config = run_folder.read_as(run / run_folder.SETTINGS, run_folder.Begun)
    sources = Files.of(config, files.read_csv(first / "split.csv", ["filename"]))
    preprocessing = Preprocessing.from_dict(read_about(first / "model")["preprocessing"])
    rows = files.read_csv(run / "predictions.csv", ["filename", "label", "truth"])
    chosen = [*worst_mistakes(predictions), *typical_correct(predictions)][:PICTURES]
    shown = [
        (rows[at], thumbnail(sources.read, preprocessing, rows[at]["filename"])) for at in chosen if at < len(rows)
    ]
    return [{**picture, "truth": row["truth"], "predicted": row["label"]} for row, picture in shown if picture]
