"""Cut the pictures into folds and train once for each: every picture is tested by a model that has not seen it.

The frozen part of the network runs once for all folds. Each fold is a run folder of its own, so a cross-validation that
was stopped goes on with the fold that it was in.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from regraft import pipeline, runs
from regraft.activations import Prefix
from regraft.answers import Answers
from regraft.baseline import Baseline
from regraft.config import Config
from regraft.data import Manifest, into_folds, scan, write_split
from regraft.decision import shortfall
from regraft.errors import NotWritten
from regraft.evaluation import evaluate
from regraft.grouping import Proposal
from regraft.learning import lengthened
from regraft.pipeline import Run, Start
from regraft.plan import Plan
from regraft.progress import PartOf, Progress


def train(
    data: Path | str,
    *,
    out: Path | str | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    report: bool = True,
    **settings: Any,
) -> Run:
    """Train a classifier on a folder or table of labelled pictures and keep it, with its figures, in a run folder.

    With ``folds=5``, train five, each tested on another fifth of the pictures: `Run.folds` are their runs, `Run.mean`
    and `Run.deviation` their figures, and `Run.test` the figures of all their answers together.

    Args:
        data: ``DATA/<class>/<picture>``, ``DATA/{train,val,test}/<class>/<picture>``, or a CSV or Parquet table.
        out: the run folder; ``runs/<name of data>`` by default, with -2 behind it where that is taken.
        resume: go on with a run that was stopped; settings that are not given are those of that run.
        progress: says what is going on; silent by default.
        report: write report.html at the end, which takes some seconds; `regraft.report` writes it later.
        settings: any field of `Config`, by name.

    Raises:
        RegraftError: any of its kinds; the line says what was found, what was expected and what to do next.
        KeyboardInterrupt: Ctrl-C in a fold, or before the first epoch of a single run; says how it goes on.
    """
    wanted = Path(out) if out else None
    folder = runs.folder_to_resume(wanted, Path(data)) if resume else None
    config = runs.settings_of(folder, settings) if folder else Config(**settings)
    if config.folds is None:
        return pipeline.train(data, out=out, resume=resume, progress=progress, report=report, **settings)
    return _cross_validate(Path(data), config, settings, wanted, folder, progress or Progress(), report)


def _cross_validate(
    data: Path,
    config: Config,
    given: Mapping[str, Any],
    wanted: Path | None,
    begun: Path | None,
    progress: Progress,
    report: bool,
) -> Run:
    """Tell the story of `pipeline.train` for all folds; `begun` is the folder of a run that goes on."""
    started = time.perf_counter()
    if begun is None:
        runs.new_folder(wanted, data)  # a place that cannot be written to is said now
    pipeline.check(config)
    manifest = pipeline.told(scan(data, **config.reading), progress)
    pipeline.check_target(config, manifest)
    pipeline.refuse_parts(manifest, given)
    manifest, unread = pipeline.as_begun(manifest, begun) if begun else (manifest, {})
    if begun:
        pipeline.refuse_other_pictures(manifest, _folders(begun, config)[0])
    # folds that cannot be made are said before anything is computed
    whole = None if begun else _divide(manifest, config)
    start, plan = pipeline.prepare(config, given, progress)

    manifest, prefix, skipped = pipeline.activate(manifest, start.backbone, [plan], config, progress)
    if begun:
        pipeline.refuse_other_pictures(manifest, _folders(begun, config)[0], prefix.pictures.digests)
    start = replace(start, backbone=prefix.backbone)
    skipped |= unread
    folds = whole if whole and not skipped else _divide(manifest, config, begun)
    for notice in _notices(manifest, folds, prefix, config):
        progress.warn(notice)
    proposal = None if begun else pipeline.groups_of(manifest, prefix, [plan], config, progress)
    prefix.augmented(sorted({index for parts in folds for index in parts.part("train").tolist()}), plan.kept_views)

    spent_s = sum(map(runs.spent_s, _folders(begun, config))) if begun else 0.0
    folder = begun or runs.claim(
        wanted, data, partial(_begin, data, start, plan, folds, prefix, skipped, config, proposal)
    )
    with runs.alone_in(folder):
        runs.write_skipped(folder / "skipped.csv", skipped)
        try:
            learned = _learn(data, start, plan, folds, prefix, skipped, config, folder, progress)
            run = _together(manifest, folds, learned, config, folder, started - spent_s)  # as if in one go
        except KeyboardInterrupt:
            raise KeyboardInterrupt(pipeline.going_on(data, folder)) from None
        except NotWritten as full:
            raise full.then(pipeline.going_on(data, folder)) from full
        for notice in (*shortfall(run.threshold), *run.test.cautions()):
            progress.warn(notice)
        judge = partial(pipeline.judged, manifest, plan, prefix, skipped, config, progress) if report else None
        pipeline.finish(run, data, progress, judge)
    return run


def _begin(
    data: Path,
    start: Start,
    plan: Plan,
    folds: Sequence[Manifest],
    prefix: Prefix,
    skipped: Mapping[str, str],
    config: Config,
    proposal: Proposal | None,
    folder: Path,
) -> None:
    """Write what a run needs to go on: what is left out, the parts of each fold, and the settings."""
    pipeline.keep_proposal(proposal, folder)
    runs.write_skipped(folder / "skipped.csv", skipped)
    for where, parts in zip(_folders(folder, config), folds, strict=True):
        where.mkdir()
        write_split(parts, where / "split.csv", prefix.pictures.digests)
    longest = lengthened(plan, min(len(parts.part("train")) for parts in folds), config)
    runs.write_json(folder / runs.SETTINGS, pipeline.about_run(data, config, longest, start))


# ---- the folds ------------------------------------------------------------------------------------------------------


def _folders(folder: Path, config: Config) -> list[Path]:
    return [folder / f"fold-{number}" for number in range(1, (config.folds or 0) + 1)]


def _divide(manifest: Manifest, config: Config, begun: Path | None = None) -> list[Manifest]:
    """Return the manifest once for each fold, with its parts: those that a run has begun with, or new ones."""
    if begun is not None:
        return [pipeline.into_parts(manifest, config, where) for where in _folders(begun, config)]
    assert config.folds is not None
    return into_folds(manifest, config.folds, val=config.val, seed=config.seed)


def _numbers(folds: Sequence[Manifest]) -> np.ndarray:
    """Return the fold that tests each picture, [n], from 1."""
    numbers = np.zeros(len(folds[0]), np.int64)
    for number, parts in enumerate(folds, start=1):
        numbers[parts.part("test")] = number
    return numbers


def _notices(manifest: Manifest, folds: Sequence[Manifest], prefix: Prefix, config: Config) -> list[str]:
    """Return what the user should read: identical pictures in two folds, pictures that an earlier model has seen."""
    found = pipeline.notices(folds[0].with_parts([f"fold {number}" for number in _numbers(folds)]), prefix)
    return [*found, *pipeline.learned_before(_all_tested(manifest), prefix, config)]


def _all_tested(manifest: Manifest) -> Manifest:
    return manifest.with_parts(["test"] * len(manifest))


# ---- one after the other --------------------------------------------------------------------------------------------


def _learn(
    data: Path,
    start: Start,
    plan: Plan,
    folds: Sequence[Manifest],
    prefix: Prefix,
    skipped: Mapping[str, str],
    config: Config,
    folder: Path,
    progress: Progress,
) -> list[Run]:
    """Return a run for each fold; those that were finished before are only read back.

    Raises:
        KeyboardInterrupt: Ctrl-C; what the fold has learned so far is kept.
    """
    untrained = {name: tensor.clone() for name, tensor in start.backbone.model.state_dict().items()}
    learned = []
    for number, (where, parts) in enumerate(zip(_folders(folder, config), folds, strict=True), start=1):
        name = f"Fold {number} of {len(folds)}"
        start.backbone.model.load_state_dict(untrained)  # what trains learns in place
        run = pipeline.carry_out(
            data,
            start,
            plan,
            parts,
            prefix,
            skipped,
            replace(config, folds=None),  # it is one of them
            where,
            PartOf(progress, name),
            started=time.perf_counter(),
            resume=True,
        )
        if run.interrupted:
            raise KeyboardInterrupt
        progress.note(f"{name}: accuracy {run.test.values['accuracy']:.3f} on {run.test.n} pictures.")
        learned.append(run)
    return learned


# ---- all together ---------------------------------------------------------------------------------------------------


def _together(
    manifest: Manifest, folds: Sequence[Manifest], learned: Sequence[Run], config: Config, folder: Path, started: float
) -> Run:
    """Measure the answers of all folds together, and keep them in the order of the pictures.

    Probabilities of different models stand side by side here: AUROC compares them with each other, so it may lie a
    little below the mean over the folds (Forman & Scholz 2010).
    """
    probabilities = np.zeros((len(manifest), len(manifest.classes)))
    given = np.zeros(len(manifest), np.int64)
    for parts, run in zip(folds, learned, strict=True):
        answers = Answers.load(run.folder)
        probabilities[parts.part("test")], given[parts.part("test")] = answers.probabilities, answers.given
    answered = None if (given == probabilities.argmax(1)).all() else given  # each fold has a threshold of its own
    scores = evaluate(
        probabilities,
        manifest.labels,
        manifest.classes,
        answered=answered,
        groups=manifest.groups,
        seed=config.seed,
    )
    pipeline.write_answers(
        folder, _all_tested(manifest), probabilities, scores, folds=_numbers(folds), answered=answered
    )
    seconds = time.perf_counter() - started
    reached = pipeline.reached_by_folds(manifest, given, config)
    baseline = Baseline.of(given, manifest.labels, scores, manifest.classes, manifest.groups, seed=config.seed)
    why = dict.fromkeys(reason for run in learned if run.baseline for reason in run.baseline.reasons)
    run = Run(
        folder,
        learned[0].backbone,
        learned[0].method,
        seconds,
        scores,
        threshold=reached,
        baseline=baseline if baseline.verdict == "better" else replace(baseline, reasons=tuple(why)),
        folds=tuple(learned),
    )
    details = {"per_class": scores.per_class, "confusion": scores.confusion.tolist()}
    about = {**run.as_dict(), "classes": list(manifest.classes), **details, runs.AWAITS: "report"}
    runs.write_json(folder / runs.METRICS, about)
    return run
