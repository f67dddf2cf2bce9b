"""Rows -> leaderboard.csv, leaderboard.json and a page: what a comparison has found, ties called ties."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from regraft import files, runs
from regraft.answers import Answers
from regraft.errors import RunError
from regraft.evaluation import few_groups
from regraft.significance import least_p, p_value, pairwise
from regraft.training import read_history

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
    pass_s: float = 0.0  # the frozen part over all pictures, once for all methods of the network
    predict_ms: float = 0.0  # for one picture, decoding included
    size_mb: float = 0.0
    test: dict[str, Any] = field(default_factory=dict)

    @property
    def accuracy(self) -> float:
        """On the test pictures; -1 where there is none, so that such rows come last."""
        return float(self.test.get("accuracy", -1.0))

    def as_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return {**asdict(self), "seconds": round(self.fit_s + self.pass_s, 2)}

    def line(self) -> str:
        """Return the row as one line of a growing table."""
        name = f"{self.backbone:<24} {self.method:<10}"
        if self.status != "ok":
            return f"{name} {self.status}: {self.reason}"
        low, high = self.test["accuracy_ci"]
        between = f" ({low:.3f} to {high:.3f})" if low is not None else ""
        return f"{name} accuracy {self.accuracy:.3f}{between}  {duration(self.fit_s + self.pass_s)}"

    def save(self, folder: Path) -> None:
        """Write row.json: the cell is done."""
        folder.mkdir(parents=True, exist_ok=True)
        runs.write_json(folder / ROW, asdict(self))

    @classmethod
    def load(cls, folder: Path) -> Row | None:
        """Read what `save` wrote; None where the cell is not done.

        Raises:
            RunError: it is damaged.
        """
        if not (folder / ROW).exists():
            return None
        row, figures = runs.read_as(folder / ROW, cls), runs.read_as(folder / ROW, _Tested).test
        known = isinstance(figures.get("accuracy"), float) and isinstance(figures.get("accuracy_ci"), tuple)
        if row.status not in STATUSES or (row.status == "ok" and not known):
            raise RunError(f"{folder / ROW} has no result. Delete {folder}, and compare again: it is trained anew.")
        return row


@dataclass(frozen=True)
class _Tested:
    """The part of row.json that holds the figures."""

    test: runs.Figures = field(default_factory=dict)


class Learned(NamedTuple):
    """What one run has come to."""

    curve: list[float]  # validation accuracy after each epoch; empty for a method without epochs
    answers: Answers

    @classmethod
    def load(cls, run: Path) -> Learned:
        """Read a run's folder, or that of one fold."""
        rows = read_history(run / "history.csv")
        return cls([float(row["val_accuracy"]) for row in rows if int(row["epoch"])], Answers.load(run))  # 0: before it


@dataclass(frozen=True)
class Control:
    """A network from random weights beside the same network pretrained: what transfer has gained, in points.

    Higher start, higher slope and higher end of the learning curve are the three benefits of transfer (Torrey & Shavlik
    2010).
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
    end: float

    @classmethod
    def of(
        cls, best: Row, pretrained: Learned, scratch: Learned, epochs: int, *, fold: int | None = None, seed: int = 0
    ) -> Control:
        """Compare the two curves, and the answers of both on the same test pictures."""
        curves, answers = (pretrained.curve, scratch.curve), (pretrained.answers, scratch.answers)
        epochs_shared = min(*map(len, curves), FIRST_EPOCHS)
        accuracy, scratch_accuracy = (float(of.hits.mean()) for of in answers)
        groups = answers[0].groups
        return cls(
            best.backbone,
            best.method,
            epochs,
            fold,
            *curves,
            accuracy,
            scratch_accuracy,
            len(set(groups)) if groups else None,
            p_value(answers[0].hits, answers[1].hits, groups, seed=seed),
            start=100 * (curves[0][0] - curves[1][0]) if epochs_shared else None,
            slope=100 * (_slope(curves[0], epochs_shared) - _slope(curves[1], epochs_shared))
            if epochs_shared > 1
            else None,
            end=100 * (accuracy - scratch_accuracy),
        )

    def sentence(self) -> str:
        """Say what transfer has gained."""
        said = (
            f"Transfer {self._worth()}: {self.backbone}, {self.method}, has "
            f"{self.accuracy:.3f}, the same network from random weights {self.scratch_accuracy:.3f} after "
            f"{self.epochs} epoch{'s' * (self.epochs != 1)}{f', both in fold {self.fold}' * bool(self.fold)}."
        )
        if self.start is not None:
            said += f" On the validation pictures its learning curve starts {_points(self.start, 'higher', 'lower')}"
            if self.slope is not None:
                said += f" and rises by {_points(self.slope, 'more', 'less')} per epoch at first"
            said += "."
        return said

    def _worth(self) -> str:
        if not self.end:
            return "neither gains nor loses test accuracy"
        worth = f"{'gains' if self.end > 0 else 'loses'} {abs(self.end):.1f} points of test accuracy"
        if self.p <= LEVEL:
            return worth
        if self.groups and least_p(self.groups, 2) > LEVEL:
            return f"{worth}, which may be luck ({self.groups} groups are too few to tell)"
        return f"{worth}, which may be luck"


def _points(difference: float, more: str, less: str) -> str:
    return f"{abs(difference):.1f} points {more if difference > 0 else less}" if round(difference, 1) else f"no {more}"


def _slope(curve: Sequence[float], epochs: int) -> float:
    """Return the mean rise per epoch over the first epochs."""
    return (curve[epochs - 1] - curve[0]) / (epochs - 1)


def ranked(rows: Iterable[Row]) -> list[Row]:
    """Return the rows, the most accurate first; of equal ones, the quicker to predict."""
    return sorted(rows, key=lambda row: (-row.accuracy, row.predict_ms))


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

    @classmethod
    def of(
        cls,
        rows: Iterable[Row],
        hits: Mapping[str, np.ndarray],
        groups: Sequence[str] | None,
        control: Control | None,
        *,
        missing: int = 0,
        again: str = "",
        seed: int = 0,
    ) -> Findings:
        """Rank the rows and test every pair; `hits` says for each done row which test pictures it had right."""
        order = ranked(rows)
        p_values = pairwise(hits, groups, seed=seed)
        best = name_of(order[0])
        ties = {best} | {name for name in hits if p_values.get((best, name), 0.0) > LEVEL}
        return cls(order, ties, p_values, len(set(groups)) if groups else None, control, missing, again)

    @property
    def over(self) -> str:
        """Say what the intervals are drawn over."""
        return f"{self.groups} groups" if self.groups else "pictures"

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
    def quickest_alike(self) -> list[Row]:
        """The rows of that network which cannot be told from the best, the most accurate first."""
        network = self.quickest.backbone
        return [row for row in self.done if row.backbone == network and name_of(row) in self.ties]

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

    def advice(self) -> str:
        """Say in plain words which to take: a tie is called a tie, and a part is not taken for the whole."""
        said = [self._standing()]
        if self.missing:
            total = len(self.rows) + self.missing
            said.insert(0, f"The comparison is incomplete, {self.missing} of {total} rows are missing.")
        said += few_groups(self.groups)
        if self.groups and len(self.done) > 1 and least_p(self.groups, len(self.done)) > LEVEL:
            said.append("With so few of them no difference can be told from luck.")
        if self.control is not None:
            said.append(self.control.sentence())
        return " ".join(said)

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
        milliseconds = [f"{row.predict_ms:.0f} ms" for row in (quick, self.best)]
        if milliseconds[0] == milliseconds[1]:
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

    def write(self, folder: Path) -> None:
        """Write leaderboard.csv, leaderboard.json and comparison.html."""
        from regraft.pages import comparison_page

        runs.write_json(folder / "leaderboard.json", self.as_dict())
        files.write_csv(folder / "leaderboard.csv", COLUMNS, map(self._cells, self.rows))
        files.write_bytes(folder / "comparison.html", comparison_page(self).encode())

    def _cells(self, row: Row) -> list[Any]:
        low, high = row.test.get("accuracy_ci", (None, None))
        tie = name_of(row) in self.ties
        cells = {**asdict(row), **row.test, "accuracy_low": low, "accuracy_high": high, "tie": tie}
        return [cells.get(name) for name in COLUMNS]


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
    "pass_s",
    "predict_ms",
    "size_mb",
    "n_test",
    "reason",
)
