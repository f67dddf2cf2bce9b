"""Train once for each fold: every picture is tested by a model that has not seen it.

The frozen part of the network runs once for all folds. Each fold is a run folder of its own, so a cross-validation that
was stopped goes on with the fold that it was in.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from regraft import run_folder
from regraft.data import write_split
from regraft.experiments import loggers
from regraft.experiments.fitting import Fitting, about_run, write_metrics, write_predictions
from regraft.experiments.operating_point import reached_by_folds
from regraft.experiments.run import Run
from regraft.experiments.session import ActivatedNetwork, Session, tta_of
from regraft.experiments.splitting import fold_numbers, folders
from regraft.methods._plan import Plan
from regraft.metrics.predictions import PLAIN, PREDICTIONS, Predicted
from regraft.metrics.tta import about_tta
from regraft.training.learner import lengthened
from regraft.utils.progress import PartOf


def begin_folds(session: Session, network: ActivatedNetwork, plan: Plan, folder: Path) -> None:
    """Write what a cross-validation needs to go on: what is left out, the parts of each fold, and the settings."""
    run_folder.write_skipped(folder / "skipped.csv", session.skipped)
    for where, split in zip(folders(folder, session.config), session.splits, strict=True):
        where.mkdir()
        write_split(split, where / "split.csv", session.digests)
    longest = lengthened(plan, min(len(split.part("train")) for split in session.splits), session.config)
    about = about_run(session.data, session.config, longest, network)
    run_folder.keep_texts(about["settings"], folder)
    run_folder.write_json(folder / run_folder.SETTINGS, about)


def cross_validate(session: Session, network: ActivatedNetwork, plan: Plan, folder: Path, started: float) -> Run:
    """Train for each fold and measure the predictions of all of them together.

    Raises:
        KeyboardInterrupt: Ctrl-C; what the fold has learned so far is kept.
    """
    run_folder.write_skipped(folder / "skipped.csv", session.skipped)
    started -= sum(map(run_folder.spent_s, folders(folder, session.config)))  # as if in one go
    learned = []
    for number, (where, split) in enumerate(zip(folders(folder, session.config), session.splits, strict=True), start=1):
        name = f"Fold {number} of {len(session.splits)}"
        config = replace(session.config, folds=None)  # it is one of them
        progress = PartOf(session.progress, name)
        with loggers.opened(config, where, progress, within=folder) as logs:
            fitting = Fitting(session, network, plan, split, config, where, logs.heard(progress))
            run = fitting.run(resume=True)
            logs.end(run.test.as_dict(), interrupted=run.interrupted)
        if run.interrupted:
            raise KeyboardInterrupt
        session.progress.note(f"{name}: accuracy {run.test.values['accuracy']:.3f} on {run.test.n} pictures.")
        learned.append(run)
    return _together(session, learned, folder, started)


def _together(session: Session, learned: Sequence[Run], folder: Path, started: float) -> Run:
    """Measure the predictions of all folds together, and keep them in the order of the pictures.

    Probabilities of different models stand side by side here: AUROC compares them with each other, so it may lie a
    little below the mean over the folds (Forman & Scholz 2010).
    """
    tested, seed = session.tested, session.config.seed
    predictions = _predictions_of(session, learned)
    scores = predictions.scores(tested.classes, seed)
    write_predictions(folder, tested, predictions, scores, fold_numbers(session.splits))
    baseline = predictions.baseline(scores, tested.classes, seed)
    if baseline.verdict != "better":
        why = dict.fromkeys(reason for run in learned if run.baseline for reason in run.baseline.reasons)
        baseline = replace(baseline, reasons=tuple(why))
    run = Run(
        folder,
        learned[0].backbone,
        learned[0].method,
        time.perf_counter() - started,
        scores,
        threshold=reached_by_folds(predictions, tested, session.config),
        baseline=baseline,
        tta=_without_tta(session, learned),
        folds=tuple(learned),
    )
    write_metrics(run, tested, {}, awaits=True)
    return run


def _without_tta(session: Session, learned: Sequence[Run]) -> dict[str, Any] | None:
    """Return what all folds have predicted from plain pictures alone, measured; None where that is all they did."""
    views = tta_of(session.config).views
    if views == 1:
        return None
    plain = _predictions_of(session, learned, PLAIN)
    plain.save(learned[0].folder.parent, PLAIN)
    return about_tta(views, plain, session.manifest.classes, session.config.seed)


def _predictions_of(session: Session, learned: Sequence[Run], name: str = PREDICTIONS) -> Predicted:
    """Return what the folds have predicted, in the order of the pictures."""
    manifest = session.manifest
    probabilities = np.zeros((len(manifest), len(manifest.classes)))
    predicted = np.zeros(len(manifest), np.int64)
    for split, run in zip(session.splits, learned, strict=True):
        predictions, which = Predicted.load(run.folder, name), split.part("test")
        probabilities[which], predicted[which] = predictions.probabilities, predictions.predicted
    decided = (
        None if (predicted == probabilities.argmax(1)).all() else predicted
    )  # each fold has a threshold of its own
    return Predicted.of(session.tested, probabilities, decided)
