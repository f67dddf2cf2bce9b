"""Networks x methods on one identical split -> one table: which is best, by how much, and was transfer worth it?

Each network's frozen part runs once for all its methods (and for all folds); every cell of the table is a run folder of
its own, so the best one is ready to use, and a comparison that was stopped goes on with the cells that are missing.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from regraft import cards, files, leaderboard, runs
from regraft.activations import Prefix
from regraft.answers import Answers
from regraft.backbones import FAMILIES, canonical, names
from regraft.baseline import Baseline
from regraft.config import Config, changed, command, refuse_idle
from regraft.data import Manifest, Surveyed, into_folds, other_pictures, read_digests, scan, split, write_split
from regraft.errors import ConfigError, NotWritten, RegraftError, RunError, SplitError, WeightsMissing, reason_of
from regraft.evaluation import evaluate
from regraft.grouping import proposed_in
from regraft.leaderboard import Control, Findings, Learned, Row, name_of
from regraft.learning import Learner, least_epochs, lengthened, steps
from regraft.methods import check as check_method
from regraft.methods import plan as plan_of
from regraft.pipeline import (
    Run,
    Start,
    activate,
    begin,
    carry_out,
    few_tested,
    groups_of,
    idle_shares,
    into_parts,
    keep_proposal,
    look_over,
    notices,
    refuse_parts,
    told,
)
from regraft.plan import Plan
from regraft.progress import Bars, Progress
from regraft.records import Seconds, Share
from regraft.weights import available

METHODS = ("frozen", "finetuned", "features")
CONTROL_EPOCHS = 5  # a curve long enough to see start and slope; random weights need far more to end well
PRETRAINED: Mapping[str, Any] = dict.fromkeys(("weights", "from_run", "unfreeze", "train_layers"))
"""What speaks of pretrained weights, and means nothing to a network without them."""
IDLE = {
    "backbone": "Name one or more with --backbones.",
    "method": "Name one or more with --methods.",
    "from_run": "Every network starts from its published weights. Leave it out, or give it to train.",
}
"""Settings that would be passed over, and what to give instead."""
TRIED = "tried.json"
LEAST_SHARE = 1 / 8  # of the training pictures, in the first round of successive halving


@dataclass(frozen=True)
class Cell:
    """One network with one method."""

    backbone: str
    method: str

    @property
    def name(self) -> str:
        """What its folder is called."""
        return f"{self.backbone}-{self.method}"


@dataclass(frozen=True)
class Comparison:
    """What came of a comparison: the folder that holds it, and what it says."""

    folder: Path
    findings: Findings
    interrupted: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        interrupted, proposal = {"interrupted": True} if self.interrupted else {}, proposed_in(self.folder)
        groups = proposal.as_dict() if proposal else None  # that the user may have meant to give
        return {"comparison": str(self.folder), **self.findings.as_dict(), "groups": groups, **interrupted}


def compare(
    data: Path | str,
    *,
    backbones: str | Sequence[str] = "available",
    methods: str | Sequence[str] = METHODS,
    budget_s: float | None = None,
    control_epochs: int | None = None,
    out: Path | str | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Comparison:
    """Train every network with every method on one split and say which is best.

    Args:
        data: as in `train`.
        backbones: names; or ``available``, those whose weights are on this machine; or ``families``, the smallest of
            each family.
        methods: names.
        budget_s: seconds; successive halving drops what does worst on a share of the pictures.
        control_epochs: epochs of a network from random weights, which show what transfer has gained; 0: none. It is
            the quickest of those that cannot be told from the best. By default 5, and more where pictures are few: it
            is to take as many steps as the shortest of the others.
        out: the comparison's folder, ``comparisons/<name of data>`` by default. One that is there already and was not
            finished is gone on with when the settings are the same; else it is left alone and -2 is taken.
        progress: says what is going on; silent by default.
        settings: any other field of `Config`, by name; the same for all cells. With folds, every cell is
            cross-validated on the same ones.

    Raises:
        RegraftError: nothing could be compared. A cell that fails is a row with its reason.
    """
    progress = progress or Progress()
    refuse_idle("compare", settings, IDLE)
    config = Config(**settings)
    config.refuse_target("compare")
    if config.folds and budget_s is not None:
        raise ConfigError("--budget chooses by a part that --folds would test on; give one of them.")
    started, manifest = time.perf_counter(), told(scan(Path(data), **config.reading), progress)
    if config.folds:
        refuse_parts(manifest, settings)
        into_folds(manifest, config.folds, val=config.val, seed=config.seed)
    else:
        # parts that cannot be made are said before anything is computed
        parts = into_parts(manifest, config, config.split_from)
        for notice in (*idle_shares(manifest, config, settings), *few_tested(parts, manifest, config)):
            progress.warn(notice)
    cells = [Cell(backbone, method) for backbone in listed_backbones(backbones) for method in _methods(methods)]
    wish = {
        "data": str(Path(data).absolute()),
        "pictures": _digest(manifest),
        "cells": [cell.name for cell in cells],
        "control_epochs": control_epochs,
        "budget_s": budget_s,
        "settings": config.as_dict(),
    }
    wanted = Path(out) if out else Path("comparisons") / (Path(data).stem or "data")
    runs.new_folder(wanted, Path(data))  # a place that cannot be written to is said now
    seen = look_over(manifest, config, progress)
    folder = _folder(wanted, wish, manifest)
    asked = {"--budget": f"{budget_s:.0f}s" if budget_s is not None else None, "--control-epochs": control_epochs}
    again = command(
        "compare",
        wish["data"],
        *("--backbones", ",".join(dict.fromkeys(cell.backbone for cell in cells))),
        *("--methods", ",".join(dict.fromkeys(cell.method for cell in cells))),
        *(word for name, value in asked.items() if value is not None for word in (name, value)),
        **changed(config.as_dict()),
    )
    table = Table(Path(data), folder, config, cells, progress, started, again, seen)
    with runs.alone_in(folder):
        return table.fill(manifest, budget_s, control_epochs, wish)


def listed_backbones(wish: str | Sequence[str]) -> list[str]:
    """Return the networks that a wish stands for: names, ``available`` or ``families``; each once, by its own name.

    Raises:
        ConfigError: nothing is wished for.
        UnknownName: there is no such network.
        WeightsMissing: ``available``, and there are none.
    """
    wanted = _listed(wish, "--backbones")
    if wanted == ["available"]:
        if found := [name for name in names() if available(name)]:
            return found
        raise WeightsMissing("No network's weights are on this machine. See `regraft doctor`, or name --backbones.")
    if wanted == ["families"]:
        return list({family.name: family.members[0] for family in reversed(FAMILIES)}.values())[::-1]
    return list(dict.fromkeys(canonical(name) for name in wanted))


def _methods(wish: str | Sequence[str]) -> list[str]:
    wanted = _listed(wish, "--methods")
    for name in wanted:
        check_method(name)
    return list(dict.fromkeys(wanted))


def _listed(wish: str | Sequence[str], option: str) -> list[str]:
    wanted = [name.strip() for name in wish.split(",") if name.strip()] if isinstance(wish, str) else list(wish)
    if not wanted:
        raise ConfigError(f"{option} names nothing. Expected names joined by commas; without it there is a default.")
    return wanted


def _digest(manifest: Manifest) -> str:
    """Return what tells these pictures from others: a comparison goes on with the pictures that it has begun with."""
    sizes = [item.path.stat().st_size if item.path.exists() else 0 for item in manifest.items]
    known = [
        (item.name, item.label, item.group, item.part, size) for item, size in zip(manifest.items, sizes, strict=True)
    ]
    return hashlib.sha256(repr((manifest.classes, known)).encode()).hexdigest()[:16]


def _changed_since(folder: Path, manifest: Manifest) -> bool:
    """Say whether a picture has another content than when a comparison began, by the first split that it has kept."""
    kept = next(iter(sorted(folder.rglob("split.csv"))), None)
    if kept is None:  # nothing has been learned
        return False
    digests = read_digests([item.path for item in manifest.items])
    known = dict(zip((item.name for item in manifest.items), digests, strict=True))
    return bool(other_pictures(known, kept).get("changed"))


def _folder(wanted: Path, wish: Mapping[str, Any], manifest: Manifest) -> Path:
    """Return the folder of an unfinished comparison with the same settings and pictures, else a new one."""
    existing = [folder for folder in runs.numbered(wanted) if (folder / leaderboard.SETTINGS).exists()]
    for folder in existing:
        about = runs.read_json(folder / leaderboard.SETTINGS)
        if about.get("wish") == wish and not about.get("finished") and not _changed_since(folder, manifest):
            return folder
    about = {"wish": wish, "finished": False, "environment": runs.environment()}
    return runs.claim(wanted, wanted, lambda made: runs.write_json(made / leaderboard.SETTINGS, about))


@dataclass(frozen=True)
class Tried:
    """What tried.json holds: the accuracy on validation pictures, and how long all pictures would take."""

    accuracy: Share
    seconds: Seconds


@dataclass(frozen=True, eq=False)
class Network:
    """A network with its weights, its methods' plans and its frozen part over all pictures."""

    start: Start
    plans: dict[Cell, Plan]
    prefix: Prefix
    manifest: Manifest  # the readable pictures, in the order of the prefix
    pass_s: float
    predict_s: float  # for one picture, decoding included
    weights: dict[str, Any]  # as they were: every method starts from them

    def restore(self) -> None:
        """Undo what a method has trained."""
        self.start.backbone.model.load_state_dict(self.weights)


@dataclass(eq=False)
class Table:
    """The comparison while it is made."""

    data: Path
    folder: Path
    config: Config
    cells: list[Cell]
    progress: Progress
    started: float
    again: str  # the command that does the same
    seen: Surveyed  # what is known of the files: all networks see the pictures on one scale
    rows: dict[Cell, Row] = field(default_factory=dict)
    answers: dict[Cell, Answers] = field(default_factory=dict)
    parts: list[Manifest] = field(default_factory=list)  # one, or one for each fold
    skipped: Mapping[str, str] = field(default_factory=dict)  # what cannot be read, and why
    control: Control | None = None
    parted: bool = False  # the manifest has its parts before anything is read: the rounds of a budget need them

    def fill(
        self, manifest: Manifest, budget_s: float | None, control_epochs: int | None, wish: Mapping[str, Any]
    ) -> Comparison:
        """Go through the cells, network by network, and write the table after each of them."""
        interrupted = False
        try:
            cells = self.cells
            if budget_s is not None:
                manifest, self.parted = into_parts(manifest, self.config, self.config.split_from), True
                cells = self._halve(manifest, budget_s)
            for backbone in dict.fromkeys(cell.backbone for cell in cells):
                manifest = self._fill_network(manifest, [cell for cell in cells if cell.backbone == backbone])
            spent_s = time.perf_counter() - self.started
            over = budget_s is not None and spent_s > budget_s
            if over:
                self.progress.warn(
                    f"It took {leaderboard.duration(spent_s)}, the budget was {leaderboard.duration(budget_s or 0)}: "
                    "what was not dropped ran to its end."
                )
            if over and control_epochs is None:
                self.progress.warn("There is no control from random weights; --control-epochs 5 would train one.")
            elif control_epochs != 0 and self.answers:
                self._add_control(manifest, control_epochs)
        except KeyboardInterrupt:
            interrupted = True
        if not self.answers:
            if interrupted:
                raise KeyboardInterrupt
            first = next(row for row in self.rows.values() if row.status == "failed")
            if not any(path.is_dir() for path in self.folder.iterdir()):
                files.remove_folder(self.folder)  # nothing has been learned
            raise RunError(f"Nothing could be trained of what was asked for; {first.backbone}: {first.reason}")
        findings = self._findings()
        findings.write(self.folder)
        about = {"wish": wish, "finished": not interrupted, "environment": runs.environment()}
        runs.write_json(self.folder / leaderboard.SETTINGS, about)
        return Comparison(self.folder, findings, interrupted)

    # ---- one network ------------------------------------------------------------------------------------------------

    def _fill_network(self, manifest: Manifest, cells: Sequence[Cell]) -> Manifest:
        """Fill a network's cells; returns the manifest of the readable pictures."""
        todo = [cell for cell in cells if not self._read_back(cell)]
        network = None
        with self._failing(todo):
            network = self._open(manifest, todo) if todo else None
        if network is None:
            return manifest
        for cell in network.plans:
            with self._failing([cell]):
                self._learn(cell, network)
        return network.manifest

    @contextmanager
    def _failing(self, cells: Sequence[Cell]) -> Iterator[None]:
        """Record what goes wrong as these cells' result: the others go on."""
        try:
            yield
        except NotWritten:  # a full disk fails them all; with room on it the same command goes on
            raise
        except Exception as error:  # noqa: BLE001  whatever one network does, the night's other results are kept
            where = getattr(error, "filename", None) or type(error).__name__
            reason = str(error) if isinstance(error, RegraftError) else f"{where}: {reason_of(error)}"
            for cell in cells:
                if cell in self.cells:  # the control is no row of the table
                    self.rows[cell] = Row(cell.backbone, cell.method, "failed", reason=" ".join(reason.split()))
            self.progress.warn(f"{cells[0].backbone}, {', '.join(cell.method for cell in cells)}: {reason}")

    def _open(self, manifest: Manifest, cells: Sequence[Cell], *, sample: bool = False) -> Network | None:
        """Load a network and run its frozen part, once for all cells; a sample comes with its own parts.

        Returns None when no method can be planned on this network.
        """
        config = self._config(cells[0])
        start = begin(config)
        plans: dict[Cell, Plan] = {}
        for cell in cells:
            with self._failing([cell]):
                plans[cell] = plan_of(start.backbone, self._config(cell))
        if not plans:
            return None
        before = time.perf_counter()
        trained = len(manifest.part("train")) or None  # unless its parts are yet to be made
        manifest, prefix, skipped = activate(
            manifest,
            start.backbone,
            list(plans.values()),
            config,
            self.progress,
            networks=self._networks(),
            trained=trained,
            seen=self.seen,
        )
        start = replace(start, backbone=prefix.backbone)
        if not (self.parts or sample):
            self.skipped = skipped
            self._divide(manifest, prefix)
            self._ask_for_groups(manifest, prefix, list(plans.values()))
        learned = {index for parts in ([manifest] if sample else self.parts) for index in parts.part("train").tolist()}
        prefix.augmented(sorted(learned), max(plan.kept_views for plan in plans.values()))
        pass_s = time.perf_counter() - before
        weights = {name: tensor.clone() for name, tensor in start.backbone.model.state_dict().items()}
        return Network(start, plans, prefix, manifest, pass_s, prefix.seconds_per_picture(), weights)

    def _config(self, cell: Cell) -> Config:
        return replace(self.config, backbone=cell.backbone, method=cell.method)

    def _networks(self) -> int:
        return len({cell.backbone for cell in self.cells})

    def _divide(self, manifest: Manifest, prefix: Prefix) -> None:
        """Fix the split that all cells share."""
        kept = self.folder / "split.csv"
        if self.config.folds:
            self.parts = into_folds(manifest, self.config.folds, val=self.config.val, seed=self.config.seed)
        else:
            source = kept if kept.exists() else None if self.parted else self.config.split_from
            self.parts = [into_parts(manifest, self.config, source)]
            write_split(self.parts[0], kept, prefix.pictures.digests)
        for notice in notices(self.parts[0], prefix):
            self.progress.warn(notice)
        runs.write_skipped(self.folder / "skipped.csv", self.skipped)

    def _ask_for_groups(self, manifest: Manifest, prefix: Prefix, plans: Sequence[Plan]) -> None:
        drawn = manifest.with_parts([None] * len(manifest)) if self.parted else manifest
        parted = self.parts[0] if self.config.split_from else drawn  # those of a run or table are the user's
        keep_proposal(groups_of(parted, prefix, plans, self.config, self.progress), self.folder)

    # ---- one cell ---------------------------------------------------------------------------------------------------

    def _learn(self, cell: Cell, network: Network) -> None:
        before = time.perf_counter()
        folder, found = self.folder / cell.name, []
        for number, parts in enumerate(self.parts, start=1):
            where = folder / f"fold-{number}" if self.config.folds else folder
            self._carry_out(cell, network, parts, where)
            found.append(Answers.load(where))
        answers = Answers.together(found)
        row = self._row(cell, network, where, answers, time.perf_counter() - before)
        answers.save(folder)
        row.save(folder)
        self.answers[cell] = answers
        self._say(cell, row)

    def _carry_out(self, cell: Cell, network: Network, parts: Manifest, folder: Path) -> Run:
        network.restore()
        folder.mkdir(parents=True, exist_ok=True)
        run = carry_out(
            self.data,
            network.start,
            network.plans[cell],
            parts,
            network.prefix,
            self.skipped,
            replace(self._config(cell), folds=None),  # one of them
            folder,
            Bars(self.progress),
            started=time.perf_counter(),
            resume=True,
        )
        if run.interrupted:
            raise KeyboardInterrupt
        return run

    def _row(self, cell: Cell, network: Network, run: Path, answers: Answers, fit_s: float) -> Row:
        scores = evaluate(
            answers.probabilities,
            answers.labels,
            network.manifest.classes,
            answered=answers.given,
            groups=answers.groups,
            seed=self.config.seed,
        )
        return Row(
            cell.backbone,
            cell.method,
            "ok",
            run=str(self.folder / cell.name),
            n_test=scores.n,
            fit_s=fit_s,
            pass_s=network.pass_s,
            predict_ms=1000 * network.predict_s,
            size_mb=(run / "model" / "model.safetensors").stat().st_size / 1e6,
            test=scores.as_dict(),
            baseline=Baseline.of(
                answers.given,
                answers.labels,
                scores,
                network.manifest.classes,
                answers.groups,
                seed=self.config.seed,
            ).as_dict(),
        )

    def _read_back(self, cell: Cell) -> bool:
        """Take the result of a cell that an earlier, stopped comparison has filled.

        Raises:
            RunError: it is damaged, or was measured on other pictures than those before it.
        """
        folder = self.folder / cell.name
        try:
            row = Row.load(folder)
            answers = Answers.load(folder) if row is not None and row.status == "ok" else None  # and not dropped
        except RunError as error:
            raise RunError(f"{error} Without the folder {folder}, compare trains this row anew.") from error
        if row is None:
            return False
        if answers is not None:
            if any(not np.array_equal(other.labels, answers.labels) for other in self.answers.values()):
                raise RunError(
                    f"{folder} was measured on other pictures than the rows before it. Delete it, and compare again: "
                    "this row is trained anew."
                )
            row = replace(row, run=str(folder))  # wherever the comparison lay when it was written
            self.answers[cell] = answers
        self.rows[cell] = row
        return True

    def _say(self, cell: Cell, row: Row) -> None:
        self.rows[cell] = row
        self.progress.note(f"{len(self.rows)}/{len(self.cells)}  {row.line()}{self._left()}")
        if self.answers:
            self._findings().write(self.folder)

    def _left(self) -> str:
        """Say how long the missing cells will take, if networks differ as their multiply-adds to the power of 0.6 do.

        So they did in five folds on a CPU, from MobileNetV2's 0.3 GFLOPs to VGG16's 15: small layers are slow for what
        they do, and decoding costs the same for all.
        """
        size = self.config.img_size
        known = {
            card["name"]: (card["gflops"] / (card["input_size"] ** 2 if size else 1)) ** 0.6 for card in cards.read()
        }
        usual = median(known.values())
        done = [row for row in self.rows.values() if row.status == "ok"]
        missing = sum(known.get(cell.backbone, usual) for cell in self.cells if cell not in self.rows)
        if not (done and missing):
            return ""
        spent_s = sum(row.fit_s for row in done) + sum({row.backbone: row.pass_s for row in done}.values())
        each_s = spent_s / sum(known.get(row.backbone, usual) for row in done)
        return f", about {leaderboard.duration(each_s * missing)} left"

    def _findings(self) -> Findings:
        hits = {cell.name: answers.hits for cell, answers in self.answers.items()}
        groups = next(iter(self.answers.values())).groups
        missing = len(self.cells) - len(self.rows)
        proposal = proposed_in(self.folder)
        return Findings.of(
            self.rows.values(),
            hits,
            groups,
            self.control,
            missing=missing,
            again=self.again,
            of_groups=proposal.notice if proposal else "",
            seed=self.config.seed,
        )

    # ---- was transfer worth it? -------------------------------------------------------------------------------------

    def _add_control(self, manifest: Manifest, epochs: int | None) -> None:
        """Train a network once more, from random weights: of those that are as good as the best, the quickest.

        From random weights everything trains, in every epoch: for a VGG that takes longer than the whole comparison.
        With folds it is trained in the first one only, for the same reason. Of the network's methods that are as good,
        one with a learning curve is set against the control's.
        """
        fold = 1 if self.config.folds else None
        learned = {
            name_of(row): Learned.load(Path(row.run) / (f"fold-{fold}" if fold else ""))
            for row in self._findings().quickest_alike
        }
        chosen = min(self._findings().quickest_alike, key=lambda row: not learned[name_of(row)].curve)
        cell = Cell(chosen.backbone, "scratch")
        if cell in self.answers:
            return
        if epochs is None:
            parts = files.read_csv(Path(chosen.run) / (f"fold-{fold}" if fold else "") / "split.csv")
            epochs = max(CONTROL_EPOCHS, least_epochs(sum(row["split"] == "train" for row in parts), self.config))
        # it goes through all of them: on few pictures a network from random weights stands still for many epochs
        self.config = replace(self.config, epochs=epochs, patience=epochs, **PRETRAINED)
        with self._failing([cell]):
            self.progress.note(f"The control: {cell.backbone} from random weights, {epochs} epochs.")
            network = self._open(manifest, [cell])
            if network is None:
                return
            run = self._carry_out(cell, network, self.parts[0], self.folder / cell.name)
            best, scratch = learned[name_of(chosen)], Learned.load(run.folder)
            self.control = Control.of(chosen, best, scratch, epochs, fold=fold, seed=self.config.seed)
            self.progress.note(self.control.sentence())

    # ---- with a budget ----------------------------------------------------------------------------------------------

    def _halve(self, manifest: Manifest, budget_s: float) -> list[Cell]:
        """Return the cells that are worth training on all pictures of a manifest with its parts.

        Successive halving (Jamieson & Talwalkar 2016): all cells learn from a share of the training pictures, the
        better half by validation accuracy from twice as many, and so on until the rest fits the budget.
        """
        learn_from = manifest.keep(np.flatnonzero([item.part != "test" for item in manifest.items]))
        cells, share, tried = [cell for cell in self.cells if not self._read_back(cell)], LEAST_SHARE, {}
        while len(cells) > 1 and share < 1:
            try:
                sample = _sample(learn_from, share, self.config.seed)
            except SplitError:  # a class is too rare for so small a sample
                share = 2 * share
                continue
            tried = self._try(sample, cells, share, manifest)
            left_s = self.started + budget_s - time.perf_counter()
            ranked = sorted(tried, key=lambda cell: (-tried[cell][0], tried[cell][1]))  # of equal ones, the quickest
            if not ranked or sum(seconds for _, seconds in tried.values()) <= left_s:
                return ranked
            keep = 1 if left_s <= 0 else (len(ranked) + 1) // 2
            for cell in ranked[keep:]:
                reason = (
                    f"accuracy {tried[cell][0]:.3f} on validation pictures after learning from {share:.0%} of the "
                    f"data, the best {tried[ranked[0]][0]:.3f}"
                ) + ", in less time" * (tried[cell][0] == tried[ranked[0]][0])
                row = Row(cell.backbone, cell.method, "dropped", reason=reason)
                row.save(self.folder / cell.name)
                self._say(cell, row)
            cells, share = ranked[:keep], 2 * share
        if len(cells) > 1 and not tried:
            self.progress.warn(
                "The budget drops nothing: there are too few pictures to try the networks on some of them."
            )
        return cells

    def _try(
        self, sample: Manifest, cells: Sequence[Cell], share: float, whole: Manifest
    ) -> dict[Cell, tuple[float, float]]:
        """Return each cell's validation accuracy on a share of the pictures, and the seconds it would take on all."""
        tried: dict[Cell, tuple[float, float]] = {}
        folders = {cell: self.folder / "rounds" / f"{share:g}" / cell.name for cell in cells}
        for backbone in dict.fromkeys(cell.backbone for cell in cells):
            mine = [cell for cell in cells if cell.backbone == backbone]
            kept = {cell: runs.read_as(path, Tried) for cell in mine if (path := folders[cell] / TRIED).exists()}
            tried |= {cell: (found.accuracy, found.seconds) for cell, found in kept.items()}
            todo = [cell for cell in mine if cell not in kept]  # a comparison that was stopped has tried the others
            network = None
            with self._failing(todo):
                network = self._open(sample, todo, sample=True) if todo else None
            if network is None:
                continue
            for cell in network.plans:
                with self._failing([cell]):
                    tried[cell] = self._try_one(cell, network, folders[cell], whole)
        return tried

    def _try_one(self, cell: Cell, network: Network, folder: Path, whole: Manifest) -> tuple[float, float]:
        few, many = (
            steps(network.plans[cell], len(parts.part("train")), self.config) for parts in (network.manifest, whole)
        )
        folder.mkdir(parents=True, exist_ok=True)
        before = time.perf_counter()
        accuracy = self._validate(cell, network, folder)
        seconds = (time.perf_counter() - before) * many / few
        # what the frozen part has still to run on, for all methods of the network together
        seconds += network.predict_s * (len(whole) - len(network.manifest)) / len(network.plans)
        runs.write_json(folder / TRIED, {"accuracy": accuracy, "seconds": seconds})
        return accuracy, seconds

    def _validate(self, cell: Cell, network: Network, folder: Path) -> float:
        network.restore()
        plan, quiet = network.plans[cell], Bars(self.progress)
        plan = lengthened(plan, len(network.manifest.part("train")), self.config)
        learner = Learner(
            network.start.backbone, plan, network.manifest, network.prefix, self._config(cell), folder, quiet
        )
        head, stopped = learner.learn(earlier=network.start.earlier, resume=True)
        if stopped:
            raise KeyboardInterrupt
        probabilities = learner.probabilities(head, "val")
        labels = network.manifest.labels[network.manifest.part("val")]
        return float((probabilities.argmax(1) == labels).mean())


def _sample(manifest: Manifest, share: float, seed: int) -> Manifest:
    """Return a share of the pictures, each in train or val as before; smaller shares are part of larger ones."""
    taken = manifest
    while share < 1:
        # single pictures: groups have been kept apart already, and each is to be seen
        free = replace(taken, items=tuple(replace(item, part=None, group=None) for item in taken.items))
        taken = taken.keep(split(free, val=0.5, test=0.0, seed=seed).part("val"))
        share = 2 * share
    if not all(taken.counts(part)[name] for part in ("train", "val") for name in taken.classes):
        raise SplitError("A class is missing in train or val.")
    return taken
