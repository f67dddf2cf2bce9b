"""Model x pictures -> predictions: predict for pictures without labels, evaluate for those with."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, overload

import numpy as np

from regraft import catalog, run_folder
from regraft.config import READING, Config, names_of, with_settings
from regraft.data import (
    Labelled,
    Manifest,
    Pictures,
    Reading,
    Tta,
    as_source,
    augmentations,
    gathered,
    name_some,
    read_digests,
    refuse_absent,
    scan,
)
from regraft.errors import ConfigError, DataError, ModelMissing, NoImages
from regraft.inference import about, bulk, exported, hub
from regraft.inference.answering import Answering, Prediction
from regraft.inference.results import Asked, Predicting, PredictionRow, Predictions, PredictionsFile
from regraft.metrics.baseline import Baseline, Circumstances, reasons
from regraft.metrics.functions import Scores
from regraft.metrics.predictions import Predicted
from regraft.metrics.thresholds import abstaining, rates, rounded
from regraft.metrics.tta import about_tta
from regraft.utils import files, tables
from regraft.utils.progress import Listener, Progress, listener

if TYPE_CHECKING:
    import pandas
    from typing_extensions import Unpack

    from regraft.inference.classifier import Classifier
    from regraft.utils import keywords

A = TypeVar("A", bound=Answering)

WNID = re.compile(r"n\d{8}(?![^ _-])")  # WordNet's identifier, alone or before a name


Model: TypeAlias = "str | os.PathLike[str] | Answering"
"""A run or bundle folder, or a `Run`, which stands for its folder; an exported .onnx file; a network's name; a model
already loaded."""


def open_model(model: Model, *, weights: str | None = None, progress: Progress | None = None) -> Classifier:
    """Return the model in a run or bundle folder, or a pretrained network by its name, with its own ImageNet head.

    `progress` hears where it is the model of an unfinished run.

    Raises:
        BundleError: a folder without a model.
        UnknownName: neither a folder nor a network.
        ConfigError: `weights` beside a model that brings its own; or what is no model, or an exported file.
    """
    from regraft.inference import bundle
    from regraft.inference.classifier import Classifier, pretrained

    _refuse_weights(model, weights)
    refuse_exported(model)
    found = model
    if not isinstance(found, Classifier):
        found = bundle.load_or(named(found), lambda name: pretrained(name, weights))
    _tell_unfinished(model, found, progress)
    return found


def open_answering(
    model: Model,
    accept: Callable[[Answering], None],
    *,
    weights: str | None,
    device: str = "auto",
    engine: str = "auto",
    progress: Progress,
) -> Answering:
    """Return a model that predicts: an exported file, or what the cache keeps of a bundle, where that is as good.

    `accept` raises where it is not what is asked for; a bundle's model is looked at before it is kept, which takes
    seconds.

    Raises:
        As `open_model`, and what `exported.open_file` raises.
    """

    def accepted() -> Classifier:
        loaded = open_model(model)
        accept(loaded)
        return loaded

    folder = None if isinstance(model, Answering) else about.folder_of(Path(named(model)))
    if is_exported(model) or (folder and weights is None and exported.answers_alike(device, engine)):
        _refuse_weights(model, weights)
        path = Path(named(model))
        found = exported.quick(path, accepted, progress) if folder else exported.open_file(path)
    else:
        found = model if isinstance(model, exported.Exported) else open_model(model, weights=weights)
    _tell_unfinished(model, found, progress)
    accept(found)
    return found


def refuse_exported(model: Model) -> None:
    """Raise ConfigError where a model is an exported file, and more is wanted of it than that it predicts."""
    if isinstance(model, exported.Exported) or is_exported(model):
        raise ConfigError(
            f"{called(model)} is an exported file, which can predict and nothing else. Name the run that it came from."
        )


def is_exported(model: Model) -> bool:
    """Say whether a model is named by an exported file."""
    return not isinstance(model, Answering) and Path(named(model)).suffix.lower() == exported.SUFFIX


def _refuse_weights(model: Model, weights: str | None) -> None:
    if weights is None:
        return
    own = isinstance(model, Answering) or is_exported(model) or about.folder_of(Path(named(model)))
    if own or Path(named(model)).is_dir():
        raise ConfigError(
            f"--weights {weights}: {called(model)} brings its own. Leave it out, or name a network instead."
        )


def _tell_unfinished(model: Model, found: Answering, progress: Progress | None) -> None:
    folder = None if isinstance(model, Answering) else about.folder_of(Path(named(model)))
    if progress and (notice := run_folder.unfinished(called(model), folder and folder.parent, found.about)):
        progress.warn(notice)


def named(model: Model) -> str:
    """Return the folder of a model, or a network's name, as text.

    Raises:
        ConfigError: what is no model.
    """
    if not isinstance(model, str | os.PathLike):
        raise ConfigError(
            f"A {type(model).__name__} is no model. Expected a run or bundle folder, a Run, a network's name, or what "
            "regraft.load gives."
        )
    return files.named_text(hub.local(model))


def called(model: Model) -> str:
    """Return what a message calls a model: as the user named it."""
    if isinstance(model, str) and hub.is_address(model):
        return model
    return "The model" if isinstance(model, Answering) else named(model)


def preflight_model(model: Model, pictures: Pictures = ()) -> None:
    """Refuse a model that is neither a folder nor a network, and pictures that are not there.

    Raises:
        ModelMissing, UnknownName: with the nearest names.
        DataMissing, ConfigError: no such picture; an address in the web.
    """
    refuse_absent(pictures)
    if isinstance(model, Answering):
        return
    model = named(model)
    if Path(model).exists():
        return
    if model.lower().endswith(".onnx"):
        raise ModelMissing(f"There is no file {model}. Expected one that regraft export has written.")
    if "/" in model or "\\" in model:
        raise ModelMissing(f"There is no folder {model}. Expected a run or bundle folder, or the name of a network.")
    catalog.check(model, " Nor is there a run or bundle folder of this name here.")


def check_abstaining(model: str, classifier: Answering, below: float | None) -> None:
    """Raise ConfigError where `below` is no probability, or the model has another rule of answering."""
    if below is None:
        return
    if not 0 <= below <= 1:
        raise ConfigError(f"--abstain-below is {below}; expected a probability from 0 to 1.")
    if classifier.threshold is not None:
        raise ConfigError(
            f"{model} predicts {classifier.threshold}. --abstain-below asks for another rule, and both do not go "
            "together. Leave it out, or use a model that was trained without a target."
        )


def _looking(model: Model, classifier: A, views: int | None, progress: Progress) -> A:
    """Return the model as it predicts from so many views; None: as it was trained to. What that costs is said.

    Raises:
        ConfigError: `views` is out of range.
    """
    own = classifier.tta
    if views is not None and (looks := classifier.about.get("looks")):
        raise ConfigError(f"{called(model)} looks at each picture {looks['views']} times itself: leave out --tta.")
    asked = own if views is None else Tta(views, _augmented_with(model, own))
    tta = asked.different
    if tta.views < asked.views:
        progress.warn(tta.fewer(asked.views))
    if tta.views != own.views and classifier.threshold is not None:
        progress.warn(
            f"The threshold, {rounded(classifier.threshold.value)}, was chosen {_looked_at(own.views)}: with --tta "
            f"{tta.views} the model may reach less than was asked, or more."
        )
    if views is None and tta.views > 1:
        progress.note(
            f"{called(model)} looks at each picture {tta.views} times, as in its training; --tta 1 is {tta.views} "
            "times as quick."
        )
    if tta.views > 1 and isinstance(classifier, exported.Exported) and classifier.any_size:
        raise ConfigError(f"{called(model)} makes its square itself, and so of one view: leave out --tta.")
    return classifier.viewed(tta)


def _looked_at(views: int) -> str:
    return "on plain pictures" if views == 1 else f"with --tta {views}"


def _augmented_with(model: Model, own: Tta) -> tuple[str, ...]:
    """Return what the training of a model may do to pictures, in an order that names it."""
    if own.augment:
        return own.augment
    asked = _setting_of(model, "augment")
    return augmentations(Config.augment if asked is None else asked)


@overload
def predict(
    model: Model, pictures: Pictures, *, out: None = None, format: str = "", **how: Unpack[Predicting]
) -> Predictions: ...
@overload
def predict(
    model: Model,
    pictures: Pictures,
    *,
    out: str | os.PathLike[str],
    format: str = "",
    **how: Unpack[Predicting],
) -> PredictionsFile: ...
@with_settings(top=1)
def predict(
    model: Model,
    pictures: Pictures,
    *,
    out: str | os.PathLike[str] | None = None,
    format: str = "",
    top: int = 1,
    probabilities: bool = False,
    tta: int | None = None,
    abstain_below: float | None = None,
    weights: str | None = None,
    channels: str | None = None,
    range: str | None = None,
    max_megapixels: int | None = None,
    device: str = "auto",
    engine: str = "auto",
    progress: Listener = None,
) -> Predictions | PredictionsFile:
    """Classify pictures: files, folders, globs, lists, bytes, Pillow images, arrays, open files, or a list of these.

    Returns a sequence of rows with filename, rank (1 to `top`), index, label, prob and error; a picture that cannot be
    read has one row with its error and nothing else. With `abstain_below`, a picture whose highest probability is lower
    has one row with that probability and no label. A model with a threshold answers by it: its label may be the less
    probable one. `channels`, `range` and `max_megapixels` are as in training; by default those of the model's.
    With `tta`, the probabilities are the mean over so many views of a picture, the plain one among them, which takes
    so many times as long; the others are mirrored, turned and changed as in the model's training. By default as the
    model was trained to predict; 1: from the plain picture alone.

    With `out` the rows are written there, of any number of pictures in constant memory, and what is returned says how
    many there are. What is done so far is kept beside the file: a call that was stopped, or killed, goes on when it is
    made again. The pictures are those that were listed at first.

    Args:
        model: a run or bundle folder, a `Run`, an exported .onnx file, a network's name, or what `regraft.load` gives.
        pictures: a str or path is a picture, a folder (all pictures below it, in natural order), a glob, or a list of
            paths: text with one a line, or a table (CSV, Parquet, JSON lines …) with a column of them; an array is
            uint8, RGB ``[h, w, 3]`` or ``[h, w]``. What is in memory is called by its file's name, or ``picture 1`` ….
        out: the file to write: .csv, .json, .jsonl or .parquet. What was there is replaced when it is whole.
        format: of that file, where its ending does not say it.
        top: how many classes for each picture.
        probabilities: whether rows have those of all classes too, as ``prob_<class>``.
        tta: views of each picture.
        abstain_below: a probability.
        weights: where a pretrained network's tensors come from.
        channels, range, max_megapixels: as in training.
        device, engine: as in the settings.
        progress: True shows bars and sentences, False nothing; by default there are warnings alone, `RegraftWarning`.

    Raises:
        ConfigError: what is no picture or no model; `abstain_below` is no probability, or the model has a threshold;
            `tta` is out of range; a picture in memory beside `out`, or another process writes there.
        DataMissing, ModelMissing: a path that is not there.
        DataError: a table without a column of paths.
        NoImages: nothing that looks like a picture.
    """
    progress = listener(progress)
    file = None if out is None else files.named_path(out)
    form = tables.format_of(format, file) if file else ""
    tables.check_writable(file)
    preflight_model(model, pictures)
    accept = partial(check_abstaining, called(model), below=abstain_below)
    classifier = open_answering(model, accept, weights=weights, device=device, engine=engine, progress=progress)
    classifier = _looking(model, classifier, tta, progress)
    if classifier.rule:
        progress.note(f"{called(model)} predicts {classifier.rule}.")
    asked = Asked(top, abstain_below, probabilities)
    of_files = Config(channels=channels, range=range, max_megapixels=max_megapixels).of_files
    computing = bulk.Computing(device, engine, of_files)
    found: Predictions | PredictionsFile
    if file is None:
        found = _predicted(pictures, asked, classifier, computing, progress)
    else:
        target = bulk.Target(file, form, asked, _unfinished(model))
        found = bulk.predict_into(target, pictures, classifier, computing, progress)
    if abstain_below is not None:
        progress.note(f"{found.unsure} of {found.pictures} pictures are unsure and get no label.")
    return found


def _unfinished(model: Model) -> dict[str, Any]:
    return {} if isinstance(model, Answering) else about.unfinished(Path(named(model)))


def _predicted(
    pictures: Pictures, asked: Asked, classifier: Answering, computing: bulk.Computing, progress: Progress
) -> Predictions:
    """Predict pictures into memory."""
    rows = list[PredictionRow]()
    with gathered(pictures, progress) as found:
        paths = [picture.path for picture in found]
        classifier = classifier.seeing(paths, progress, **computing.overrides)
        probabilities = np.full((len(found), len(classifier.classes)), np.nan)
        given = classifier.predict_files(paths, device=computing.device, engine=computing.engine, progress=progress)
        for at, (picture, prediction) in enumerate(zip(found, given, strict=True)):
            rows += asked.rows(picture.name, prediction, classifier)
            if prediction.probabilities is not None:
                probabilities[at] = prediction.probabilities
    return Predictions(tuple(rows), classifier.classes, probabilities)


@dataclass(frozen=True, repr=False)
class Evaluation:
    """A model's figures on labelled pictures."""

    model: str
    classifier: Classifier | exported.Exported
    seconds: float
    test: Scores
    skipped: dict[str, str]  # pictures that could not be read, and why
    threshold: dict[str, Any] | None = None  # of a model that has one, and what it reaches here
    abstain: dict[str, Any] | None = None  # coverage and accuracy where unsure pictures are not predicted
    baseline: Baseline | None = None  # always predicting the commonest class; None where there is one class only
    tta: dict[str, Any] | None = None  # where pictures were looked at several times: how often, and figures without

    def to_pandas(self) -> pandas.DataFrame:
        """Return the figures with their intervals as a pandas table, a row for each.

        Raises:
            MissingExtra: pandas is not installed.
        """
        return tables.to_pandas(self.test.rows(), "Evaluation.to_pandas")

    def __repr__(self) -> str:
        """Say what it is, with its accuracy alone."""
        return f"<Evaluation: {self.model}, {self.test.n} pictures, accuracy {self.test.values['accuracy']:.3f}>"

    def _repr_html_(self) -> str:
        return tables.as_html(self.test.rows(), title=f"{self.model}, {self.test.n} pictures")

    def as_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return {
            "run": self.model,
            "backbone": self.classifier.network_name,
            "method": self.classifier.about.get("method", "pretrained"),
            "n_test": self.test.n,
            "seconds": round(self.seconds, 2),
            "test": self.test.as_dict(),
            **({"baseline": self.baseline.as_dict()} if self.baseline else {}),
            **({"threshold": self.threshold} if self.threshold else {}),
            **({"abstain": self.abstain} if self.abstain else {}),
            **({"tta": self.tta} if self.tta else {}),
            **about.unfinished(Path(self.model)),
        }


@with_settings()
def evaluate(
    model: Model,
    data: Labelled,
    *,
    known_only: bool = False,
    tta: int | None = None,
    abstain_below: float | None = None,
    weights: str | None = None,
    channels: str | None = None,
    range: str | None = None,
    max_megapixels: int | None = None,
    device: str = "auto",
    engine: str = "auto",
    progress: Listener = None,
    **reading: Unpack[keywords.Reading],
) -> Evaluation:
    """Measure a model on labelled pictures: all of `data`, or its test part where it has parts.

    Pictures that the model has learned from are left out, by their content, where others remain; `progress` says so.
    Classes are matched by name, so the data may lack some of the model's classes, and be of one class only; pictures of
    classes that the model does not know are left out with `known_only`. `Evaluation.test` is measured on all
    pictures; with `abstain_below`, `Evaluation.abstain` says how many have a highest probability that is no lower, and
    how many of these are right. Intervals are drawn over `groups`, else over those of the run that made the model,
    where they fit the data; `reading` takes `groups` and the other settings of how data are read (label_pattern, images
    …), as in `train`. `tta`, `channels`, `range` and `max_megapixels` are as in `predict`.

    Raises:
        ConfigError: `abstain_below` is no probability, or the model has a threshold; `tta` is out of range.
        DataError: the data has a class that the model does not know, or with `known_only` none that it knows.
        NoImages: no picture could be read.
    """
    started, progress = time.perf_counter(), listener(progress)
    source = as_source(data)
    classifier = _evaluated(model, weights, progress)
    check_abstaining(called(model), classifier, abstain_below)
    classifier = _looking(model, classifier, tta, progress)
    found = _scan(source, reading, model, progress)
    for notice in found.notices:
        progress.warn(notice)
    known = _of_known_classes(_test_part(found), classifier, model, progress) if known_only else _test_part(found)
    manifest, unseen = _unseen(known, model, progress)
    if unseen:
        _tell_unknown_past(classifier, model, progress)
        _tell_known_groups(manifest, model, progress)
    labels = _labels_of_model(manifest, classifier, model)
    paths = [item.path for item in manifest.items]
    config = Config(channels=channels, range=range, max_megapixels=max_megapixels)
    classifier = classifier.seeing(paths, progress, **config.of_files)
    predictions = list(classifier.predict_files(paths, device=device, engine=engine, progress=progress))
    readable = {index: one.probabilities for index, one in enumerate(predictions) if one.probabilities is not None}
    skipped = {manifest.items[index].name: one.error for index, one in enumerate(predictions) if one.error}
    if not readable:
        raise NoImages(
            f"None of the {len(predictions)} pictures in {found.root} can be read; the first: {predictions[0].error}."
        )
    probabilities = np.stack(list(readable.values())).astype(np.float64)
    groups_of = manifest.groups  # made anew each time
    chosen = [groups_of[index] for index in readable] if groups_of else None
    tested = Predicted(probabilities, labels[list(readable)], chosen, classifier.answers(probabilities))
    for name, reason in skipped.items():
        progress.warn(f"{name} is left out: {reason}.")
    scores = tested.scores(classifier.classes)
    for caution in scores.cautions():
        progress.warn(caution)
    reached, baseline = _reached(classifier, tested), _baseline(classifier, tested, scores)
    abstain = None
    if abstain_below is not None:
        abstain = abstaining(probabilities, tested.labels, abstain_below, chosen, predicted=tested.predicted)
    once, seconds = _at_one_look(classifier, tested, predictions), time.perf_counter() - started
    return Evaluation(called(model), classifier, seconds, scores, skipped, reached, abstain, baseline, once)


def _evaluated(model: Model, weights: str | None, progress: Progress) -> Classifier | exported.Exported:
    if isinstance(model, exported.Exported):
        return model
    if is_exported(model):
        _refuse_weights(model, weights)
        return exported.open_file(Path(named(model)))
    return open_model(model, weights=weights, progress=progress)


def _at_one_look(classifier: Answering, tested: Predicted, predictions: Sequence[Prediction]) -> dict[str, Any] | None:
    """Return the figures of one look at each picture; None where there was no other."""
    if classifier.tta.views == 1:
        return None
    plain = np.stack([one.plain for one in predictions if one.plain is not None]).astype(np.float64)
    once = replace(tested, probabilities=plain, decided=classifier.answers(plain))
    return about_tta(classifier.tta.views, once, classifier.classes)


def _baseline(classifier: Answering, tested: Predicted, scores: Scores) -> Baseline | None:
    """Set a model beside always predicting the commonest class; None where these pictures are of one class."""
    if len(set(tested.labels.tolist())) == 1:
        return None
    found = tested.baseline(scores, classifier.classes)
    if found.verdict == "better":
        return found
    known = Circumstances(
        others=int((tested.labels != classifier.classes.index(found.label)).sum()),
        tested=len(tested.labels),
        size=classifier.preprocessing.size,
        costly=bool(tested.correct.mean() < tested.most_probable.correct.mean()),
        aimed=classifier.threshold is not None,
    )
    return replace(found, reasons=reasons(found, known))


def _scan(data: Path, reading: Mapping[str, Any], model: Model, progress: Progress) -> Manifest:
    """Group pictures as asked; else as the run did that made the model, where their names or columns allow it.

    Raises:
        ConfigError: a setting that says nothing of how data are read.
    """
    if idle := reading.keys() - set(names_of(READING)):
        raise ConfigError(
            f"evaluate makes no use of {', '.join(sorted(idle))}. Expected some of {', '.join(names_of(READING))}."
        )
    how = Reading(**Config(**reading).reading, learn=False)
    of_run = _setting_of(model, "groups") if how.groups is None else None
    if of_run is None:
        return scan(data, how)
    try:
        return scan(data, how._replace(groups=of_run))
    except DataError as error:
        manifest = scan(data, how)  # raises what else is wrong with the data
        progress.warn(f"{error} {called(model)} was trained with them; intervals are drawn over single pictures here.")
        return manifest


def _home(model: Model) -> Path | None:
    """Return the bundle's folder that a model lies in, or was loaded from; None where there is none."""
    return model.folder if isinstance(model, Answering) else about.folder_of(Path(model))


def _setting_of(model: Model, name: str) -> str | None:
    """Return a setting of the run that made the model, where the model lies in its run's folder."""
    folder = _home(model)
    if folder is None or not (folder.parent / run_folder.SETTINGS).exists():
        return None
    asked = run_folder.read_as(folder.parent / run_folder.SETTINGS, run_folder.Begun).settings.get(name)
    return asked if isinstance(asked, str) else None


def _reached(classifier: Answering, tested: Predicted) -> dict[str, Any] | None:
    threshold = classifier.threshold
    if threshold is None:
        return None
    index = classifier.classes.index(threshold.positive)
    return {**asdict(threshold), "test": rates(tested.predicted == index, tested.labels == index, tested.groups)}


def _test_part(manifest: Manifest) -> Manifest:
    test = manifest.part("test")
    return manifest.keep(test) if len(test) else manifest


def _unseen(manifest: Manifest, model: Model, progress: Progress) -> tuple[Manifest, bool]:
    """Return the pictures that a model has not learned from, and True; all of them, and False, where it knows all."""
    folder = _home(model)
    learned = about.learned_from(folder) if folder else set[str]()
    digests = read_digests([item.path for item in manifest.items]) if learned else []
    unseen = [index for index, digest in enumerate(digests) if digest not in learned]
    if not learned or len(unseen) == len(manifest):
        return manifest, True
    if not unseen:
        progress.warn(
            f"All {len(manifest)} pictures were used to train {called(model)}: these figures are too good. "
            "Those on its test part are in its metrics.json."
        )
        return manifest, False
    count = len(manifest) - len(unseen)
    progress.warn(f"{count} of {len(manifest)} pictures were used to train {called(model)} and are left out.")
    return manifest.keep(unseen), True


def _tell_unknown_past(classifier: Answering, model: Model, progress: Progress) -> None:
    """Say where nothing names the pictures that a model has learned from: they cannot be left out."""
    folder = _home(model)
    if classifier.trained and not (folder and about.learned_from(folder)):
        progress.warn(
            f"Which pictures {called(model)} has learned from cannot be told: it does not lie in its run's folder. "
            "If they are among these, the figures are too good."
        )


def _tell_known_groups(manifest: Manifest, model: Model, progress: Progress) -> None:
    """Say how many pictures, though new, are of patients or sources that the model has learned from."""
    folder = _home(model)
    if folder is None or not manifest.groups or not (folder.parent / "split.csv").exists():
        return
    rows = files.read_csv(folder.parent / "split.csv", needed=["group", "split"])
    known = {row["group"] for row in rows if row["split"] != "test"} - {""}
    count = sum(group in known for group in manifest.groups)
    if count:
        progress.warn(
            f"{count} of {len(manifest)} pictures are of groups that {called(model)} has learned from: "
            "figures on new groups may be lower."
        )


def _labels_of_model(manifest: Manifest, classifier: Answering, model: Model) -> np.ndarray:
    """Return the model's class of every picture, [n].

    Raises:
        DataError: a class that the model does not know.
    """
    by_name = _known_classes(manifest, classifier)
    unknown = [name for name, count in manifest.counts().items() if count and name not in by_name]
    if unknown:
        raise DataError(
            f"{called(model)} does not know the class{'es' if len(unknown) > 1 else ''} {name_some(unknown)}; it knows "
            f"{_some_classes(classifier)}. Rename the folder, train on these classes, or leave such pictures out: "
            "--known-only"
        )
    return np.array([by_name[manifest.classes[label]] for label in manifest.labels])


def _of_known_classes(manifest: Manifest, classifier: Answering, model: Model, progress: Progress) -> Manifest:
    """Return the pictures of classes that the model knows, and say how many are left out.

    Raises:
        DataError: there are none.
    """
    by_name = _known_classes(manifest, classifier)
    known = [at for at, item in enumerate(manifest.items) if manifest.classes[item.label] in by_name]
    unknown = [name for name in manifest.classes if name not in by_name]
    if not known:
        raise DataError(
            f"{called(model)} knows none of the classes {name_some(unknown)}; it knows {_some_classes(classifier)}."
        )
    if count := len(manifest) - len(known):
        progress.warn(
            f"{count} pictures of classes that {called(model)} does not know are left out: {name_some(unknown)}."
        )
    return manifest.keep(known)


def _known_classes(manifest: Manifest, classifier: Answering) -> dict[str, int]:
    """Return the model's index for every name of a class that stands for one of its classes."""
    by_name = {name: index for index, name in enumerate(classifier.classes)}
    if classifier.trained:
        return by_name
    # n02504013 may stand for "n02504013 Indian_elephant"; users' classes are as they are
    short = {name.split(" ")[0]: index for index, name in enumerate(classifier.classes)}
    return _imagenet_folders(manifest.classes, classifier.classes) | short | by_name


def _some_classes(classifier: Answering) -> str:
    return ", ".join(classifier.classes[:5]) + (" …" if len(classifier.classes) > 5 else "")


def _imagenet_folders(folders: Sequence[str], classes: Sequence[str]) -> dict[str, int]:
    """Other usual names for the folders of the 1000 ImageNet classes: ``n01440764_tench``, or the class's number."""
    wnids = {match[0]: index for index, name in enumerate(classes) if (match := WNID.match(name))}
    if len(wnids) != 1000:
        return {}
    numbers = {folder: int(folder) for folder in folders if folder.isdecimal() and int(folder) < len(classes)}
    named = {folder: wnids[match[0]] for folder in folders if (match := WNID.match(folder)) and match[0] in wnids}
    return numbers | named
