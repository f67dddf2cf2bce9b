"""Rows -> leaderboard.csv, leaderboard.json and a page: what a comparison has found, ties called ties."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from regraft import run_folder
from regraft.errors import RunError, RunMissing
from regraft.metrics.functions import METRICS, difference
from regraft.metrics.intervals import FOLDS, few_groups
from regraft.metrics.predictions import Predicted
from regraft.metrics.significance import least_p, p_value, pairwise
from regraft.training.history import read_history
from regraft.utils import files

SETTINGS, ROW = "comparison.json", "row.json"
LEVEL = 0.05  # differences with a larger p-value, corrected for the number of pairs, are called ties
FIRST_EPOCHS = 5  # over which the slope of a learning curve is taken


STATUSES = ("ok", "failed", "dropped")


@dataclass(frozen=True)
class Row:
    """One network with one method."""

    backbone: str
    method: str
    status: str  # of STATUSES
    reason: str = ""
    run: str = ""
    n_test: int = 0
    fit_s: float = 0.0  # learning and measuring, without the network's pass
    feature_extraction_s: float = 0.0  # the frozen part over all pictures, once for all methods of the network
    predict_ms: float = 0.0  # for one picture, decoding included
    size_mb: float = 0.0
    test: dict[str, Any] = field(default_factory=dict)
    tta: dict[str, Any] = field(default_factory=dict)  # as of a run; empty where each picture was looked at once
    baseline: dict[str, Any] = field(default_factory=dict)  # see `regraft.baseline`; empty in rows of before

    def __fspath__(self) -> str:
        """Return the folder of its run."""
        return self.run

    @property
    def folder(self) -> Path:
        """The folder of its run.

        Raises:
            RunMissing: it was dropped, or failed.
        """
        if not self.run:
            raise RunMissing(f"{self.backbone}, {self.method} has no run: {self.status}, {self.reason}")
        return Path(self.run)

    @property
    def accuracy(self) -> float:
        """On the test pictures; -1 where there is none, so that such rows come last."""
        return float(self.test.get("accuracy", -1.0))

    @property
    def accuracy_without_tta(self) -> float | None:
        """The accuracy where each test picture is looked at once; None where that is all that was done."""
        return self.tta["without"]["accuracy"] if self.tta else None

    def as_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return {**asdict(self), "seconds": round(self.fit_s + self.feature_extraction_s, 2)}

    def line(self) -> str:
        """Return the row as one line of a growing table."""
        name = f"{self.backbone:<24} {self.method:<10}"
        if self.status != "ok":
            return f"{name} {self.status}: {self.reason}"
        low, high = self.test["accuracy_ci"]
        between = f" ({low:.3f} to {high:.3f})" if low is not None else ""
        return f"{name} accuracy {self.accuracy:.3f}{between}  {duration(self.fit_s + self.feature_extraction_s)}"

    def save(self, folder: Path) -> None:
        """Write row.json: the cell is done."""
        folder.mkdir(parents=True, exist_ok=True)
        run_folder.write_json(folder / ROW, asdict(self))

    @classmethod
    def load(cls, folder: Path) -> Row | None:
        """Read what `save` wrote; None where the cell is not done.

        Raises:
            RunError: it is damaged.
        """
        if not (folder / ROW).exists():
            return None
        row, figures = run_folder.read_as(folder / ROW, cls), run_folder.read_as(folder / ROW, _Tested).test
        known = isinstance(figures.get("accuracy"), float) and isinstance(figures.get("accuracy_ci"), tuple)
        if row.status not in STATUSES or (row.status == "ok" and not known):
            raise RunError(f"{folder / ROW} has no result. Delete {folder}, and compare again: it is trained anew.")
        return row


@dataclass(frozen=True)
class _Tested:
    """The part of row.json that holds the figures."""

    test: run_folder.Figures = field(default_factory=dict)


class Learned(NamedTuple):
    """What one run has come to."""

    curve: list[float]  # validation accuracy after each epoch; empty for a method without epochs
    predictions: Predicted
    losses: Sequence[float] = ()  # on the validation pictures, after each epoch
    reached: float | None = None  # validation accuracy of the model that was kept
    commonest: float | None = None  # share of the commonest class among the validation pictures

    @classmethod
    def load(cls, run: Path) -> Learned:
        """Read a run's folder, or that of one fold."""
        rows = [row for row in read_history(run / "history.csv") if int(row["epoch"])]  # 0: before it
        curve, losses = ([float(row[name] or "nan") for row in rows] for name in ("val_accuracy", "val_loss"))
        labels = Counter(row["label"] for row in files.read_csv(run / "split.csv") if row["split"] == "val")
        reached = run_folder.read_json(run / run_folder.METRICS)["val"]["accuracy"]
        return cls(curve, Predicted.load(run), losses, reached, max(labels.values()) / sum(labels.values()))


NOTHING, RISING, FLAT = "nothing learned", "still learning", "at its end"  # what a control has come to


@dataclass(frozen=True)
class Control:
    """A network from random weights beside the same network pretrained: what transfer has gained, in points.

    Higher start, higher slope and higher end of the learning curve are the three benefits of transfer (Torrey & Shavlik
    2010). Beside a control that has learned nothing there is no gain to speak of: they are None.
    """

    backbone: str
    method: str
    epochs: int
    fold: int | None  # whose model and test pictures these are, in a cross-validation: the control is trained once
    pretrained: list[float]  # the learning curve, see `Learned`
    scratch: list[float]
    accuracy: float  # on the test pictures
    scratch_accuracy: float
    groups: int | None  # of these pictures; None where they have none
    p: float  # that the two are right equally often
    start: float | None
    slope: float | None  # points per epoch
    end: float | None
    interval: tuple[float, float] | None = None  # of the end, paired on the same pictures or groups
    state: str = FLAT  # of the control: nothing learned, still learning, at its end
    reached: float | None = None  # validation accuracy of the pretrained one
    commonest: float | None = None  # share of the commonest class among the validation pictures

    @classmethod
    def of(
        cls, best: Row, pretrained: Learned, scratch: Learned, epochs: int, *, fold: int | None = None, seed: int = 0
    ) -> Control:
        """Compare the two curves, and the predictions of both on the same test pictures."""
        curves, predictions = (pretrained.curve, scratch.curve), (pretrained.predictions, scratch.predictions)
        accuracy, scratch_accuracy = (float(of.correct.mean()) for of in predictions)
        state, groups = _state(scratch, seed), predictions[0].groups
        gains: dict[str, Any] = dict.fromkeys(("start", "slope", "end", "interval"))
        if state != NOTHING:
            low, high = (
                100 * bound for bound in difference(predictions[0].correct, predictions[1].correct, groups, seed=seed)
            )
            ends = {"end": 100 * (accuracy - scratch_accuracy), "interval": None if math.isnan(low) else (low, high)}
            gains |= _rise(*curves) | ends
        return cls(
            best.backbone,
            best.method,
            epochs,
            fold,
            *curves,
            accuracy,
            scratch_accuracy,
            len(set(groups)) if groups else None,
            p_value(predictions[0].correct, predictions[1].correct, groups, seed=seed),
            **gains,
            state=state,
            reached=pretrained.reached,
            commonest=scratch.commonest,
        )

    def sentence(self) -> str:
        """Say what transfer has gained, as far as it can be said."""
        if self.state == NOTHING:
            return (
                f"What transfer gains cannot be said: {self._after} from random weights {self.backbone} has learned "
                "nothing, it tells the classes apart no better than chance (accuracy "
                f"{self.scratch_accuracy:.3f}). {self._pretrained}{self._in_fold}. That shows only that so few epochs "
                "from random weights teach nothing; --control-epochs takes more."
            )
        scratch = f"the same network from random weights {self.scratch_accuracy:.3f} {self._after}"
        said = [f"{self._worth()}: {self._pretrained}, {scratch}{self._in_fold}."]
        if self.state == RISING:
            said.append(
                "It was still learning then: with more epochs (--control-epochs) the difference may be smaller."
            )
        if self.start is not None:
            said.append(self._curves(self.start))
        return " ".join(said)

    @property
    def _after(self) -> str:
        return f"after {self.epochs} epoch" if self.epochs == 1 else f"after {self.epochs} epochs"

    @property
    def _pretrained(self) -> str:
        return f"{self.backbone}, {self.method}, has {self.accuracy:.3f}"

    @property
    def _in_fold(self) -> str:
        return f", both in fold {self.fold}" if self.fold else ""

    def _curves(self, start: float) -> str:
        said = f"On the validation pictures the pretrained learning curve starts {_points(start, 'higher', 'lower')}"
        if self.slope is not None:
            said += f" and rises by {_points(self.slope, 'more', 'less')} per epoch at first"
        return f"{said} than from random weights."

    def _worth(self) -> str:
        if not self.end:
            return "Transfer neither gains nor loses test accuracy"
        if not self._told_from_luck:
            hopeless = self.groups is not None and least_p(self.groups, 2) > LEVEL
            why = f" ({self.groups} groups are too few to tell)" if hopeless else ""
            return f"Too little to say: transfer {self._gains(self.end)}, which may be luck{why}"
        why = f" ({self.groups} groups are too few for an interval)" if self.groups and not self.interval else ""
        return f"Transfer {self._gains(self.end)}{why}"

    def _gains(self, end: float) -> str:
        said = f"{'gains' if end > 0 else 'loses'} {abs(end):.1f} points of test accuracy"
        if not self.interval or self._told_from_luck == self._holds_0(self.interval):
            return said  # of so few pictures the test sees what may be luck, the interval does not: it says too much
        low, high = sorted(bound * math.copysign(1, end) for bound in self.interval)
        return f"{said}, with 95 % confidence between {low:.1f} and {high:.1f}"

    @property
    def _told_from_luck(self) -> bool:
        return self.p <= LEVEL and not (self.interval and self._holds_0(self.interval))

    @staticmethod
    def _holds_0(interval: tuple[float, float]) -> bool:
        return interval[0] <= 0 <= interval[1]


def _state(scratch: Learned, seed: int) -> str:
    """Say what a control has come to: does it tell classes apart at all, and did it go on learning until its end?

    It learns nothing where the AUROC's interval, on these pictures or groups, holds 0.5. It goes on where the loss on
    the validation pictures was lower by 1 % and more in the last fifth of its epochs than in all before.
    """
    predictions = scratch.predictions
    classes = [str(index) for index in range(predictions.probabilities.shape[1])]
    scores = predictions.most_probable.scores(classes, seed)
    if (scores.these or scores.intervals)["auroc"][0] <= 0.5:
        return NOTHING
    if not scratch.losses:
        return FLAT
    last = max(1, len(scratch.losses) // 5)
    before, after = scratch.losses[:-last], scratch.losses[-last:]
    return RISING if min(after) < 0.99 * min(before, default=math.inf) else FLAT


def _rise(pretrained: Sequence[float], scratch: Sequence[float]) -> dict[str, float | None]:
    """Return how much higher the first curve starts, and how much more it rises over the first epochs, in points."""
    shared = min(len(pretrained), len(scratch), FIRST_EPOCHS)
    start = 100 * (pretrained[0] - scratch[0]) if shared else None
    slope = 100 * (_slope(pretrained, shared) - _slope(scratch, shared)) if shared > 1 else None
    return {"start": start, "slope": slope}


def _points(difference: float, more: str, less: str) -> str:
    return f"{abs(difference):.1f} points {more if difference > 0 else less}" if round(difference, 1) else f"no {more}"


def _slope(curve: Sequence[float], epochs: int) -> float:
    """Return the mean rise per epoch over the first epochs."""
    return (curve[epochs - 1] - curve[0]) / (epochs - 1)


def ranked(rows: Iterable[Row]) -> list[Row]:
    """Return the rows, the most accurate first; of equal ones, the smaller network: that is no matter of a clock."""
    return sorted(rows, key=lambda row: (-row.accuracy, row.size_mb, row.backbone, row.method))


def duration(seconds: float) -> str:
    """Return seconds for a reader: ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def name_of(row: Row) -> str:
    """Return what a row's folder is called."""
    return f"{row.backbone}-{row.method}"


@dataclass(frozen=True)
class Findings:
    """What a comparison says; the rows best first."""

    rows: list[Row]
    ties: set[str]  # the best row and those that cannot be told from it
    p_values: dict[tuple[str, str], float]
    groups: int | None = None  # of the test pictures; None where they have none
    control: Control | None = None
    missing: int = 0  # rows that are yet to come: the comparison goes on, or was stopped
    again: str = ""  # the command that does the same
    of_groups: str = ""  # which groups were not named, and what a random split overstates

    @classmethod
    def of(
        cls,
        rows: Iterable[Row],
        correct: Mapping[str, np.ndarray],
        groups: Sequence[str] | None = None,
        *,
        seed: int = 0,
    ) -> Findings:
        """Rank the rows and test every pair; `correct` says for each done row which test pictures it had right."""
        order, p_values = ranked(rows), pairwise(correct, groups, seed=seed)
        best = name_of(order[0])
        ties = {best} | {name for name in correct if p_values.get((best, name), 0.0) > LEVEL}
        return cls(order, ties, p_values, len(set(groups)) if groups else None)

    @property
    def done(self) -> list[Row]:
        """The rows that have figures, best first."""
        return [row for row in self.rows if row.status == "ok"]

    @property
    def best(self) -> Row:
        """The most accurate row."""
        return self.rows[0]

    @property
    def quickest(self) -> Row:
        """The row that predicts quickest among the best one and its ties; of one network, the most accurate."""
        return min((row for row in self.done if name_of(row) in self.ties), key=lambda row: row.predict_ms)

    @property
    def smallest_alike(self) -> list[Row]:
        """The rows of the smallest network of those which cannot be told from the best, the most accurate first.

        Not of the quickest one: a comparison that was stopped and goes on must come to the same, whatever a clock says.
        """
        tied = [row for row in self.done if name_of(row) in self.ties]
        network = min(tied, key=lambda row: (row.size_mb, row.backbone)).backbone
        return [row for row in tied if row.backbone == network]

    @property
    def front(self) -> set[str]:
        """The names of the rows that are on the Pareto front of accuracy and time: none quicker is as accurate."""
        quickest_first = sorted(self.done, key=lambda row: (row.predict_ms, -row.accuracy))
        front, highest = set(), -1.0
        for row in quickest_first:
            if row.accuracy > highest:
                highest = row.accuracy
                front.add(name_of(row))
        return front

    @property
    def told_apart(self) -> bool:
        """Whether any two rows can be told apart; if not, every difference in the table may be luck."""
        return any(p <= LEVEL for p in self.p_values.values())

    @property
    def winners(self) -> set[str]:
        """The rows that are drawn as better for their time: those on the front, where any two can be told apart."""
        return self.front if self.told_apart or len(self.done) == 1 else set()

    @property
    def _hopeless(self) -> bool:
        return bool(self.groups and len(self.done) > 1 and least_p(self.groups, len(self.done)) > LEVEL)

    def advice(self) -> str:
        """Say in plain words which to take: a tie is called a tie, and a part is not taken for the whole."""
        said = [self.caution or self._standing()]
        if self.missing:
            total = len(self.rows) + self.missing
            said.insert(0, f"The comparison is incomplete, {self.missing} of {total} rows are missing.")
        few = few_groups(self.groups)
        said += few
        if self._hopeless:
            said.append("With so few of them no difference can be told from luck.")
        if few and "--folds" not in self.again:
            said.append(FOLDS)
        if self.control is not None:
            said.append(self.control.sentence())
        return " ".join(said)

    @property
    def caution(self) -> str:
        """Say that not even the best row is better than always predicting the commonest class; nothing where it is."""
        found = self.best.baseline
        if not found or found["verdict"] == "better":
            return ""
        shown = "" if found["below"] else "shown to be "
        return (
            f"No row is {shown}better than always predicting {found['class']!r}, which "
            f"has an accuracy of {found['accuracy']:.3f}; the best, {self.best.backbone} with {self.best.method}, has "
            f"{self.best.accuracy:.3f}. regraft report on its run says what the reason may be."
        )

    def _standing(self) -> str:
        best = f"{self.best.backbone} with {self.best.method}"
        tied = [row for row in self.done[1:] if name_of(row) in self.ties]
        if len(self.done) == 1:
            return f"{best} has an accuracy of {self.best.accuracy:.3f}; there is no other row to compare it with."
        if not tied:
            return (
                f"{best} is the most accurate, {self.best.accuracy:.3f}. "
                "That is more than luck: it is better than every other row of the table "
                "after correction for their number."
            )
        said = (
            f"It is a tie: none is more accurate than {best}, {self.best.accuracy:.3f}, but {len(tied)} more cannot be "
            "told from it with these pictures"
        )
        quick = self.quickest
        milliseconds = [f"{row.predict_ms:.{0 if row.predict_ms >= 1 else 1}f} ms" for row in (quick, self.best)]
        if milliseconds[0] == milliseconds[1] or self._hopeless:  # then the quickest may be far worse as well
            return f"{said}."
        return (
            f"{said}; of these {quick.backbone} with {quick.method} predicts quickest, "
            f"{' against '.join(milliseconds)} a picture."
        )

    def as_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints, and leaderboard.json holds."""
        return {
            "rows": [{**row.as_dict(), "ties_with_best": name_of(row) in self.ties} for row in self.rows],
            "p_values": [{"first": a, "second": b, "p": p} for (a, b), p in self.p_values.items() if a < b],
            "missing": self.missing,
            "control": self.control and asdict(self.control),
            "advice": self.advice(),
        }

    def cells(self) -> list[list[Any]]:
        """Return what leaderboard.csv holds below `columns`."""
        return [self._cells(row) for row in self.rows]

    def _cells(self, row: Row) -> list[Any]:
        low, high = row.test.get("accuracy_ci", (None, None))
        tie = name_of(row) in self.ties
        cells = {**asdict(row), **row.test, "accuracy_low": low, "accuracy_high": high, "tie": tie}
        cells["accuracy_without_tta"] = row.accuracy_without_tta
        return [cells.get(name) for name in columns()]


COLUMNS = (
    "backbone",
    "method",
    "status",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "tie",
    "auroc",
    "macro_f1",
    "calibration_error",
    "fit_s",
    "feature_extraction_s",
    "predict_ms",
    "size_mb",
    "n_test",
    "reason",
    "accuracy_without_tta",
)


def columns() -> list[str]:
    """Return the columns of leaderboard.csv; a new metric's come last, and those of before stay where they were."""
    return [*COLUMNS, *(name for name, metric in METRICS.items() if metric.compared and name not in COLUMNS)]


def compared() -> dict[str, str]:
    """Return the metrics that stand beside the accuracy, each with its title."""
    names = [name for name in columns() if name in METRICS and name != "accuracy"]
    return {name: METRICS[name].title or name.replace("_", " ") for name in names}
