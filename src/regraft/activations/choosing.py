"""Choose what runs the frozen part, and in which precision: by what is asked, kept, known of the machine, measured."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from regraft.activations import engines
from regraft.activations.engines import Runner
from regraft.activations.store import writing
from regraft.utils import files, records

SAMPLE = 16
"""Pictures that are measured on: their float32 rows take as long as 2 to 4 % of a pass over 1,000."""

LEAST_AGREEMENT = 0.9
"""Mean centred cosine that rows of a shorter format must have with those of float32.

Measured on 5,333 malaria cells, 5 folds by patient. MobileNetV2's rows suffer most from rounding: those of bfloat16
agree to .927, and cost method `features` 0.3 points of accuracy (.945 after .948), a plain logistic regression nothing
(.945 both). On rows with errors twice as large (.76) the latter loses a third of a point, three times as large (.59)
more than one. SqueezeNet's rows agree to .9993, Xception's to .997, VGG16's to .9996.
"""


@dataclass(frozen=True)
class Choice:
    """What runs the frozen part, why, and how well its rows agree with those of float32 (None: not measured)."""

    runner: Runner
    reason: str = ""
    agreement: float | None = None
    measured: Mapping[str, float | None] = field(default_factory=dict)  # of all that were tried, by name

    def as_dict(self) -> dict[str, Any]:
        """Return what a run keeps of it; the reason is another one where the rows were there before."""
        found: dict[str, Any] = {"engine": self.runner.engine, "precision": self.runner.precision}
        found |= {} if self.agreement is None else {"agreement": round(self.agreement, 4)}
        return {**found, "measured": dict(self.measured)} if self.measured else found

    def __str__(self) -> str:
        """Say it in a sentence."""
        return f"{called(self.runner)} computes the frozen part: {self.reason}."


@dataclass(frozen=True, eq=False)
class Trial:
    """What there is to choose by."""

    pictures: int
    kept: Callable[[Runner], int]  # how many have a row already
    ready: Callable[[str], bool]  # whether an engine finds prepared what it needs
    rows: Callable[[Runner], list[np.ndarray]]  # what it makes of a few pictures [n, ...], at each cut
    record: Callable[[], Path]  # where what was measured is kept; naming it takes a while
    known: Callable[[Runner], bool] = engines.known  # that nothing is faster here


def pick(asked: Runner, device: torch.device, trial: Trial) -> Choice:
    """Return what was asked for; ``auto`` takes the fastest whose rows agree with those of float32.

    Rows that most pictures have already decide, then what is known of the machine, then a measurement.

    Raises:
        UnknownName, ConfigError: as `engines.able`.
    """
    able = engines.able(asked, device)
    if len(able) == 1:
        return Choice(able[0], "nothing else does so here" if asked.engine == "auto" else "as asked")
    measured = _Measured(trial, asked.precision == "auto")
    for runner in able:
        if 2 * trial.kept(runner) > trial.pictures and measured.fits(runner):
            return measured.choice(runner, "its rows are kept already")
    worthwhile = [runner for runner in able if asked.engine != "auto" or _pays(runner, trial)]
    with_export = [runner for runner in worthwhile if engines.module(runner.engine).RANK]  # never slower than without
    return _fastest(with_export, trial, measured) if with_export else Choice(worthwhile[0], "the pictures are few")


def _pays(runner: Runner, trial: Trial) -> bool:
    """Say whether a pass is long enough to prepare for it; where nothing is to be prepared, float32 is taken as well.

    A shorter format is not: what a run learns would hang on what other runs have left in the cache.
    """
    if trial.pictures >= engines.module(runner.engine).PAYS_FROM:
        return True
    return runner.precision == "float32" and trial.ready(runner.engine)


def _fastest(runners: Sequence[Runner], trial: Trial, measured: _Measured) -> Choice:
    """Take the first that fits where nothing is faster, or where trying others takes longer than it saves."""
    fitting = filter(measured.fits, runners)
    first = next(fitting)
    if trial.pictures < engines.module(first.engine).PAYS_FROM or trial.known(first):
        return measured.choice(first, "nothing is known to be faster here")
    ordered = sorted([first, *fitting], key=measured.seconds)
    if len(ordered) == 1:
        return measured.choice(first, "nothing else does so here")
    times = measured.seconds(ordered[1]) / measured.seconds(first := ordered[0])
    return measured.choice(first, f"{times:.1f} times as fast here as {called(ordered[1])}")


class _Measured:
    """What was measured with these pictures on this machine: kept, so that the next run chooses the same."""

    def __init__(self, trial: Trial, rounds: bool) -> None:
        """`rounds`: a shorter format is to be measured before it is taken."""
        self.trial, self.rounds = trial, rounds
        self.refused: list[str] = []

    def fits(self, runner: Runner) -> bool:
        """Say whether its rows agree with those of float32."""
        agreement = self._agreement(runner)
        if agreement is None or agreement >= LEAST_AGREEMENT:
            return True
        self.refused.append(f"{called(runner)} agrees with float32 only to {agreement:.3f}, {LEAST_AGREEMENT} is asked")
        return False

    def seconds(self, runner: Runner) -> float:
        """Return how long it takes for the sample, once it is warm."""

        def measure() -> float:
            self.trial.rows(runner)
            start = time.perf_counter()
            self.trial.rows(runner)
            return time.perf_counter() - start

        return self._once(f"seconds {' '.join(runner)}", measure)

    def choice(self, runner: Runner, reason: str) -> Choice:
        """Return a choice, with what speaks for it and against others."""
        agreement = self._agreement(runner)
        asked = f"(mean cosine; at least {LEAST_AGREEMENT} is asked)"
        said = [] if agreement is None else [f"its rows agree with those of float32 to {agreement:.3f} {asked}"]
        return Choice(runner, "; ".join([reason, *said, *self.refused]), agreement, self._known)

    def _agreement(self, runner: Runner) -> float | None:
        if runner.precision == "float32" or not self.rounds:
            return None
        exact = runner._replace(precision="float32")
        measure = functools.partial(_agreement_of, self.trial.rows, runner, exact)
        return self._once(f"agreement {' '.join(runner)}", measure)

    def _once(self, name: str, measure: Callable[[], float]) -> float:
        if name not in self._known:
            self._known[name] = measure()
            path = self.trial.record()
            with writing(path.parent):
                path.parent.mkdir(parents=True, exist_ok=True)
                files.write_bytes(path, records.to_json(self._known))
        value = self._known[name]
        return math.nan if value is None else value

    @functools.cached_property
    def _known(self) -> dict[str, float | None]:
        try:
            return records.fitted(records.read_json(self.trial.record()), dict[str, float | None])
        except (OSError, ValueError):  # not measured yet, or damaged
            return {}


def _agreement_of(rows: Callable[[Runner], list[np.ndarray]], runner: Runner, exact: Runner) -> float:
    return agreement(rows(runner), rows(exact))


def agreement(rows: Sequence[np.ndarray], exact: Sequence[np.ndarray]) -> float:
    """Return the mean cosine of rows [n, ...] with the exact ones, both less their mean; of several cuts the least.

    nan where rows are no numbers, or all the same.
    """
    return min(map(_mean_cosine, rows, exact)) if rows and len(rows[0]) else math.nan


def _mean_cosine(rows: np.ndarray, exact: np.ndarray) -> float:
    centre = exact.mean(0)
    found, truth = ((part - centre).reshape(len(part), -1).astype(np.float64) for part in (rows, exact))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        cosines = (found * truth).sum(1) / (np.linalg.norm(found, axis=1) * np.linalg.norm(truth, axis=1))
    return float(cosines.mean())


def called(runner: Runner) -> str:
    """Return its name for a reader."""
    return f"{runner.engine} in {runner.precision}"
