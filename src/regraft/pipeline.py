"""Tell the story: scan, decode, activate, split, train, evaluate, keep. Read this first; folds.py does it in folds."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from regraft import bundle, files, methods, reporting, runs
from regraft.activations import Pictures, Prefix, engines
from regraft.answers import Answers
from regraft.audit import FINDINGS, Remark, audit_of, write_remarks
from regraft.backbones import Backbone
from regraft.baseline import Baseline, Circumstances, diverged, is_random, reasons
from regraft.calibration import before_and_after, fit_temperature, tempered
from regraft.classifier import Classifier
from regraft.config import Config, command, option
from regraft.data import (
    PARTS,
    Manifest,
    Preprocessing,
    Surveyed,
    augmentations,
    other_pictures,
    read_looks,
    scan,
    split,
    split_from,
    survey,
    write_split,
)
from regraft.data.audit import duplicates_across_parts, label_conflicts
from regraft.decision import Threshold, class_weights, fit_threshold, rates, shortfall, too_few
from regraft.errors import (
    BadImage,
    ConfigError,
    DataError,
    NotWritten,
    RunError,
    TargetMissed,
    TooManyBadImages,
    UnknownName,
)
from regraft.evaluation import Scores, defined, evaluate, write_predictions
from regraft.grouping import Proposal, propose
from regraft.intervals import few_to_test
from regraft.learning import Learner, lengthened
from regraft.plan import Plan, stage_table
from regraft.plots import confusion_matrix
from regraft.progress import Progress
from regraft.training import Stop, read_history
from regraft.weights import filled

MOST_JUDGED = 20_000  # pictures: a minute of reading for the report; `regraft check` takes any number
MOST_BAD = 0.05  # a folder with more unreadable files than this is rather the wrong folder than a good one with losses


@dataclass(frozen=True, eq=False)
class Run:
    """What came of a training: the folder that holds it and its figures on the test part."""

    folder: Path
    backbone: str
    method: str
    seconds: float  # of all processes that have worked on it, but for those that were killed
    test: Scores
    stopped: Stop | None = None  # where Ctrl-C ended it; None: it is finished
    threshold: dict[str, Any] | None = None  # with a target: the threshold, and what it reaches on val and test
    baseline: Baseline | None = None  # what always answering the commonest class would be right for
    folds: tuple[Run, ...] = ()  # of a cross-validation, whose `test` is measured on the answers of all of them

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
            **({"interrupted": True, "unfinished": asdict(self.stopped)} if self.stopped else {}),
            **(self._folds_as_dict() if self.folds else {}),
        }

    def _folds_as_dict(self) -> dict[str, Any]:
        return {
            "folds": [fold.as_dict() for fold in self.folds],
            "mean": {name: defined(value) for name, value in self.mean.items()},
            "deviation": {name: defined(value) for name, value in self.deviation.items()},
        }


def train(
    data: Path | str,
    *,
    out: Path | str | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    report: bool = True,
    **settings: Any,
) -> Run:
    """Train on one split; the arguments are those of `regraft.train`, which is this without folds."""
    started = time.perf_counter()
    progress = progress or Progress()
    data, wanted = Path(data), Path(out) if out else None
    folder = runs.folder_to_resume(wanted, data) if resume else runs.new_folder(wanted, data)
    config = runs.settings_of(folder, settings) if resume else Config(**settings)
    config.refuse_folds("pipeline.train")  # folds.train does
    check(config)
    manifest = told(scan(data, **config.reading), progress)
    check_target(config, manifest)
    manifest, unread = as_begun(manifest, folder) if resume else (manifest, {})
    if resume:
        refuse_other_pictures(manifest, folder)
    source = folder if resume else config.split_from
    # a split that cannot be made is said before anything is computed
    whole = None if resume else into_parts(manifest, config, source)
    for notice in [*idle_shares(manifest, config, settings), *few_tested(whole, manifest, config)] if whole else []:
        progress.warn(notice)
    start, plan = prepare(config, settings, progress)

    trained = len(whole.part("train")) if whole else None
    manifest, prefix, skipped = activate(manifest, start.backbone, [plan], config, progress, trained=trained)
    if resume:
        refuse_other_pictures(manifest, folder, prefix.pictures.digests)
    start = replace(start, backbone=prefix.backbone)
    skipped |= unread
    ungrouped = manifest
    manifest = whole if whole and not skipped else into_parts(manifest, config, source)
    for notice in (*notices(manifest, prefix), *learned_before(manifest, prefix, config)):
        progress.warn(notice)
    # drawn parts tear every group; those of a run or table are the user's
    proposal = None if resume else groups_of(manifest if source else ungrouped, prefix, [plan], config, progress)
    prefix.augmented(manifest.part("train").tolist(), plan.kept_views)

    if not resume:
        begin = partial(write_beginning, data, start, plan, manifest, prefix, skipped, config, proposal)
        folder = runs.claim(wanted, data, begin)
    with runs.alone_in(folder):
        run = _learned(data, start, plan, manifest, prefix, skipped, config, folder, progress, started, resume)
        if not run.interrupted:
            judge = partial(judged, manifest, plan, prefix, skipped, config, progress) if report else None
            finish(run, data, progress, judge)
    return run


def _learned(
    data: Path,
    start: Start,
    plan: Plan,
    manifest: Manifest,
    prefix: Prefix,
    skipped: Mapping[str, str],
    config: Config,
    folder: Path,
    progress: Progress,
    started: float,
    resume: bool,
) -> Run:
    """Carry the plan out, and say how it goes on where it cannot end."""
    try:
        run = carry_out(
            data,
            start,
            plan,
            manifest,
            prefix,
            skipped,
            config,
            folder,
            progress,
            started=started,
            resume=resume,
            awaits=True,
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt(going_on(data, folder)) from None
    except NotWritten as full:
        raise full.then(going_on(data, folder)) from full
    except TargetMissed as missed:
        again = command("train", data, "--out", folder, "--resume", option(f"target_{config.target[0]}"), "LESS")  # type: ignore[index]
        raise TargetMissed(f"{missed} What was learned is kept; in seconds: {again}") from None
    for notice in (*shortfall(run.threshold), *run.test.cautions()):
        progress.warn(notice)
    return run


def judged(
    manifest: Manifest, plan: Plan, prefix: Prefix, skipped: Mapping[str, str], config: Config, progress: Progress
) -> list[Remark] | None:
    """Judge the data by what the frozen part made of them; None where that was not kept: nothing runs twice for it."""
    cut = max(plan.cuts)
    if not prefix.keeps(cut) or len(manifest) > MOST_JUDGED:
        return None
    looks = read_looks([item.path for item in manifest.items], prefix.pictures.preprocessing, progress=progress)
    embeddings = prefix.at(cut).rows(range(len(manifest)), [0] * len(manifest))
    digests = prefix.pictures.digests
    return audit_of(manifest, digests, embeddings, looks, skipped=skipped, seed=config.seed, map_at_most=0).remarks


def finish(run: Run, data: Path, progress: Progress, judge: Callable[[], list[Remark] | None] | None) -> None:
    """Judge the data and write the page of a run, unless neither is wanted; then it is finished.

    All else is on the disk by now, and whatever goes wrong here leaves it there: the run goes on with its page.

    Raises:
        KeyboardInterrupt: Ctrl-C; says how the page is written later.
    """
    later = f"Write it with: {command('train', data, '--out', run.folder, '--resume')}"
    try:
        if judge is not None:
            if (found := judge()) is not None:
                write_remarks(run.folder / FINDINGS, found)
            reporting.report(run.folder)
        runs.finish(run.folder)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"{run.folder} is finished, but for its report. {later}") from None
    except Exception as error:  # noqa: BLE001 - a page that cannot be drawn must not end a run that has gone well
        said = str(error).split("\n")[0] or type(error).__name__
        progress.warn(f"The run is kept, but its report could not be written ({said}). {later}")


def going_on(data: Path, folder: Path) -> str:
    """Say how a run that was stopped goes on."""
    return f"Go on with: {command('train', data, '--out', folder, '--resume')}"


def carry_out(
    data: Path,
    start: Start,
    plan: Plan,
    manifest: Manifest,
    prefix: Prefix,
    skipped: Mapping[str, str],
    config: Config,
    folder: Path,
    progress: Progress,
    *,
    started: float,
    resume: bool = False,
    awaits: bool = False,
) -> Run:
    """Learn what the plan says on one split, measure it on the test part, and keep all of it in a run folder.

    The stages above the plan's cut learn in place: `start.backbone` is another network afterwards. What was learned
    before is only read back. A run that `awaits` more is not finished with its figures: that is for `finish`.
    """
    if resume and runs.learned(folder):
        files.remove_folder(folder / "checkpoints")  # a run may have been killed with these two left to do
        return read_back(folder, manifest, config)
    write_beginning(data, start, plan, manifest, prefix, skipped, config, None, folder)
    plan = lengthened(plan, len(manifest.part("train")), config)
    learner = Learner(start.backbone, plan, manifest, prefix, config, folder, progress)
    for notice in _few_to_fit(manifest, config):
        progress.warn(notice)
    head, stopped = learner.learn(earlier=start.earlier, resume=resume)
    untempered = {part: learner.probabilities(head, part) for part in ("val", "test")}
    labels = {part: manifest.labels[manifest.part(part)] for part in untempered}
    temperature = fit_temperature(untempered["val"], labels["val"], learner.shares)
    answers = {part: tempered(found, temperature, learner.shares) for part, found in untempered.items()}
    head.cool(temperature, learner.shares)
    threshold = _threshold(answers["val"], labels["val"], manifest, config)
    weights = None if threshold else class_weights(learner.shares, config.class_weights, answers["val"])
    about, spec = _about_model(start, plan, config, stopped), learner.spec()
    model = Classifier(start.backbone, head, manifest.classes, spec, about, temperature, threshold, weights)
    bundle.save(folder / "model", model)

    answered = {part: model.answers(found) for part, found in answers.items()}
    scores = {part: learner.score(answers[part], part, answered[part]) for part in answers}
    write_answers(folder, manifest, answers["test"], scores["test"], answered=answered["test"] if model.rule else None)
    reached = _reached(threshold, answered, labels, learner)
    baseline = _baseline(learner, start, answered["test"], answers["test"].argmax(1), scores["test"], stopped)
    seconds = time.perf_counter() - started + runs.spent_s(folder)
    run = Run(folder, start.backbone.name, config.method, seconds, scores["test"], stopped, reached, baseline)
    details = {
        "val": scores["val"].as_dict(),
        "per_class": scores["test"].per_class,
        "confusion": scores["test"].confusion.tolist(),
        "calibration": {
            "temperature": temperature,
            **before_and_after(
                {part: (untempered[part], labels[part]) for part in untempered}, temperature, learner.shares
            ),
        },
        "class_weights": weights and dict(zip(manifest.classes, weights, strict=True)),
    }
    runs.write_json(
        folder / runs.METRICS,
        {**run.as_dict(), "classes": list(manifest.classes), **details, **({runs.AWAITS: "report"} if awaits else {})},
    )
    if not stopped:
        files.remove_folder(folder / "checkpoints")  # nothing goes on from here
    return run


def write_beginning(
    data: Path,
    start: Start,
    plan: Plan,
    manifest: Manifest,
    prefix: Prefix,
    skipped: Mapping[str, str],
    config: Config,
    proposal: Proposal | None,
    folder: Path,
) -> None:
    """Write what a run needs to go on: its pictures with their parts, and its settings; and what it was told first."""
    keep_proposal(proposal, folder)
    plan = lengthened(plan, len(manifest.part("train")), config)
    write_split(manifest, folder / "split.csv", prefix.pictures.digests)
    runs.write_skipped(folder / "skipped.csv", skipped)
    runs.write_json(folder / runs.SETTINGS, about_run(data, config, plan, start))


def read_back(folder: Path, manifest: Manifest, config: Config) -> Run:
    """Return a run that has learned all it was to learn.

    Raises:
        RunError: pictures that it was tested on are gone.
    """
    about, answers = runs.read_as(folder / runs.METRICS, runs.Measured), Answers.load(folder)
    if answers.probabilities.shape[1] != len(manifest.classes):
        raise RunError(f"{folder} has other classes. Was a file of another run copied into it? Start a new run.")
    if len(answers.labels) != len(manifest.part("test")):
        raise RunError(
            f"{folder} was tested on {len(answers.labels)} pictures; {len(manifest.part('test'))} of them are here "
            "now. Put the others back, or start a new run without --resume."
        )
    scores = evaluate(
        answers.probabilities,
        answers.labels,
        manifest.classes,
        answered=answers.answered,
        groups=answers.groups,
        seed=config.seed,
    )
    given, seed = answers.given, config.seed
    baseline = Baseline.of(given, answers.labels, scores, manifest.classes, answers.groups, seed=seed)
    return Run(
        folder,
        about.backbone,
        about.method,
        about.seconds,
        scores,
        threshold=about.threshold,
        baseline=replace(baseline, reasons=tuple((about.baseline or {}).get("reasons", ()))),
    )


def _baseline(
    learner: Learner, start: Start, answered: np.ndarray, probable: np.ndarray, scores: Scores, stopped: Stop | None
) -> Baseline:
    """Set a run beside always answering the commonest class; where it is no better, say what the reason may be."""
    manifest, config = learner.manifest, learner.config
    labels = manifest.labels[manifest.part("test")]
    found = Baseline.of(answered, labels, scores, manifest.classes, learner.groups("test"), seed=config.seed)
    if found.verdict == "better":
        return found
    known = Circumstances(
        counts=manifest.counts("train"),
        others=len(labels) - manifest.counts("test")[found.label],
        tested=len(labels),
        size=start.backbone.preprocessing.size,
        epochs=config.epochs,
        unfinished=str(stopped or ""),
        diverged=diverged(read_history(learner.folder / "history.csv")),
        random=is_random(start.lineage) and learner.plan.cut > 0,
        costly=bool((answered == labels).mean() < (probable == labels).mean()),
        aimed=config.target is not None,
    )
    return replace(found, reasons=reasons(found, known))


# ---- where a class is answered --------------------------------------------------------------------------------------


def check_target(config: Config, manifest: Manifest) -> None:
    """Raise where a target cannot be meant: which class is the disease is never guessed.

    Raises:
        ConfigError: more than two classes, or a positive class without a target, or the other way round.
        UnknownName: there is no such class.
    """
    if config.target is None and config.positive is None:
        return
    given = option("positive" if config.target is None else f"target_{config.target[0]}")
    names = manifest.classes
    if len(names) != 2:
        raise ConfigError(
            f"{given} is for two classes; {manifest.root} has {len(names)}: {', '.join(names[:5])}"
            f"{' …' if len(names) > 5 else ''}. Leave it out, or sort the pictures into two folders."
        )
    if config.positive is None:
        raise ConfigError(
            f"{given} needs the class that is looked for: --positive {names[0]} or --positive {names[1]}?"
        )
    if config.positive not in names:
        raise UnknownName("class", config.positive, names)
    if config.target is None:
        raise ConfigError(f"{given} {config.positive} needs a target, such as --target-recall 0.99.")


def _target(config: Config) -> dict[str, Any]:
    assert config.target is not None
    return {"positive": config.positive, "target": config.target[0], "wanted": config.target[1]}


def _few_to_fit(manifest: Manifest, config: Config) -> list[str]:
    if config.target is None:
        return []
    notice = too_few(manifest.labels[manifest.part("val")], manifest.classes, **_target(config))
    return [notice] * bool(notice)


def _threshold(probabilities: np.ndarray, labels: np.ndarray, manifest: Manifest, config: Config) -> Threshold | None:
    return fit_threshold(probabilities, labels, manifest.classes, **_target(config)) if config.target else None


def _reached(
    threshold: Threshold | None, answered: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray], learner: Learner
) -> dict[str, Any] | None:
    """Return what metrics.json says of a threshold: on how many pictures it was fitted, and what it reaches."""
    if threshold is None:
        return None
    index = learner.manifest.classes.index(threshold.positive)
    truth = {part: found == index for part, found in labels.items()}
    reached = {
        part: rates(answered[part] == index, is_so, learner.groups(part), seed=learner.config.seed)
        for part, is_so in truth.items()
    }
    fitted_on = {"positive": int(truth["val"].sum()), "other": int((~truth["val"]).sum())}
    return {**asdict(threshold), "fitted_on": fitted_on, **reached}


def reached_by_folds(manifest: Manifest, answered: np.ndarray, config: Config) -> dict[str, Any] | None:
    """Return what the thresholds of all folds reach together; None without a target."""
    if config.target is None:
        return None
    index = manifest.classes.index(str(config.positive))
    reached = rates(answered == index, manifest.labels == index, manifest.groups, seed=config.seed)
    return {**_target(config), "test": reached}


# ---- what a run starts from -----------------------------------------------------------------------------------------


def check(config: Config) -> None:
    """Raise UnknownName for a misspelt method or augmentation, before anything is computed."""
    methods.check(config.method)
    augmentations(config.augment)


def prepare(config: Config, given: Mapping[str, Any], progress: Progress) -> tuple[Start, Plan]:
    """Build the network, plan what trains, and say so; `given` are the settings that the user gave."""
    start = begin(config, named="backbone" in given)
    plan = methods.plan(start.backbone, config)
    if start.earlier and (notice := runs.unfinished(str(config.from_run), None, start.earlier.about)):
        progress.warn(notice)
    progress.note(stage_table(start.backbone, plan))
    if idle := [option(name) for name in given if name in methods.idle_settings(plan)]:
        progress.warn(f"--method {config.method} makes no use of {', '.join(idle)} here.")
    return start, plan


@dataclass(frozen=True, eq=False)
class Start:
    """The network with its weights loaded, and where they come from, oldest first."""

    backbone: Backbone
    lineage: tuple[dict[str, Any], ...]
    earlier: Classifier | None = None  # the model trained before, with --from


def begin(config: Config, *, named: bool = False) -> Start:
    """Build the network and fill it: from published weights, or from a model trained before.

    Raises:
        ConfigError: the backbone was `named` by the user, and the earlier model has another one.
        WeightsError, BundleError: the tensors are not here, or not what they should be.
    """
    if config.from_run is not None:
        return _begin_from_run(Path(config.from_run), config, named)
    source = "random" if config.method == "scratch" else config.weights
    backbone, weights = filled(config.backbone, source, seed=config.seed)
    origin = {"weights": weights.source, "digest": weights.digest, "licence": weights.licence}
    return Start(backbone.sized(config.img_size, config.fit), (origin,))


def _begin_from_run(path: Path, config: Config, named: bool) -> Start:
    earlier = bundle.load(path)
    backbone = earlier.backbone
    if named and config.backbone != backbone.name:
        raise ConfigError(f"{path} was trained with {backbone.name}, not {config.backbone}. Leave out --backbone.")
    step = {"run": path.name, "method": earlier.about.get("method", ""), "classes": list(earlier.classes)}
    return Start(backbone.sized(config.img_size, config.fit), (*earlier.about.get("lineage", ()), step), earlier)


# ---- what is frozen runs once ---------------------------------------------------------------------------------------


def activate(
    manifest: Manifest,
    backbone: Backbone,
    plans: Sequence[Plan],
    config: Config,
    progress: Progress,
    *,
    networks: int = 1,
    trained: int | None = None,
    seen: Surveyed | None = None,
) -> tuple[Manifest, Prefix, dict[str, str]]:
    """Decode every picture once and run the frozen part on it, once for all plans.

    With several `networks` that see the same pixels, these are kept for the next one, where that is cheaper.
    `trained` says how many pictures are trained on, about; by default the share that the settings leave, and all of
    them with folds.

    `seen` is what `look_over` says of the same files and perhaps more of them; without it, they are surveyed here.

    Returns the manifest of the readable pictures, the prefix over exactly these, and why others are left out. The
    prefix's backbone knows on which scale the pictures are shown: a model must be kept with that one.

    Raises:
        TooManyBadImages: more than 5 % cannot be read, and ``allow_bad`` is off.
    """
    seen = seen or look_over(manifest, config, progress)
    backbone = replace(backbone, preprocessing=shown(backbone.preprocessing, seen, config))
    digests = [seen.digests[item.path] for item in manifest.items]
    skipped = {
        item.name: str(found)
        for item, found in zip(manifest.items, digests, strict=True)
        if isinstance(found, BadImage)
    }
    total = len(manifest)
    manifest, known = _without(manifest, skipped), [found for found in digests if isinstance(found, str)]
    augment = augmentations(config.augment)
    pictures = Pictures([item.path for item in manifest.items], known, backbone.preprocessing, augment, config.seed)
    if trained is None:
        trained = len(manifest) if config.folds else round(len(manifest) * (1 - config.val - config.test))
    at_once = round(trained * (1 - 1 / config.folds) * (1 - config.val)) if config.folds else trained
    epochs = {0: networks} if networks > 1 else {}
    for plan in plans:
        often = lengthened(plan, at_once, config).epochs
        epochs |= {cut: max(count * (config.folds or 1), epochs.get(cut, 0)) for cut, count in often.items()}
    prefix = Prefix(
        backbone,
        pictures,
        list(epochs),
        trained=trained,
        views=max(plan.kept_views for plan in plans),
        epochs=epochs,
        device=engines.pick_device(config.device),
        engine=config.engine,
        keep=config.keep,
        dtype=config.keep_dtype,
        limit_gb=config.cache_limit,
        progress=progress,
    )
    bad = prefix.plain()
    skipped |= {manifest.items[index].name: str(reason) for index, reason in bad.items()}
    _refuse_many_bad(skipped, total, config, progress)
    prefix.pictures = pictures.only([index for index in range(len(manifest)) if index not in bad])
    return _without(manifest, skipped), prefix, skipped


def look_over(manifest: Manifest, config: Config, progress: Progress) -> Surveyed:
    """Digest every file, find the scale on which pictures of more than 8 bits are shown, and say it."""
    seen = survey([item.path for item in manifest.items], **config.of_files, progress=progress)
    for notice in seen.notices:
        progress.warn(notice)
    return seen


def shown(look: Preprocessing, seen: Surveyed, config: Config) -> Preprocessing:
    """Return how a network sees these pictures: as its weights expect, on the scale found and the channels chosen."""
    return replace(
        look,
        file_channels=config.file_channels,
        value_range=seen.value_range,
        max_megapixels=config.max_megapixels,
    )


def _without(manifest: Manifest, skipped: Mapping[str, str]) -> Manifest:
    return manifest.keep([index for index, item in enumerate(manifest.items) if item.name not in skipped])


def as_begun(manifest: Manifest, folder: Path) -> tuple[Manifest, dict[str, str]]:
    """Leave out what a run could not read when it began: it goes on with its own pictures. Returns these as well."""
    rows = files.read_csv(folder / "skipped.csv", needed=["filename", "reason"])
    unread = {row["filename"]: row["reason"] for row in rows}
    return _without(manifest, unread), unread


def refuse_other_pictures(manifest: Manifest, run: Path, digests: Sequence[str] | None = None) -> None:
    """Raise where a run would go on with other pictures than it began with: its figures would be of neither.

    `run` holds the split.csv with the digests of then; without those of now only the names are compared.

    Raises:
        RunError: names the first picture that has changed, is missing or is new.
    """
    names = [item.name for item in manifest.items]
    known = dict(zip(names, digests or [""] * len(names), strict=True))
    for what, others in other_pictures(known, run / "split.csv").items():
        raise RunError(
            f"{run} was begun with other pictures: {len(others)} {what} since, the first {others[0]}. Put them back as "
            "they were, or start a new run without --resume."
        )


def _refuse_many_bad(skipped: Mapping[str, str], total: int, config: Config, progress: Progress) -> None:
    if not skipped:
        return
    first = "; ".join(f"{name}: {reason}" for name, reason in sorted(skipped.items())[:3])
    if len(skipped) > MOST_BAD * total and not config.allow_bad:
        raise TooManyBadImages(
            f"{len(skipped)} of {total} files cannot be read ({first}), more than {MOST_BAD:.0%}. "
            "Mend or remove them, or go on without them: --allow-bad"
        )
    progress.warn(f"{len(skipped)} of {total} files cannot be read and are left out, see skipped.csv ({first}).")


def into_parts(manifest: Manifest, config: Config, source: Path | None) -> Manifest:
    """Return the manifest with its parts: those of an earlier run or table, or held out as the settings say.

    Raises:
        DataError: no split as asked, or one without a class in train: unreadable files may have been all it had there.
    """
    given = split_from(manifest, source) if source else manifest
    parts = split(given, val=config.val, test=config.test, seed=config.seed)
    if absent := [name for name, count in parts.counts("train").items() if not count]:
        raise DataError(
            f"The class {absent[0]!r} has no picture in train that can be read: it cannot be learned. "
            "Add pictures to train, or remove the class."
        )
    if config.target and (absent := [name for name, count in parts.counts("val").items() if not count]):
        raise DataError(
            f"The class {absent[0]!r} has no picture in val: a threshold is fitted there and needs both classes. "
            "Add pictures to val, or remove that part so that one is drawn."
        )
    return parts


def idle_shares(manifest: Manifest, config: Config, given: Mapping[str, Any]) -> list[str]:
    """Return a sentence on each share that the user gave of a part that is there already."""
    shares = {"val", "test"} & given.keys()
    parted = split_from(manifest, config.split_from) if shares and config.split_from else manifest
    idle = [part for part in sorted(shares) if len(parted.part(part))]
    of = config.split_from or manifest.root
    return [f"{option(part)} has no effect: {of} has a {part} part of its own." for part in idle]


def few_tested(parts: Manifest, manifest: Manifest, config: Config) -> list[str]:
    """Return a sentence where a test part that is drawn from the manifest has few groups: folds would test them all."""
    groups = parts.groups
    if not groups or config.split_from or len(manifest.part("test")) or len(set(groups)) == len(groups):
        return []
    return few_to_test(len({groups[index] for index in parts.part("test")}), len(set(groups)))


def refuse_parts(manifest: Manifest, given: Mapping[str, Any]) -> None:
    """Raise where a test part is given beside folds, which make one of every picture: which of them was meant?

    Raises:
        ConfigError: it is asked for, by its share.
        DataError: the data has parts.
    """
    if "test" in given:
        raise ConfigError("--folds and --test contradict each other: with folds, each picture is tested once.")
    parts = [part for part in PARTS if len(manifest.part(part))]
    if parts:
        raise DataError(
            f"{manifest.root} has parts of its own ({', '.join(parts)}), and --folds makes others. Leave out --folds, "
            "or give pictures without parts, such as the folder of the training pictures alone."
        )


def told(manifest: Manifest, progress: Progress) -> Manifest:
    """Say how the data were read, before anything is computed on them; what is said later comes once."""
    for notice in manifest.notices:
        progress.warn(notice)
    return replace(manifest, notices=())


def notices(manifest: Manifest, prefix: Prefix) -> list[str]:
    """Return what the user should read: what the scan said, copies under two labels or in two parts."""
    found = [find(manifest.items, prefix.pictures.digests) for find in (label_conflicts, duplicates_across_parts)]
    copies = [finding.notice for finding in found if finding.notice]
    return [*manifest.notices, *copies]


def groups_of(
    manifest: Manifest, prefix: Prefix, plans: Sequence[Plan], config: Config, progress: Progress
) -> Proposal | None:
    """Ask the kept activations whether the pictures come in groups, and tell the user; nothing runs for it.

    `manifest` has the parts that were given, and none that were drawn. Where groups are given there is nothing to ask.
    """
    cut = max(cut for plan in plans for cut in plan.cuts)
    if config.groups is not None or not prefix.keeps(cut):
        return None
    kept = prefix.at(cut)
    proposal = propose(manifest, lambda which: kept.rows(which, [0] * len(which)), seed=config.seed)
    if proposal:
        progress.warn(proposal.notice)
    return proposal


def keep_proposal(proposal: Proposal | None, folder: Path) -> None:
    """Write groups.json, from which the page of a run is written."""
    if proposal:
        runs.write_json(folder / runs.PROPOSAL, proposal.as_dict())


def learned_before(manifest: Manifest, prefix: Prefix, config: Config) -> list[str]:
    """Return a sentence on the pictures of the test part that the model trained before has learned from."""
    if config.from_run is None:
        return []
    learned, test = bundle.learned_from(Path(config.from_run)), manifest.part("test")
    count = sum(prefix.pictures.digests[index] in learned for index in test)
    return [
        f"{count} of {len(test)} test pictures were used to train {config.from_run}: the figures on them are too good. "
        f"Its own parts keep them apart: --split-from {shlex.quote(config.from_run)}"
        f"{', without --folds' * bool(config.folds)}"
    ] * bool(count)


# ---- what is written ------------------------------------------------------------------------------------------------


def about_run(data: Path, config: Config, plan: Plan, start: Start) -> dict[str, Any]:
    """Return what config.json holds."""
    if config.from_run:  # whose network it is
        config = replace(config, backbone=start.backbone.name)
    return {
        "data": str(data.absolute()),
        "working_folder": str(Path.cwd()),  # what relative paths among the settings start from
        "settings": config.as_dict(),
        "plan": {
            "cut": plan.cut,
            "phases": [asdict(phase) for phase in plan.phases],
            "frozen_layers": list(plan.frozen_layers),
        },
        "lineage": list(start.lineage),
        "environment": runs.environment(),
    }


def _about_model(start: Start, plan: Plan, config: Config, stopped: Stop | None) -> dict[str, Any]:
    trained = [stage.name for stage in start.backbone.stages[plan.cut :]]
    about = {"method": config.method, "trained": [*trained, "head"], "lineage": list(start.lineage)}
    return {**about, "unfinished": asdict(stopped)} if stopped else about


def write_answers(
    folder: Path,
    manifest: Manifest,
    probabilities: np.ndarray,
    scores: Scores,
    *,
    folds: np.ndarray | None = None,
    answered: np.ndarray | None = None,
) -> None:
    """Write what was answered on the test part, picture by picture and as a confusion matrix."""
    Answers.of(manifest, probabilities, answered).save(folder)
    which = manifest.part("test")
    names, truth = [manifest.items[index].name for index in which], manifest.labels[which]
    write_predictions(folder / "predictions.csv", names, probabilities, manifest.classes, truth, folds, answered)
    confusion_matrix(scores.confusion, manifest.classes, folder / "confusion_matrix.svg")
