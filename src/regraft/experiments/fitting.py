"""One plan on one split: learn, calibrate, measure on the test part, and keep all of it in a run folder."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from regraft import run_folder
from regraft.config import Config
from regraft.data import Manifest, write_split
from regraft.experiments.operating_point import few_to_fit, reached, threshold_of
from regraft.experiments.run import Run, read_back
from regraft.experiments.session import MEASURED, ActivatedNetwork, Session, tta_of
from regraft.inference import bundle
from regraft.inference.classifier import Classifier
from regraft.methods._plan import Plan
from regraft.metrics.baseline import Baseline, Circumstances, diverged, is_random, reasons
from regraft.metrics.calibration import before_and_after, fit_temperature, tempered
from regraft.metrics.functions import Scores
from regraft.metrics.predictions import PLAIN, Predicted
from regraft.metrics.thresholds import class_weights
from regraft.metrics.tta import about_tta, mean_over_views
from regraft.reports.plots import confusion_matrix
from regraft.training.head import Head
from regraft.training.history import Stop, read_history
from regraft.training.learner import Learner, lengthened
from regraft.utils import files
from regraft.utils.progress import Progress


@dataclass(frozen=True, eq=False)
class Fitting:
    """What is trained, on which split, and where it is kept; the network is afterwards as it was."""

    session: Session
    network: ActivatedNetwork
    plan: Plan
    split: Manifest
    config: Config  # of this one: the session's, with the network's and the method's name, and no folds
    folder: Path
    progress: Progress
    started: float = field(default_factory=time.perf_counter)

    def run(self, *, resume: bool = False, awaits: bool = False) -> Run:
        """Learn what the plan says and measure it; what was learned before is only read back.

        A run that `awaits` more is not finished with its figures: that is for `finish`.
        """
        if resume and run_folder.learned(self.folder):
            files.remove_folder(self.folder / "checkpoints")  # it may have been killed with this left to do
            return read_back(self.folder, self.split, self.config)
        if resume or not (self.folder / run_folder.SETTINGS).exists():  # settings of the machine may have changed
            self.begin(self.folder)
        for notice in few_to_fit(self.split, self.config):
            self.progress.warn(notice)
        with self.network.untouched(self.plan.cut):
            head, stopped = self.learner.learn(earlier=self.network.loaded.earlier_head, resume=resume)
            run = self._measured(head, stopped, awaits)
        if not stopped:
            files.remove_folder(self.folder / "checkpoints")  # nothing goes on from here
        return run

    def begin(self, folder: Path) -> None:
        """Write what a run needs to go on: its pictures with their parts, what is left out, and its settings."""
        write_split(self.split, folder / "split.csv", self.session.digests)
        run_folder.write_skipped(folder / "skipped.csv", self.session.skipped)
        about = about_run(self.session.data, self.config, self.learner.plan, self.network)
        run_folder.keep_texts(about["settings"], folder)
        run_folder.write_json(folder / run_folder.SETTINGS, about)

    @cached_property
    def learner(self) -> Learner:
        """What goes through the phases."""
        plan = lengthened(self.plan, len(self.split.part("train")), self.config)
        backbone, prefix = self.network.backbone, self.network.prefix
        return Learner(backbone, plan, self.split, prefix, self.config, self.folder, self.progress)

    # ---- what it has learned ----------------------------------------------------------------------------------------

    def _measured(self, head: Head, stopped: Stop | None, awaits: bool) -> Run:
        """Calibrate, choose where each class is predicted, keep the model, and measure it on the test part."""
        learner, split = self.learner, self.split
        views = {part: learner.probabilities(head, part) for part in MEASURED}
        untempered = {part: mean_over_views(rows) for part, rows in views.items()}
        labels = {part: split.labels[split.part(part)] for part in MEASURED}
        model = self.classifier(head, stopped, untempered["val"])
        temperature = model.temperature
        probabilities = {part: tempered(found, temperature, learner.shares) for part, found in untempered.items()}
        bundle.save(self.folder / "model", model)

        found = {part: Predicted.of(split, rows, model.answers(rows), part) for part, rows in probabilities.items()}
        scores = {part: predictions.scores(split.classes, self.config.seed) for part, predictions in found.items()}
        write_predictions(
            self.folder, split, found["test"] if model.rule else found["test"].most_probable, scores["test"]
        )
        run = Run(
            self.folder,
            self.network.backbone.name,
            self.config.method,
            time.perf_counter() - self.started + run_folder.spent_s(self.folder),
            scores["test"],
            stopped,
            reached(model.threshold, found, split, self.config),
            self._baseline(found["test"], scores["test"], stopped),
            self._once(model, tempered(views["test"][0], temperature, learner.shares)),
        )
        calibrated = before_and_after(
            {part: (untempered[part], labels[part]) for part in MEASURED}, temperature, learner.shares
        )
        details = {
            "val": scores["val"].as_dict(),
            "calibration": {"temperature": temperature, **calibrated},
            "class_weights": model.class_weights and dict(zip(split.classes, model.class_weights, strict=True)),
        }
        write_metrics(run, split, details, awaits=awaits)
        return run

    def classifier(self, head: Head, stopped: Stop | None, val: np.ndarray) -> Classifier:
        """Return what was learned, calibrated on its predictions for the val part, and where each class is predicted.

        `val` are the probabilities [n, classes] that the head gives; it is cooled by this.
        """
        shares, split = self.learner.shares, self.split
        temperature = fit_temperature(val, split.labels[split.part("val")], shares)
        head.cool(temperature, shares)
        predictions = Predicted.of(split, tempered(val, temperature, shares), part="val")
        threshold = threshold_of(predictions, split, self.config)
        return Classifier(
            self.network.backbone,
            head,
            split.classes,
            self.learner.spec(),
            _about_model(self.network, self.plan, self.config, stopped),
            temperature,
            threshold,
            None if threshold else class_weights(shares, self.config.class_weights, predictions.probabilities),
            tta_of(self.config),
        )

    def _once(self, model: Classifier, plain: np.ndarray) -> dict[str, Any] | None:
        """Keep what the model predicts from plain test pictures [n, classes] alone; None where that is all it does."""
        if model.tta.views == 1:
            return None
        predictions = Predicted.of(self.split, plain, model.answers(plain))
        predictions.save(self.folder, PLAIN)
        return about_tta(model.tta.views, predictions, self.split.classes, self.config.seed)

    def _baseline(self, found: Predicted, scores: Scores, stopped: Stop | None) -> Baseline:
        """Set a run beside always predicting the commonest class; where it is no better, say what the reason may be."""
        baseline = found.baseline(scores, self.split.classes, self.config.seed)
        if baseline.verdict == "better":
            return baseline
        known = Circumstances(
            counts=self.split.counts("train"),
            others=len(found.labels) - self.split.counts("test")[baseline.label],
            tested=len(found.labels),
            size=self.network.backbone.preprocessing.size,
            epochs=self.config.epochs,
            unfinished=str(stopped or ""),
            diverged=diverged(read_history(self.folder / "history.csv")),
            random=is_random(self.network.loaded.lineage) and self.plan.cut > 0,
            costly=bool(found.correct.mean() < found.most_probable.correct.mean()),
            aimed=self.config.target is not None,
        )
        return replace(baseline, reasons=reasons(baseline, known))


# ---- what is written ------------------------------------------------------------------------------------------------


def about_run(data: Path, config: Config, plan: Plan, network: ActivatedNetwork) -> dict[str, Any]:
    """Return what config.json holds."""
    if config.from_run:  # whose network it is
        config = replace(config, backbone=network.backbone.name)
    return {
        "data": str(data.absolute()),
        "working_folder": str(Path.cwd()),  # what relative paths among the settings start from
        "settings": config.as_dict(),
        "plan": {
            "cut": plan.cut,
            "phases": [asdict(phase) for phase in plan.phases],
            "frozen_layers": list(plan.frozen_layers),
        },
        **_frozen_part(network, "engine", "precision", "agreement", "measured"),
        "lineage": list(network.loaded.lineage),
        "environment": run_folder.environment(),
    }


def _frozen_part(network: ActivatedNetwork, *names: str) -> dict[str, Any]:
    """Return what computed the frozen part; nothing where nothing is frozen."""
    choice = network.prefix.choice
    return {"frozen_part": {name: value for name, value in choice.as_dict().items() if name in names}} if choice else {}


def _about_model(network: ActivatedNetwork, plan: Plan, config: Config, stopped: Stop | None) -> dict[str, Any]:
    trained = [stage.name for stage in network.backbone.stages[plan.cut :]]
    about = {
        "method": config.method,
        "trained": [*trained, "head"],
        "lineage": list(network.loaded.lineage),
        **_frozen_part(network, "engine", "precision", "agreement"),  # no times: equal runs, equal bytes
    }
    return {**about, "unfinished": asdict(stopped)} if stopped else about


def write_predictions(
    folder: Path, split: Manifest, predictions: Predicted, scores: Scores, folds: np.ndarray | None = None
) -> None:
    """Write what was predicted on the test part, picture by picture and as a confusion matrix."""
    predictions.save(folder)
    names = [split.items[index].name for index in split.part("test")]
    predictions.write_csv(folder / "predictions.csv", names, split.classes, folds)
    confusion_matrix(scores.confusion, split.classes, folder / "confusion_matrix.svg")


def write_metrics(run: Run, split: Manifest, details: Mapping[str, Any], *, awaits: bool) -> None:
    """Write metrics.json, with which a run is finished unless it awaits more."""
    figures = {"per_class": run.test.per_class, "confusion": run.test.confusion.tolist()}
    about = {**run.as_dict(), "classes": list(split.classes), **figures, **details}
    run_folder.write_json(run.folder / run_folder.METRICS, about | ({run_folder.AWAITS: "report"} if awaits else {}))
