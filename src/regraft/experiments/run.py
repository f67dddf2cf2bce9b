"""What comes of a training: its folder and its figures; read back, judged, finished."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from regraft import run_folder
from regraft.audit.judging import FINDINGS, Remark, write_remarks
from regraft.config import Config, command
from regraft.data import Manifest
from regraft.errors import RunError
from regraft.experiments.session import Session
from regraft.inference import bundle
from regraft.inference.classifier import Classifier
from regraft.metrics.baseline import Baseline
from regraft.metrics.functions import Scores, defined
from regraft.metrics.predictions import Predicted
from regraft.reports import run_page
from regraft.training.history import Stop
from regraft.utils import files, tables


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """What came of a training: the folder that holds it and its figures on the test part."""

    folder: Path
    backbone: str
    method: str
    seconds: float  # of all processes that have worked on it, but for those that were killed
    test: Scores
    stopped: Stop | None = None  # where Ctrl-C ended it; None: it is finished
    threshold: dict[str, Any] | None = None  # with a target: the threshold, and what it reaches on val and test
    baseline: Baseline | None = None  # what always predicting the commonest class would be right for
    tta: dict[str, Any] | None = None  # where pictures were looked at several times: how often, and figures without
    folds: tuple[Run, ...] = ()  # of a cross-validation, whose `test` is measured on the predictions of all of them

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Run:
        """Return a run of before from its folder, with its figures.

        Raises:
            RunMissing, RunError: no run there, or one that has no figures yet.
        """
        path = files.named_path(folder)
        settings = run_folder.read_json(path / run_folder.SETTINGS)["settings"]
        about = run_folder.read_as(path / run_folder.METRICS, run_folder.Measured)
        found = _measured(path, about, Predicted.load(path), about.classes, settings.get("seed", Config.seed))
        folds = tuple(cls.open(path / f"fold-{number}") for number in range(1, len(about.folds) + 1))
        return replace(found, stopped=about.unfinished, folds=folds)

    def __fspath__(self) -> str:
        """Return its folder: a run stands for it wherever a path or a model is taken."""
        return str(self.folder)

    def __repr__(self) -> str:
        """Say what it is, without its figures."""
        return f"<Run: {self.backbone}, {self.method}, in {self.folder}>"

    def _repr_html_(self) -> str:
        return tables.as_html(self.test.rows(), title=f"{self.backbone}, {self.method}, in {self.folder}")

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended the training early."""
        return self.stopped is not None

    @property
    def mean(self) -> dict[str, float]:
        """The mean of each figure over the folds; nan where one of them does not have that figure."""
        return {name: float(np.mean(found)) for name, found in self._of_folds().items()}

    @property
    def deviation(self) -> dict[str, float]:
        """The standard deviation of each figure over the folds, n - 1 in the denominator."""
        return {name: float(np.std(found, ddof=1)) for name, found in self._of_folds().items()}

    def _of_folds(self) -> dict[str, list[float]]:
        return {name: [fold.test.values[name] for fold in self.folds] for name in self.test.values if self.folds}

    def as_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return {
            "run": str(self.folder),
            "backbone": self.backbone,
            "method": self.method,
            "n_test": self.test.n,
            "seconds": round(self.seconds, 2),
            "test": self.test.as_dict(),
            **({"baseline": self.baseline.as_dict()} if self.baseline else {}),
            **({"threshold": self.threshold} if self.threshold else {}),
            **({"tta": self.tta} if self.tta else {}),
            **({"interrupted": True, "unfinished": asdict(self.stopped)} if self.stopped else {}),
            **(self._folds_as_dict() if self.folds else {}),
        }

    def _folds_as_dict(self) -> dict[str, Any]:
        return {
            "folds": [fold.as_dict() for fold in self.folds],
            "mean": {name: defined(value) for name, value in self.mean.items()},
            "deviation": {name: defined(value) for name, value in self.deviation.items()},
        }


def read_back(folder: Path, split: Manifest, config: Config) -> Run:
    """Return a run that has learned all it was to learn.

    Raises:
        RunError: pictures that it was tested on are gone.
    """
    about, predictions = run_folder.read_as(folder / run_folder.METRICS, run_folder.Measured), Predicted.load(folder)
    if predictions.probabilities.shape[1] != len(split.classes):
        raise RunError(f"{folder} has other classes. Was a file of another run copied into it? Start a new run.")
    if len(predictions.labels) != len(split.part("test")):
        raise RunError(
            f"{folder} was tested on {len(predictions.labels)} pictures; {len(split.part('test'))} of them are here "
            "now. Put the others back, or start a new run without --resume."
        )
    return _measured(folder, about, predictions, split.classes, config.seed)


def _measured(
    folder: Path, about: run_folder.Measured, predictions: Predicted, classes: tuple[str, ...], seed: int
) -> Run:
    scores = predictions.scores(classes, seed)
    baseline = predictions.baseline(scores, classes, seed)
    return Run(
        folder,
        about.backbone,
        about.method,
        about.seconds,
        scores,
        threshold=about.threshold,
        baseline=replace(baseline, reasons=tuple((about.baseline or {}).get("reasons", ()))),
        tta=about.tta,
    )


def finish(run: Run, session: Session, judge: Callable[[Classifier], list[Remark] | None] | None) -> None:
    """Judge the data and write the page of a run, unless neither is wanted; then it is finished.

    All else is on the disk by now, and whatever goes wrong here leaves it there: the run goes on with its page.

    Raises:
        KeyboardInterrupt: Ctrl-C; says how the page is written later.
    """
    later = f"Write it with: {command('train', session.data, '--out', run.folder, '--resume')}"
    try:
        if judge is not None:
            model = bundle.load((run.folds[0] if run.folds else run).folder)
            if (found := judge(model)) is not None:
                write_remarks(run.folder / FINDINGS, found)
            run_page.write(run.folder, model)
        run_folder.finish(run.folder)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"{run.folder} is finished, but for its report. {later}") from None
    except Exception as error:  # noqa: BLE001 - a page that cannot be drawn must not end a run that has gone well
        said = str(error).split("\n")[0] or type(error).__name__
        session.progress.warn(f"The run is kept, but its report could not be written ({said}). {later}")
