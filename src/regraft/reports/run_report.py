"""Run folder -> report.html: what a run found, on one page that anyone can open, print and pass on.

Everything is read from the run folder, so that the page of a finished run can be written anew, with equal bytes. Only
the pictures lie elsewhere; where they have gone, or changed, the page says so and does without them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from regraft import run_folder
from regraft.audit.groups import Proposal, proposed_in
from regraft.audit.identical import copies_that_differ, identical
from regraft.audit.judging import FINDINGS, Gathered, Remark, by_kind, gathered, read_remarks
from regraft.audit.orientation import Orientation, orientation_in
from regraft.config import ABOUT, Config, changed, command, from_folder, option, shown
from regraft.data import PARTS, decode, digest, read_corrections, told
from regraft.data.corrections import Correction
from regraft.data.reading import read_file
from regraft.data.rows import name_some
from regraft.errors import BadImage, RunError
from regraft.inference import bundle
from regraft.inference.classifier import Classifier
from regraft.inference.heatmaps import heat_maps, overlay
from regraft.methods._plan import StageRow, stage_rows
from regraft.metrics.baseline import sentences
from regraft.metrics.functions import METRICS, ClassScores, untested
from regraft.metrics.intervals import FOLDS, LEAST_GROUPS, few_groups, few_mistakes, few_of_classes, these_groups
from regraft.metrics.predictions import PREDICTIONS, Predicted
from regraft.metrics.thresholds import UNBALANCED, shortfall
from regraft.metrics.tta import sentence as sentence_of_tta
from regraft.reports.mistakes import Counted, counted
from regraft.training.history import epochs_of, read_history
from regraft.utils import files

MISTAKES, CORRECT = 12, 8  # pictures on the page, each with its heat map: about 15 kB
FEW_PICTURES = 30  # of a class in the test part; with fewer, its own figures say little


class Measure(NamedTuple):
    """A figure on the test part."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    these: tuple[float | None, float | None] | None  # for these groups alone, where there are groups
    meaning: str


class Confusion(NamedTuple):
    """How many pictures of one class were taken for another."""

    truth: str
    predicted: str
    pictures: int
    share: float  # of the true class


class GroupRow(NamedTuple):
    """The pictures of one patient or source."""

    group: str
    pictures: int
    right: int
    share: float


@dataclass(frozen=True)
class Shown:
    """A test picture on the page, as the network sees it."""

    name: str
    truth: str
    predicted: str
    probability: float  # of the predicted class
    pixels: np.ndarray  # uint8 [s, s, 3]
    heat: np.ndarray | None  # uint8 [s, s, 3], it under its heat map; None where no place speaks for the prediction


@dataclass(frozen=True)
class Files:
    """The files of a run's pictures, as far as they are where they were, and unchanged."""

    root: Path  # the folder that their names start from
    digests: Mapping[str, str]  # of what was in them; empty where that is not known

    @classmethod
    def of(cls, config: run_folder.Begun, split: Iterable[Mapping[str, str]]) -> Files:
        """Return the pictures of config.json and split.csv."""
        data = Path(config.data)
        digests = {row["filename"]: row.get("digest", "") for row in split}
        return cls(data if data.is_dir() else data.parent, digests)

    def read(self, name: str) -> bytes | None:
        """Return what is in a file; None where it is not the one that was used."""
        if name not in self.digests:
            return None
        try:
            content = read_file(self.root / name)
        except BadImage:
            return None
        return content if self.digests[name] in ("", digest(content)) else None


@dataclass(frozen=True, eq=False)
class Report:
    """What the page says about a run."""

    folder: Path  # absolute
    metrics: run_folder.Measured  # metrics.json
    config: run_folder.Begun  # config.json
    predictions: Predicted
    history: list[dict[str, Any]]
    split: list[dict[str, str]]
    skipped: list[dict[str, str]]
    stages: list[StageRow]
    about: dict[str, Any]  # bundle.json, of the first fold where there are folds
    mistakes: list[Shown]
    correct: list[Shown]
    missing: int  # pictures that were to be shown and are no longer there
    remarks: list[Remark] | None  # findings.csv; None where the data were not judged
    orientation: Orientation | None  # orientation.json: of pictures without an up or down
    proposal: Proposal | None  # groups.json: of groups that were not given

    # ---- figures ----------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """What the run is called."""
        return self.folder.name

    @property
    def classes(self) -> list[str]:
        """The class names, in the order of the probabilities."""
        return list(self.metrics.classes)

    @property
    def folds(self) -> int:
        """How many models predicted; 0 where it is one, on a test part."""
        return len(self.metrics.folds)

    @property
    def tested(self) -> int:
        """How many pictures were tested."""
        return len(self.predictions.labels)

    @property
    def accuracy(self) -> float:
        """Share of the test pictures that were predicted correctly."""
        return self.metrics.accuracy

    @property
    def interval(self) -> tuple[float, float] | None:
        """The accuracy's 95 % interval, where there is one."""
        return self._interval("accuracy_ci")

    @property
    def interval_of_these(self) -> tuple[float, float] | None:
        """The same for other pictures of these very groups."""
        return self._interval("accuracy_ci_these")

    def _interval(self, key: str) -> tuple[float, float] | None:
        low, high = self.metrics.interval(key) or (None, None)
        return None if low is None or high is None else (low, high)

    @cached_property
    def common(self) -> tuple[str, float]:
        """The most frequent class of the test pictures, and its share."""
        counts = np.bincount(self.predictions.labels, minlength=len(self.classes))
        return self.classes[int(counts.argmax())], float(counts.max() / counts.sum())

    @property
    def measures(self) -> list[Measure]:
        """Every figure with its interval and its meaning."""
        return [
            Measure(
                name.replace("_", " "),
                self.metrics.figure(name),
                *(self.metrics.interval(f"{name}_ci") or (None, None)),
                self.metrics.interval(f"{name}_ci_these"),
                metric.meaning,
            )
            for name, metric in METRICS.items()
            if name in self.metrics.test
        ]

    @property
    def of_tta(self) -> str:
        """Say how often each picture was looked at, and what one look gives; nothing where it was one."""
        return sentence_of_tta(self.metrics.tta, self.accuracy)

    @property
    def confusion(self) -> np.ndarray:
        """Counts [k, k], rows = truth."""
        return np.array(self.metrics.confusion)

    @property
    def positive(self) -> str | None:
        """The class that is looked for, if one is."""
        return self.metrics.positive

    @property
    def counted(self) -> list[Counted]:
        """How many pictures were missed, and how many were false alarms."""
        return counted(self.confusion, self.classes, self.positive)

    @property
    def confusions(self) -> list[Confusion]:
        """What is taken for what, the most frequent first."""
        counts, of = self.confusion, self.confusion.sum(1)
        pairs = [(row, column) for row, column in np.argwhere(counts).tolist() if row != column]
        found = [
            Confusion(self.classes[row], self.classes[column], int(counts[row, column]), counts[row, column] / of[row])
            for row, column in pairs
        ]
        return sorted(found, key=lambda one: (-one.pictures, -one.share))

    @cached_property
    def groups(self) -> list[GroupRow]:
        """Each group's figures, the worst first; none where the pictures are not grouped."""
        correct: dict[str, list[bool]] = defaultdict(list)
        for group, right in zip(self.predictions.groups or (), self.predictions.correct.tolist(), strict=False):
            correct[group].append(right)
        rows = [GroupRow(group, len(found), sum(found), sum(found) / len(found)) for group, found in correct.items()]
        return sorted(rows, key=lambda row: (row.share, -row.pictures))

    # ---- in plain words ---------------------------------------------------------------------------------------------

    @property
    def sentence(self) -> str:
        """Say in plain words what the accuracy means: for others where an interval tells how they vary."""
        of = 100 if self.accuracy <= 0.99 else 1000
        name, share = self.common
        interval = self.interval or self.interval_of_these
        if interval is None:
            return "How new pictures are predicted cannot be told from so little."
        others = "new pictures like these" if self.interval else f"other pictures of {self.these}"
        said = f"Of {of:,} {others}, expect about {of * self.accuracy:.0f} to be predicted correctly"
        low, high = (of * bound for bound in interval)
        said += f"; with 95 % confidence between {low:.0f} and {high:.0f}"
        always = f"Always predicting {name} would be right for {of * share:.0f} of them."
        if self.balanced is None:
            return f"{said}. {always}"
        if self._interval("balanced_accuracy_ci") or self._interval("balanced_accuracy_ci_these"):
            return f"{said}, and of each class, on average, {of * self.balanced:.0f} (balanced accuracy). {always}"
        right = f"{100 * self.balanced:.0f} % were predicted correctly (balanced accuracy)"
        return f"{said}. {always} Of the test pictures of each class, on average, {right}."

    @property
    def unfinished(self) -> str:
        """Say where Ctrl-C has ended the training; nothing of a finished run."""
        return str(self.metrics.unfinished or ("stopped early" if self.metrics.interrupted else ""))

    @property
    def going_on(self) -> str:
        """The command that finishes the run."""
        return command("train", self.config.data, "--out", self.name, "--resume")

    @property
    def these(self) -> str:
        """What the tested groups are called: ``these 5 groups``."""
        return these_groups(len(self.groups))

    @property
    def grave(self) -> list[str]:
        """Say first what was not tested, and what the model is not good for, and why."""
        return [*untested(self.metrics.per_class), *sentences(self.metrics.baseline, self.accuracy)]

    @property
    def per_class(self) -> list[ClassScores]:
        """The figures of each class that was tested."""
        return [row for row in self.metrics.per_class if row["support"]]

    @property
    def balanced(self) -> float | None:
        """The balanced accuracy, where classes are so unequal that it says something else than the accuracy."""
        share = self.common[1]
        found = self.metrics.figure("balanced_accuracy")
        return None if found is None or share * len(self.classes) <= UNBALANCED else found

    @property
    def cautions(self) -> list[str]:
        """Say what makes the figures less sure than they look."""
        few = [row["label"] for row in self.per_class if row["support"] < FEW_PICTURES]
        leaks = self._copies_apart if self.remarks is None else len(self.found.get("leak", ()))
        said = [
            (leaks > 1, f"{leaks} leaks between parts or groups were found, see Data: the figures may be too good."),
            (leaks == 1, "A leak between parts or groups was found, see Data: the figures may be too good."),
            (
                "close-parts" in self.found,
                "Many tested pictures lie nearer to a training picture than these to each other, see Data: the figures "
                "may be too good.",
            ),
            *((True, sentence) for sentence in self._shortfalls),
            (self.tested == 1, "There is no interval: one picture does not show how others vary."),
            (few, f"Fewer than {FEW_PICTURES} test pictures of {name_some(few, 5)}: their own figures say little."),
        ]
        return [sentence for holds, sentence in said if holds]

    @property
    def _shortfalls(self) -> list[str]:
        rare = few_of_classes(self.predictions.labels, self.predictions.groups, self.classes)
        return [*shortfall(self.metrics.threshold), *self._few, *rare]

    @property
    def _few(self) -> list[str]:
        if not self.groups or len(self.groups) == self.tested:
            return []
        every = len({row["group"] for row in self.split})
        more = not self.folds and self.config.settings.get("split_from") is None and every > len(self.groups)
        return [
            *few_groups(len(self.groups), FOLDS if more else ""),
            *few_mistakes(len(self.groups), self.accuracy, self.tested),
        ]

    @property
    def over(self) -> str:
        """Say what the intervals were drawn over."""
        return _some(len(self.groups), "group") if self.groups else _some(self.tested, "picture")

    @property
    def spread(self) -> str:
        """Say how far the groups lie apart; nothing where they are few."""
        if len(self.groups) < LEAST_GROUPS:
            return ""
        low, middle = np.quantile([row.share for row in self.groups], (0.1, 0.5), method="inverted_cdf")
        return f"Of half of the groups {100 * middle:.0f} % or less are right, of one in ten {100 * low:.0f} % or less."

    # ---- the data ---------------------------------------------------------------------------------------------------

    @property
    def parts(self) -> list[str]:
        """The parts of the split; with folds every picture has been in each of them."""
        return [] if self.folds else [part for part in PARTS if any(row["split"] == part for row in self.split)]

    @property
    def counts(self) -> dict[str, list[int]]:
        """How many pictures of each class lie in each part, and in all."""
        found = Counter((row["label"], row["split"]) for row in self.split)
        all_of = Counter(row["label"] for row in self.split)
        return {name: [*(found[name, part] for part in self.parts), all_of[name]] for name in self.classes}

    @property
    def _digests(self) -> list[str | BadImage]:
        return [row.get("digest") or BadImage("unknown") for row in self.split]

    def _copies(self, trait: str) -> int:
        """How many pictures, as copies byte for byte, differ in what split.csv says of them."""
        return len(copies_that_differ(self.split, self._digests, itemgetter(trait)))

    @property
    def _copies_apart(self) -> int:
        """How many pictures lie in two parts, as copies; with folds every picture has been in each part."""
        return 0 if self.folds else self._copies("split")

    @property
    def findings(self) -> list[str]:
        """Say what the files themselves show: unreadable ones, copies, groups in two parts."""
        groups = len({row["group"] for row in self.split if row["group"]})
        in_groups = f", in {_some(groups, 'group')}" if groups else ""
        both = f"{_count(self._copies_apart, 'picture')} in two parts, as copies."
        return [
            f"{len(self.split)} pictures were used{in_groups}; {len(self.skipped) or 'none'} could not be read.",
            *told(self.corrections),
            f"{_count(len(identical(self._digests)), 'file')} there more than once, byte for byte.",
            f"{_count(self._copies('label'), 'picture')} under two labels.",
            *([] if self.folds else [both]),
            *(["Groups were kept together: no group was both learned and tested."] if groups else []),
        ]

    @cached_property
    def found(self) -> dict[str, list[Gathered]]:
        """The findings of each kind that has some, the gravest kind first; each set of copies once."""
        return {kind: gathered(remarks) for kind, remarks in by_kind(self.remarks or ()).items()}

    @cached_property
    def files(self) -> Files:
        """The pictures' files."""
        return Files.of(self.config, self.split)

    # ---- how it came about ------------------------------------------------------------------------------------------

    @cached_property
    def settings(self) -> list[tuple[str, Any, Any, str]]:
        """Every setting: its option, its value, its default, what it does."""
        defaults, now = Config().as_dict(), self.config.settings
        helps = {name: about.described for name, about in ABOUT.items()}
        return [(option(name), shown(name, now[name]), defaults[name], helps[name]) for name in defaults if name in now]

    @property
    def command(self) -> str:
        """The command that trains the same again."""
        return command("train", self.config.data, **changed(self._given))

    @property
    def check_command(self) -> str:
        """The command that looks deeper into the data."""
        settings = self._given
        shared = [name for name, about in ABOUT.items() if "check" in about.use.commands and about.group != "Machine"]
        seen = {name: self._from_anywhere(name, settings.get(name)) for name in shared if name != "split_from"}
        parts = [] if self.folds else ["--split-from", self.name]  # of folds, every picture is in each part
        return command("check", self.config.data, *parts, **changed(seen))

    @cached_property
    def _given(self) -> dict[str, Any]:
        """The settings as a command gives them."""
        return run_folder.with_texts_in(self.folder, self.config.settings)

    @property
    def corrections(self) -> list[Correction]:
        """What a human had said of the pictures before the run."""
        return read_corrections(self.config.settings.get("corrections"))

    @property
    def corrected_command(self) -> str:
        """The command that trains the same with labels that were corrected on the page."""
        given = {name: self._from_anywhere(name, value) for name, value in changed(self._given).items()}
        return command("train", self.config.data, **{**given, "corrections": "corrections.csv"})

    def _from_anywhere(self, name: str, value: Any) -> Any:
        return from_folder(Path(self.config.working_folder), name, value)

    @property
    def epochs(self) -> int:
        """How many epochs it learned, in all phases."""
        return epochs_of(self.history)

    @property
    def lineage(self) -> list[dict[str, Any]]:
        """Where the weights come from, oldest first."""
        return list(self.about.get("lineage", ()))


def _some(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _count(number: int, noun: str) -> str:
    return f"{number or 'No'} {noun}{' is' if number < 2 else 's are'}"


# ---- read from its folder --------------------------------------------------------------------------------------------


def read(folder: Path, model: Classifier | None = None) -> Report:
    """Read what the page says from a run's folder; `model` is the first fold's, or the run's, where it is loaded.

    Raises:
        RunError, BundleError: as `report`.
    """
    if (folder / run_folder.SETTINGS).exists() and not (folder / run_folder.METRICS).exists():
        raise RunError(f"{folder} has no figures yet: its training has not ended. Go on with --resume.")
    metrics = run_folder.read_as(folder / run_folder.METRICS, run_folder.Measured)
    config = run_folder.read_as(folder / run_folder.SETTINGS, run_folder.Begun)
    parts = [folder / f"fold-{number}" for number in range(1, len(metrics.folds) + 1)]
    first = parts[0] if parts else folder
    predictions = Predicted.load(folder)
    rows = files.read_csv(folder / "predictions.csv", ["filename", "index", "label", "prob", "truth"])
    if len(rows) != len(predictions.labels):
        raise RunError(
            f"{folder} has {len(rows)} rows in predictions.csv and {len(predictions.labels)} in {PREDICTIONS}. "
            "Was a file of another run copied into it? Train again."
        )
    split = files.read_csv(first / "split.csv", ["filename", "label", "group", "split"])
    model = model or bundle.load(first)
    if not model.classes == metrics.classes or predictions.probabilities.shape[1] != len(model.classes):
        raise RunError(f"{folder} has other classes in its model than in its figures. Copy it again, or train again.")
    plan = config.plan
    show = _Pictures(folder, Files.of(config, split), model, rows)
    chosen = [*worst_mistakes(predictions), *typical_correct(predictions)]
    shown = show(chosen)
    return Report(
        folder.absolute(),
        metrics,
        config,
        predictions,
        read_history(folder / "history.csv"),
        split,
        files.read_csv(folder / "skipped.csv", ["filename", "reason"]),
        stage_rows(model.backbone, plan.cut, plan.frozen_layers, linear=bool(plan.phases[-1]["linear"])),
        model.about,
        [one for one in shown if one.truth != one.predicted],
        [one for one in shown if one.truth == one.predicted],
        len(chosen) - len(shown),
        read_remarks(folder / FINDINGS) if (folder / FINDINGS).exists() else None,
        orientation_in(folder),
        # to the run, or to the cross-validation or comparison that it is part of
        proposed_in(folder) or proposed_in(folder.absolute().parent),
    )


# ---- which pictures are shown ---------------------------------------------------------------------------------------


def worst_mistakes(predictions: Predicted) -> list[int]:
    """Return the wrong predictions that leave the true class least probability, the worst first."""
    true = predictions.probabilities[np.arange(len(predictions.labels)), predictions.labels]
    return [at for at in np.argsort(true, kind="stable").tolist() if not predictions.correct[at]][:MISTAKES]


def typical_correct(predictions: Predicted) -> list[int]:
    """Return correct predictions, the surest of each class in turn."""
    sureness = predictions.probabilities[np.arange(len(predictions.labels)), predictions.predicted]
    right = [at for at in np.argsort(-sureness, kind="stable").tolist() if predictions.correct[at]]
    nth: Counter[int] = Counter()
    turns = []
    for at in right:
        label = int(predictions.labels[at])
        turns.append((nth[label], label, at))
        nth[label] += 1
    return [at for _, _, at in sorted(turns)[:CORRECT]]


class _Pictures:
    """Shows test pictures by their position in predictions.csv."""

    def __init__(
        self, folder: Path, sources: Files, model: Classifier, predictions: Sequence[Mapping[str, str]]
    ) -> None:
        self.folder, self.sources, self.predictions = folder, sources, predictions
        self.models = {"": model}

    def __call__(self, positions: Sequence[int]) -> list[Shown]:
        rows = [self.predictions[at] for at in positions]
        found = [(row, pixels) for row, pixels in zip(rows, map(self._read, rows), strict=True) if pixels is not None]
        heats = self._heats([row for row, _ in found], [pixels for _, pixels in found])
        return [
            Shown(row["filename"], row["truth"], row["label"], float(row["prob"]), pixels, heat)
            for (row, pixels), heat in zip(found, heats, strict=True)
        ]

    def _read(self, row: Mapping[str, str]) -> np.ndarray | None:
        """Return the pixels as the network sees them; None where the file is not the one that was tested."""
        content = self.sources.read(row["filename"])
        try:
            return None if content is None else decode(content, self.models[""].backbone.preprocessing)
        except BadImage:
            return None

    def _heats(self, rows: Sequence[Mapping[str, str]], pixels: Sequence[np.ndarray]) -> list[np.ndarray | None]:
        """Return each picture under its heat map, of the model that predicted; all pictures of a model at once."""
        shown: list[np.ndarray | None] = [None] * len(rows)
        for fold in sorted({row.get("fold", "") for row in rows}):
            of = [at for at, row in enumerate(rows) if row.get("fold", "") == fold]
            predictions = np.array([int(rows[at]["index"]) for at in of])
            heats = heat_maps(self._model(fold), np.stack([pixels[at] for at in of]), predictions, device="cpu")
            for at, heat in zip(of, heats, strict=True):
                shown[at] = np.asarray(overlay(pixels[at], heat)) if heat.any() else None
        return shown

    def _model(self, fold: str) -> Classifier:
        """Return the model that gave the prediction."""
        if fold not in self.models:
            self.models[fold] = bundle.load(self.folder / f"fold-{fold}")
        return self.models[fold]
