"""The candidates of a comparison -> rows of its table: network by network, each frozen part once, resumable."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from regraft import catalog, methods, run_folder
from regraft.audit.groups import proposed_in, write_proposal
from regraft.config import METHOD, NETWORK, Config, names_of
from regraft.data import Manifest, write_split
from regraft.errors import NotWritten, RegraftError, RunError, reason_of
from regraft.experiments import loggers
from regraft.experiments.fitting import Fitting
from regraft.experiments.run import Run
from regraft.experiments.session import ActivatedNetwork, LoadedNetwork, Session, load_network, tta_of
from regraft.methods._plan import Plan
from regraft.metrics.predictions import PLAIN, Predicted
from regraft.metrics.tta import about_tta
from regraft.reports import comparison_page
from regraft.reports.comparison_report import COLUMNS, Control, Findings, Learned, Row, duration, name_of
from regraft.training.learner import least_epochs
from regraft.utils import files, tables
from regraft.utils.progress import Bars

if TYPE_CHECKING:
    import pandas
    import pyarrow

CONTROL_EPOCHS = 5  # a curve long enough to see start and slope; random weights need far more to end well
PRETRAINED: Mapping[str, Any] = dict.fromkeys(set(names_of(NETWORK, METHOD)) - {"backbone", "method"})
"""What speaks of pretrained weights, and means nothing to a network without them."""


@dataclass(frozen=True)
class Candidate:
    """One network with one method: a row of the table."""

    backbone: str
    method: str

    @property
    def name(self) -> str:
        """What its folder is called."""
        return f"{self.backbone}-{self.method}"


@dataclass(frozen=True, repr=False)
class Comparison:
    """What came of a comparison: the folder that holds it, and what it says."""

    folder: Path
    findings: Findings
    interrupted: bool = False

    @property
    def best(self) -> Row:
        """The most accurate row, which stands for its run's folder where a model is taken."""
        return self.findings.best

    def to_pandas(self) -> pandas.DataFrame:
        """Return the leaderboard as a pandas table.

        Raises:
            MissingExtra: pandas is not installed.
        """
        return tables.to_pandas(self._rows(), "Comparison.to_pandas")

    def to_arrow(self) -> pyarrow.Table:
        """Return the leaderboard as an Arrow table."""
        return tables.to_arrow(self._rows())

    def __len__(self) -> int:
        """Return the number of candidates."""
        return len(self.findings.rows)

    def __iter__(self) -> Iterator[Row]:
        """Go through the candidates, in the order of the leaderboard."""
        return iter(self.findings.rows)

    def __bool__(self) -> bool:
        """Say that there is a comparison."""
        return True

    def _rows(self) -> list[dict[str, Any]]:
        return [dict(zip(COLUMNS, cells, strict=True)) for cells in self.findings.cells()]

    def __repr__(self) -> str:
        """Say what it is, without its table."""
        return f"<Comparison: {len(self.findings.rows)} rows, in {self.folder}>"

    def _repr_html_(self) -> str:
        return tables.as_html(self._rows(), title=f"{self.findings.advice()} The comparison: {self.folder}")

    def as_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        proposal, interrupted = proposed_in(self.folder), {"interrupted": True} if self.interrupted else {}
        groups = proposal.as_dict() if proposal else None  # that the user may have meant to give
        return {"comparison": str(self.folder), **self.findings.as_dict(), "groups": groups, **interrupted}


@dataclass(frozen=True, eq=False)
class Planned:
    """A network over the pictures of a session, and what its methods make of it."""

    session: Session  # the comparison's, or one of a sample of its pictures
    network: ActivatedNetwork
    plans: dict[Candidate, Plan]
    feature_extraction_s: float

    @property
    def predict_s(self) -> float:
        """Seconds for one picture, decoding included; looked at as often as pictures are."""
        return self.network.prefix.seconds_per_picture() * tta_of(self.session.config).views


@dataclass(eq=False)
class ComparisonRunner:
    """Trains the candidates, network by network, and writes the table after each of them."""

    session: Session
    folder: Path
    candidates: list[Candidate]
    started: float
    again: str  # the command that does the same
    rows: dict[Candidate, Row] = field(default_factory=dict)
    predictions: dict[Candidate, Predicted] = field(default_factory=dict)
    control: Control | None = None
    begun: bool = False  # the pictures have been read, and which ones are compared on is written

    def run(
        self, choose: Callable[[], Sequence[Candidate]] | None, budget_s: float | None, control_epochs: int | None
    ) -> Comparison:
        """Train the candidates, or those that `choose` returns, and the control; Ctrl-C leaves what is there so far."""
        interrupted = False
        try:
            candidates = choose() if choose else self.candidates
            for backbone in dict.fromkeys(candidate.backbone for candidate in candidates):
                self._train_network([candidate for candidate in candidates if candidate.backbone == backbone])
            if self._control_is_wanted(budget_s, control_epochs):
                self._add_control(control_epochs)
        except KeyboardInterrupt:
            interrupted = True
        if not self.predictions:
            self._refuse_nothing(interrupted)
        findings = self.findings()
        comparison_page.write(findings, self.folder)
        return Comparison(self.folder, findings, interrupted)

    def _refuse_nothing(self, interrupted: bool) -> None:
        if interrupted:
            raise KeyboardInterrupt
        first = next(row for row in self.rows.values() if row.status == "failed")
        if not any(path.is_dir() for path in self.folder.iterdir()):
            files.remove_folder(self.folder)  # nothing has been learned
        raise RunError(f"Nothing could be trained of what was asked for; {first.backbone}: {first.reason}")

    def findings(self) -> Findings:
        """Return what the table says so far."""
        correct = {candidate.name: predictions.correct for candidate, predictions in self.predictions.items()}
        proposal = proposed_in(self.folder)
        groups = next(iter(self.predictions.values())).groups
        return replace(
            Findings.of(self.rows.values(), correct, groups, seed=self.session.config.seed),
            control=self.control,
            missing=len(self.candidates) - len(self.rows),
            again=self.again,
            of_groups=proposal.notice if proposal else "",
        )

    # ---- one network ------------------------------------------------------------------------------------------------

    def _train_network(self, candidates: Sequence[Candidate]) -> None:
        todo = [candidate for candidate in candidates if not self.read_back(candidate)]
        planned = self.activated(self.session, todo)
        if planned is None:
            return
        for candidate in planned.plans:
            with self.failing([candidate]):
                self._train(candidate, planned)

    def activated(self, session: Session, candidates: Sequence[Candidate]) -> Planned | None:
        """Load a network and run its frozen part once for all candidates; None where that fails, or there are none."""
        if not candidates:
            return None
        with self.failing(candidates):
            loaded = load_network(self.config_of(candidates[0]))
            plans = self._plans(loaded, candidates)
            if not plans:
                return None
            before = time.perf_counter()
            network = session.activate(loaded, list(plans.values()))
            if session is self.session and not self.begun:
                self._begin(network, list(plans.values()))
            session.augment(network, list(plans.values()))
            return Planned(session, network, plans, time.perf_counter() - before)
        return None

    def _plans(self, loaded: LoadedNetwork, candidates: Sequence[Candidate]) -> dict[Candidate, Plan]:
        plans = {}
        for candidate in candidates:
            with self.failing([candidate]):
                plans[candidate] = methods.plan(loaded.backbone, self.config_of(candidate))
        return plans

    def config_of(self, candidate: Candidate) -> Config:
        """Return the settings of a candidate's run, which is one of the folds where there are folds."""
        return replace(self.session.config, backbone=candidate.backbone, method=candidate.method, folds=None)

    def _begin(self, network: ActivatedNetwork, plans: Sequence[Plan]) -> None:
        """Write which pictures are compared on, in which parts, and say what is to be known of them."""
        session, self.begun = self.session, True
        if not session.config.folds:
            write_split(session.splits[0], self.folder / "split.csv", session.digests)
        for notice in session.copies():
            session.progress.warn(notice)
        run_folder.write_skipped(self.folder / "skipped.csv", session.skipped)
        write_proposal(session.proposed_groups(network, plans), self.folder)

    @contextmanager
    def failing(self, candidates: Sequence[Candidate]) -> Iterator[None]:
        """Record what goes wrong as these candidates' result: the others go on."""
        try:
            yield
        except NotWritten:  # a full disk fails them all; with room on it the same command goes on
            raise
        except Exception as error:  # noqa: BLE001  whatever one network does, the night's other results are kept
            where = getattr(error, "filename", None) or type(error).__name__
            reason = str(error) if isinstance(error, RegraftError) else f"{where}: {reason_of(error)}"
            for candidate in candidates:
                if candidate in self.candidates:  # the control is no row of the table
                    self.rows[candidate] = _without_figures(candidate, "failed", reason)
            named = ", ".join(candidate.method for candidate in candidates)
            self.session.progress.warn(f"{candidates[0].backbone}, {named}: {reason}")

    # ---- one candidate ----------------------------------------------------------------------------------------------

    def _train(self, candidate: Candidate, planned: Planned) -> None:
        before = time.perf_counter()
        folder, splits, folds = self.folder / candidate.name, self.session.splits, self.session.config.folds
        runs = [folder / f"fold-{number}" if folds else folder for number in range(1, len(splits) + 1)]
        for where, split in zip(runs, splits, strict=True):
            self._fit(candidate, planned, split, where)
        predictions = Predicted.together([Predicted.load(where) for where in runs])
        row = self._row(candidate, planned, predictions, runs[-1], time.perf_counter() - before)
        row = replace(row, tta=self._without_tta(runs))
        if folds:  # a row is a run of its own, beside those of its folds
            with loggers.opened(self.config_of(candidate), folder, self.session.progress, within=self.folder) as logs:
                logs.end(row.test)
        predictions.save(folder)
        row.save(folder)
        self.predictions[candidate] = predictions
        self.tell(candidate, row)

    def _fit(self, candidate: Candidate, planned: Planned, split: Manifest, folder: Path) -> Run:
        folder.mkdir(parents=True, exist_ok=True)
        config, plan, session = self.config_of(candidate), planned.plans[candidate], self.session
        with loggers.opened(config, folder, session.progress, within=self.folder) as logs:
            heard = logs.heard(Bars(session.progress))
            run = Fitting(session, planned.network, plan, split, config, folder, heard).run(resume=True)
            logs.end(run.test.as_dict(), interrupted=run.interrupted)
        if run.interrupted:
            raise KeyboardInterrupt
        return run

    def _row(self, candidate: Candidate, planned: Planned, predictions: Predicted, run: Path, fit_s: float) -> Row:
        classes, seed = self.session.manifest.classes, self.session.config.seed
        scores = predictions.scores(classes, seed)
        return Row(
            candidate.backbone,
            candidate.method,
            "ok",
            run=str(self.folder / candidate.name),
            n_test=scores.n,
            fit_s=fit_s,
            feature_extraction_s=planned.feature_extraction_s,
            predict_ms=1000 * planned.predict_s,
            size_mb=(run / "model" / "model.safetensors").stat().st_size / 1e6,
            test=scores.as_dict(),
            baseline=predictions.baseline(scores, classes, seed).as_dict(),
        )

    def _without_tta(self, runs: Sequence[Path]) -> dict[str, Any]:
        """Return what was predicted from plain pictures alone, measured; nothing where that is all that was done."""
        config = self.session.config
        views = tta_of(config).views
        if views == 1:
            return {}
        plain = Predicted.together([Predicted.load(where, PLAIN) for where in runs])
        return about_tta(views, plain, self.session.manifest.classes, config.seed)

    def read_back(self, candidate: Candidate) -> bool:
        """Take the result of a candidate that an earlier, stopped comparison has trained.

        Raises:
            RunError: it is damaged, or was measured on other pictures than those before it.
        """
        folder = self.folder / candidate.name
        try:
            row = Row.load(folder)
            predictions = Predicted.load(folder) if row is not None and row.status == "ok" else None  # and not dropped
        except RunError as error:
            raise RunError(f"{error} Without the folder {folder}, compare trains this row anew.") from error
        if row is None:
            return False
        if predictions is not None:
            if any(not np.array_equal(other.labels, predictions.labels) for other in self.predictions.values()):
                raise RunError(
                    f"{folder} was measured on other pictures than the rows before it. Delete it, and compare again: "
                    "this row is trained anew."
                )
            row = replace(row, run=str(folder))  # wherever the comparison lay when it was written
            self.predictions[candidate] = predictions
        self.rows[candidate] = row
        return True

    def drop(self, candidate: Candidate, reason: str) -> None:
        """Note that a candidate is not worth training on all pictures."""
        row = _without_figures(candidate, "dropped", reason)
        row.save(self.folder / candidate.name)
        self.tell(candidate, row)

    def tell(self, candidate: Candidate, row: Row) -> None:
        """Add a row, and write the table."""
        self.rows[candidate] = row
        self.session.progress.note(f"{len(self.rows)}/{len(self.candidates)}  {row.line()}{self._left()}")
        if self.predictions:
            comparison_page.write(self.findings(), self.folder)

    def _left(self) -> str:
        """Say how long the missing candidates will take, if networks differ as multiply-adds to the power of 0.6 do.

        So they did in five folds on a CPU, from MobileNetV2's 0.3 GFLOPs to VGG16's 15: small layers are slow for what
        they do, and decoding costs the same for all.
        """
        size = self.session.config.img_size
        known = {
            card["name"]: (card["gflops"] / (card["input_size"] ** 2 if size else 1)) ** 0.6 for card in catalog.read()
        }
        usual = median(known.values())
        done = [row for row in self.rows.values() if row.status == "ok"]
        missing = sum(known.get(one.backbone, usual) for one in self.candidates if one not in self.rows)
        if not (done and missing):
            return ""
        spent_s = sum(row.fit_s for row in done) + sum(
            {row.backbone: row.feature_extraction_s for row in done}.values()
        )
        each_s = spent_s / sum(known.get(row.backbone, usual) for row in done)
        return f", about {duration(each_s * missing)} left"

    # ---- was transfer worth it? -------------------------------------------------------------------------------------

    def _control_is_wanted(self, budget_s: float | None, epochs: int | None) -> bool:
        spent_s = time.perf_counter() - self.started
        over = budget_s is not None and spent_s > budget_s
        if over:
            self.session.progress.warn(
                f"It took {duration(spent_s)}, the budget was {duration(budget_s or 0)}: what was not dropped ran to "
                "its end."
            )
        if over and epochs is None:
            self.session.progress.warn("There is no control from random weights; --control-epochs 5 would train one.")
            return False
        return epochs != 0 and bool(self.predictions)

    def _add_control(self, epochs: int | None) -> None:
        """Train a network once more, from random weights: of those that are as good as the best, the smallest.

        From random weights everything trains, in every epoch: for a VGG that takes longer than the whole comparison.
        With folds it is trained in the first one only, for the same reason.
        """
        chosen, best = self._set_against()
        candidate = Candidate(chosen.backbone, "scratch")
        if candidate in self.predictions:
            return
        # where all rows were read back, no picture was decoded yet, and which cannot be is not known
        if not self.begun and self.activated(self.session, [candidate]) is None:
            return
        split, fold = self.session.splits[0], 1 if self.session.config.folds else None
        pictures = len(split.part("train"))
        epochs = epochs or max(CONTROL_EPOCHS, least_epochs(pictures, self.session.config))
        # it goes through all of them: on few pictures a network from random weights stands still for many epochs
        self.session.config = replace(self.session.config, epochs=epochs, patience=epochs, **PRETRAINED)
        with self.failing([candidate]):
            self.session.progress.note(f"The control: {candidate.backbone} from random weights, {epochs} epochs.")
            planned = self.activated(self.session, [candidate])
            if planned is None:
                return
            run = self._fit(candidate, planned, split, self.folder / candidate.name)
            scratch = Learned.load(run.folder)
            self.control = Control.of(chosen, best, scratch, epochs, fold=fold, seed=self.session.config.seed)
            self.session.progress.note(self.control.sentence())

    def _set_against(self) -> tuple[Row, Learned]:
        """Return the row that the control is set against; one with a learning curve, where there is one."""
        fold = "fold-1" if self.session.config.folds else ""
        alike = self.findings().smallest_alike
        learned = {name_of(row): Learned.load(Path(row.run) / fold) for row in alike}
        chosen = min(alike, key=lambda row: not learned[name_of(row)].curve)
        return chosen, learned[name_of(chosen)]


def _without_figures(candidate: Candidate, status: str, reason: str) -> Row:
    return Row(candidate.backbone, candidate.method, status, reason=" ".join(reason.split()))
