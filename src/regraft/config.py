"""Define every setting once: keyword, option, docs row and run entry come from here."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
import reprlib
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from regraft.errors import ConfigError, reason_of
from regraft.utils import calls, files, plugins

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, eq=False)
class Use:
    """What settings of one kind are good for."""

    commands: tuple[str, ...]  # that take them as options
    idle: Mapping[str, str] = field(default_factory=dict)  # experiments that refuse them, and what to do instead


_TRAINS_NOTHING = {"check": "It trains nothing: leave it out, or give it to train."}
_FITS_NONE = dict.fromkeys(("compare", "recommend"), "Only train fits a threshold. Leave it out.")

NETWORK = Use(("train", "check"))  # of which the other experiments have many
METHOD = Use(("train",), _TRAINS_NOTHING)  # likewise
TRAINING = Use(("train", "compare"), _TRAINS_NOTHING)
TARGET = Use(("train",), _TRAINS_NOTHING | _FITS_NONE)
PARTS = Use(("train", "compare", "check"))
LOSSES = Use(("train", "compare", "recommend"))
SEEING = Use(("train", "compare", "recommend", "check"))
MACHINE = Use(SEEING.commands)
READING = Use((*SEEING.commands, "eval"))  # how the data are read
FILES = Use((*READING.commands, "predict", "explain", "features", "serve"))  # how a single file is
_ASK = ("eval", "predict", "explain", "features", "serve")  # a model, or a published network, by its name


@dataclass(frozen=True)
class About:
    """All that is known of a setting beside its name, kind and default."""

    help: str
    group: str  # under which it is listed
    use: Use
    option: str = ""  # where its name on the command line is another
    also: str = ""  # another name there
    choices: tuple[str, ...] = ()
    files_of: str = ""  # a package: each of its files is a choice, and {names} in the help stands for them
    within: tuple[float, float] | None = None
    not_with: tuple[str, ...] = ()  # settings that contradict it
    idle: Mapping[str, str] = field(default_factory=dict)  # experiments that refuse it, as with its use
    needs: str = ""  # without it, it means nothing: steps, a tail that trains, or several views
    may_change: bool = False  # when a run goes on: what was learned stays the same
    path: bool = False  # its text may be a path
    as_keyword: str = ""  # its type as a keyword, which takes more than what is kept; several values become one text
    content: bool = (
        False  # what is kept is the text in the file: it holds wherever that goes, and whatever becomes of it
    )
    separator: str = ","  # between these

    @property
    def known(self) -> tuple[str, ...]:
        """The names of which it must be one; none where it may be anything."""
        return (*self.choices, *(plugins.names(self.files_of) if self.files_of else ()))

    @property
    def instead(self) -> Mapping[str, str]:
        """The experiments that refuse it, and what to do instead."""
        return {**self.use.idle, **self.idle}

    @property
    def described(self) -> str:
        """What it does, in a sentence or two."""
        if not self.files_of:
            return self.help
        *most, last = plugins.names(self.files_of)
        return self.help.format(names=f"{', '.join(most)} or {last}")


def _setting(default: Any, help: str, **known: Any) -> Any:
    """Define a setting, with what is `known` of it (see `About`)."""
    return field(default=default, metadata={"about": About(help, **known)})


PRESETS: Mapping[str, Mapping[str, Any]] = {
    # four quarter turns at the end are as good as all eight symmetries on malaria cells, and half as dear
    "microscopy": {"augment": "flip,vflip,turn,rotate", "views": 8, "tta": 4},
}
"""Settings that go together, by the name of what they suit; those that are given beside it win."""


def _rows_of_presets() -> str:
    rows = {name: ", ".join(f"{one} {value}" for one, value in row.items()) for name, row in PRESETS.items()}
    return "; ".join(f"{name}: {row}" for name, row in rows.items())


@calls.named_rightly
@dataclass(frozen=True)
class Config:
    """What a run was asked to do. ``None`` means "what the method or the weights suggest"."""

    backbone: str = _setting(
        "tf_efficientnet_lite0",
        "The pretrained network; `regraft models` shows all, `regraft models --available` those with weights here.",
        group="Model",
        use=NETWORK,
        idle=dict.fromkeys(("compare", "recommend"), "Name one or more with --backbones."),
        also="--model",
    )
    method: str = _setting(
        "frozen",
        "{names}.",
        group="Model",
        use=METHOD,
        files_of="regraft.methods",
        idle={
            "compare": "Name one or more with --methods.",
            "recommend": "It fits a linear model on what each network makes of the pictures. Leave it out, or give "
            "it to train.",
        },
    )
    weights: str | None = _setting(
        None,
        "Where the tensors come from: the path of a file or folder, or one of {names}. Default: the first place that "
        "has them.",
        group="Model",
        use=Use((*NETWORK.commands, *_ASK, "export")),
        files_of="regraft.weights.sources",
        path=True,
    )
    from_run: str | None = _setting(
        None,
        "Start from a model trained before: its run or bundle folder, or hf://user/name on the hub.",
        group="Model",
        use=NETWORK,
        not_with=("weights",),
        path=True,
        idle={
            "compare": "Every network starts from its published weights. Leave it out, or give it to train.",
            "recommend": "It starts from published weights. Leave it out, or give it to train.",
        },
        option="--from",
    )
    img_size: int | None = _setting(
        None,
        "Side in pixels of the square that the network sees. Default: what the weights expect.",
        group="Model",
        use=Use((*SEEING.commands, "features")),
        within=(32, 2048),
    )
    fit: str = _setting(
        "stretch",
        "How a picture becomes a square: stretch shows all of it, its sides made equal; crop shows the centre, as "
        "ImageNet networks are measured. A border that ImageNet can spare may hold what your classes differ in.",
        group="Model",
        use=SEEING,
        choices=("stretch", "crop"),
    )
    unfreeze: str | None = _setting(
        None,
        "What trains beside the head: a stage's name (it and all after it), a number of last stages, or all. "
        "Default: with finetuned, the last stage.",
        group="Model",
        use=METHOD,
        as_keyword="str | int | None",
    )
    train_layers: int | None = _setting(
        None,
        "Train only the last N layers with weights of the network, beside the head.",
        group="Model",
        use=METHOD,
        within=(1, 1000),
        not_with=("unfreeze",),
    )
    hidden: int = _setting(
        256,
        "Width of the head's hidden layer; 0 for one linear layer.",
        group="Model",
        use=TRAINING,
        within=(0, 65536),
        needs="steps",
    )
    dropout: float = _setting(
        0.5,
        "Share of each dense layer's inputs that is dropped in training.",
        group="Model",
        use=TRAINING,
        within=(0.0, 0.95),
        needs="steps",
    )

    groups: str | None = _setting(
        None,
        "Keep pictures of one patient or source together: "
        "a regular expression on the file name, or on the path below DATA where it has a /, or a column of the table, "
        "or a tag of DICOM or EXIF headers (PatientID, DateTimeOriginal:day).",
        group="Data",
        use=READING,
    )
    path_column: str | None = _setting(
        None, "The table's column of files, or of their ids. Default: one with a usual name.", group="Data", use=READING
    )
    label_column: str | None = _setting(
        None, "The table's column of classes. Default: one with a usual name.", group="Data", use=READING
    )
    split_column: str | None = _setting(
        None,
        "The table's column of parts (train, val, test). Default: one with a usual name.",
        group="Data",
        use=READING,
    )
    images: Path | None = _setting(
        None,
        "The folder in which the table's files lie. Default: the table's own.",
        group="Data",
        use=READING,
        may_change=True,
    )
    label_pattern: str | None = _setting(
        None,
        "Find the class in every file's name: a regular expression, whose first group is the class.",
        group="Data",
        use=READING,
        not_with=("label_column",),
    )
    layout: str = _setting(
        "auto",
        "Whether the folders at the top are parts (train, test) or classes; auto: what their names and contents say.",
        group="Data",
        use=READING,
        choices=("auto", "parts", "classes"),
    )
    channels: str | None = _setting(
        None,
        "Which channels or pages of a file are shown as red, green and blue, such as 0,2,1; one alone, such as 2, is "
        "shown as grey. Needed where files hold more than three.",
        group="Data",
        use=FILES,
        as_keyword="str | int | Sequence[int] | None",
    )
    range: str | None = _setting(
        None,
        "Which values of files of more than 8 bits are shown black and white, such as 0:4095, the same for all "
        "pictures. Default: found from all pictures, and said.",
        group="Data",
        use=FILES,
        separator=":",
        as_keyword="str | tuple[float, float] | None",
    )
    max_megapixels: int | None = _setting(
        None,
        "Largest picture that is read; a plain JPEG may have 8 times as many, and a TIFF 256 times, since they are "
        "made smaller while they are read. Default: 89.",
        group="Data",
        use=FILES,
        within=(1, 10_000),
    )
    corrections: str | None = _setting(
        None,
        "A table of labels that a human has corrected, such as the corrections.csv that the page of a report or a "
        "check writes: its pictures get other classes, or are left out. The run keeps what is in it.",
        group="Data",
        use=SEEING,
        path=True,
        content=True,
    )
    val: float = _setting(
        0.15, "Share of the pictures that chooses the epoch.", group="Data", use=TRAINING, within=(0.01, 0.9)
    )
    test: float = _setting(
        0.15, "Share of the pictures that is only measured at the end.", group="Data", use=TRAINING, within=(0.01, 0.9)
    )
    folds: int | None = _setting(
        None,
        "Cross-validate: cut the pictures into so many parts, train once for each and test on it, so that every "
        "picture is tested once. Takes the place of --test.",
        group="Data",
        use=TRAINING,
        within=(2, 100),
        idle={"recommend": "Leave it out, or give it to train or compare."},
    )
    split_from: Path | None = _setting(
        None,
        "Use the parts of an earlier run, or of a CSV with a file and a split column.",
        group="Data",
        use=PARTS,
        not_with=("folds",),
    )
    allow_bad: bool = _setting(
        False, "Go on although more than 5 % of the files cannot be read.", group="Data", use=LOSSES, may_change=True
    )
    views: int | None = _setting(
        None,
        "Stored views per training picture: the plain one and V-1 augmented ones. Default: 1 where only the head "
        "trains, 2 with finetuned; a new one in every epoch with full and scratch.",
        group="Data",
        use=TRAINING,
        within=(1, 1000),
        needs="steps",
    )
    augment: str = _setting(
        "flip,crop",
        "What draws the views: any of flip, vflip, turn, rotate, crop, color, joined by commas.",
        group="Data",
        use=TRAINING,
        as_keyword="str | Sequence[str]",
        needs="views",
    )
    tta: int = _setting(
        1,
        "Test-time augmentation: predict from the mean over so many views of each picture, which takes so many times "
        "as long: the plain one, then mirrored and turned as `--augment` may, then drawn. The model keeps it, for "
        "predict and eval. 1: off.",
        group="Data",
        use=TRAINING,
        within=(1, 1000),
    )
    preset: str | None = _setting(
        None,
        "Settings for pictures of a kind; those given beside it win. Pictures without an up or down, such as cells, "
        f"tissue or leaves, are {_rows_of_presets()}.",
        group="Data",
        use=TRAINING,
        choices=tuple(PRESETS),
    )

    epochs: int | None = _setting(
        None,
        "Passes over the training pictures; for finetuned and full those of the second phase, after 10 of the head "
        "alone. Default: 30 with frozen, 8 with finetuned, 15 with full, 40 with scratch; and at least 250 steps in "
        "each phase where pictures are few.",
        group="Training",
        use=TRAINING,
        within=(1, 100_000),
        needs="steps",
    )
    batch_size: int = _setting(
        32,
        "Pictures per training step.",
        group="Training",
        use=TRAINING,
        within=(2, 65536),
        needs="steps",  # a batch of one has no statistics for batch normalisation
    )
    lr: float | None = _setting(
        None,
        "Largest learning rate of the head. Default: 0.0003 with frozen, 0.001 with scratch.",
        group="Training",
        use=TRAINING,
        within=(1e-8, 10.0),
        needs="steps",
    )
    tail_lr: float | None = _setting(
        None,
        "Largest learning rate of the pretrained layers that train; the head beside them has twice that, without --lr. "
        "Default: 0.0003 with finetuned, 0.0001 with full.",
        group="Training",
        use=TRAINING,
        within=(1e-8, 10.0),
        needs="tail",
    )
    weight_decay: float = _setting(
        0.05, "AdamW's weight decay.", group="Training", use=TRAINING, within=(0.0, 10.0), needs="steps"
    )
    label_smoothing: float = _setting(
        0.1,
        "Share of each label that is spread over all classes: the model learns less by heart, and is less sure of "
        "itself (Szegedy et al. 2016).",
        group="Training",
        use=TRAINING,
        within=(0.0, 0.9),
        needs="steps",
    )
    mixup: float = _setting(
        0.0,
        "Alpha of mixup's Beta distribution, for methods that train part of the network; 0 switches it off.",
        group="Training",
        use=TRAINING,
        within=(0.0, 10.0),
        needs="tail",
    )
    class_weights: str = _setting(
        "auto",
        "Predict rare classes before they are the most probable; probabilities stay as they are. auto: where the "
        "largest class is over 1.5 times the smallest, each counts by the square root of how much rarer it is, at most "
        "3 times, as far as that costs no more than 0.01 of accuracy by the probabilities. on: all classes are to be "
        "found equally well, whatever it costs. off: the most probable class is predicted.",
        group="Training",
        use=TRAINING,
        choices=("auto", "on", "off"),
    )
    patience: int = _setting(
        6,
        "Stop after this many epochs without a better validation loss; after more where few pictures make a phase "
        "longer.",
        group="Training",
        use=TRAINING,
        within=(1, 100_000),
        needs="steps",
    )
    seed: int = _setting(
        0,
        "Decides the split, the new head's first weights, the order of pictures and the views.",
        group="Training",
        use=SEEING,
        within=(0, 2**31 - 1),
    )

    positive: str | None = _setting(
        None,
        "Of two classes, the one that is looked for, such as a disease; needs a target.",
        group="Operating point",
        use=TARGET,
    )
    target_recall: float | None = _setting(
        None,
        "Predict the positive class from that probability on which finds this share of its validation pictures, with "
        "as few false alarms as that allows; instead of from 0.5 on.",
        group="Operating point",
        use=TARGET,
        within=(0.01, 1.0),
    )
    target_precision: float | None = _setting(
        None,
        "The same, so that this share of the pictures that are called positive are: as many found as that allows.",
        group="Operating point",
        use=TARGET,
        within=(0.01, 1.0),
        not_with=("target_recall",),
    )
    target_specificity: float | None = _setting(
        None,
        "The same, so that this share of the other class is not called positive: as many found as that allows.",
        group="Operating point",
        use=TARGET,
        within=(0.01, 1.0),
        not_with=("target_recall", "target_precision"),
    )

    device: str = _setting(
        "auto",
        "auto, cpu, cuda or mps.",
        group="Machine",
        use=Use((*MACHINE.commands, *_ASK)),
        may_change=True,
        choices=("auto", "cpu", "cuda", "mps"),
    )
    engine: str = _setting(
        "auto",
        "What runs the frozen part: auto, {names}; auto takes the quickest that runs here and pays.",
        group="Machine",
        use=Use((*MACHINE.commands, "features")),
        files_of="regraft.activations.engines",
        may_change=True,
        choices=("auto",),
    )
    precision: str = _setting(
        "auto",
        "What the frozen part is computed in: float32, bfloat16 or float16. auto: the fastest whose rows agree with "
        "those of float32, measured on your own pictures.",
        group="Machine",
        use=Use((*MACHINE.commands, "features")),
        may_change=True,
        choices=("auto", "float32", "bfloat16", "float16"),
    )
    logger: str | None = _setting(
        None,
        "Log curves, figures, settings and pages with {names}, or several joined by commas.",
        group="Machine",
        use=TRAINING,
        files_of="regraft.experiments.loggers",
        as_keyword="str | Sequence[str] | None",
        idle={"recommend": "It trains no network. Leave it out, or give it to train or compare."},
        may_change=True,
    )
    keep: str = _setting(
        "auto",
        "Keep the frozen part's outputs on disk: auto, always or never.",
        group="Machine",
        use=MACHINE,
        may_change=True,
        choices=("auto", "always", "never"),
    )
    keep_dtype: str = _setting(
        "float16",
        "Number format of kept outputs: float16 or float32.",
        group="Machine",
        use=MACHINE,
        choices=("float16", "float32"),
    )
    cache_limit: float = _setting(
        20.0,
        "Most gigabytes that kept outputs may take on disk, over all runs; the oldest go first.",
        group="Machine",
        use=Use((*MACHINE.commands, "features")),
        within=(0.0, 1e6),
        may_change=True,
    )

    def __post_init__(self) -> None:
        """Take a path as text or as `Path`, a number of stages as number or text; refuse what cannot be meant.

        Raises:
            ConfigError: a value outside its range, or two settings that contradict each other.
        """
        for name, hint in get_type_hints(Config).items():
            object.__setattr__(self, name, _typed(name, _as_kept(name, getattr(self, name), hint), hint))
        _ = self.file_channels, self.value_range  # refused now where they cannot be read
        for name, about in ABOUT.items():
            _refuse_outside(name, getattr(self, name), about)
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
        return {name: getattr(self, name) for name in names_of(READING)}

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

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as plain JSON values, in the order of definition."""
        return {
            name: str(value) if isinstance(value, Path) else value for name, value in dataclasses.asdict(self).items()
        }

    @classmethod
    def of(cls, **requested: Any) -> Config:
        """Return the settings that were asked for: those of a preset, if one is named, below those given beside it."""
        given = {name: value for name, value in requested.items() if value is not None}
        return cls(**{**requested, **PRESETS.get(str(given.get("preset")), {}), **given})

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Config:
        """Read what `as_dict` wrote.

        Raises:
            ConfigError: a setting that this version does not know: left out, the result would be another one.
        """
        if unknown := sorted(values.keys() - ABOUT.keys()):
            raise ConfigError(
                f"This version of Regraft does not know the settings {', '.join(unknown)}; a newer one wrote them. "
                "Update Regraft."
            )
        return cls(**values)


ABOUT: Mapping[str, About] = {spec.name: spec.metadata["about"] for spec in fields(Config)}


def names_of(*uses: Use) -> tuple[str, ...]:
    """Return the settings that are of these uses."""
    return tuple(name for name, about in ABOUT.items() if about.use in uses)


PATHS = tuple(
    name for name, hint in get_type_hints(Config).items() if ABOUT[name].path or Path in getattr(hint, "__args__", ())
)
"""Settings that may be a path, as from the folder in which a command was given."""

TARGETS = tuple(name for name in names_of(TARGET) if name.startswith("target_"))

EXCLUSIVE = tuple((other, name) for name, about in ABOUT.items() for other in about.not_with)
"""Settings that contradict each other."""


def _as_kept(name: str, value: Any, hint: Any) -> Any:
    """Return a path as it is kept, and several values or a number as the text that stands for them."""
    about, kinds = ABOUT[name], getattr(hint, "__args__", (hint,))
    if Path in kinds and isinstance(value, str | os.PathLike):
        return files.named_path(value)
    if about.content and isinstance(value, str | os.PathLike):
        return _content(name, value)
    if about.path and isinstance(value, str | os.PathLike):
        return files.named_text(value)
    if about.as_keyword and isinstance(value, int | tuple | list):
        return about.separator.join(map(str, (value,) if isinstance(value, int) else value))
    return value


def _content(name: str, value: str | os.PathLike[str]) -> str:
    """Return the text in a file, with the line ends of any system as one; or what was read of it before.

    Raises:
        ConfigError: it cannot be read.
    """
    if is_content(name, value):
        return str(value)
    path = files.named_path(value)
    try:
        text = path.read_bytes().decode("utf-8-sig") if path.is_file() else None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{option(name)} {path} cannot be read ({reason_of(error)}). Expected text.") from error
    if text is None:
        raise ConfigError(f"{option(name)} {path} is no file. Expected a table.")
    return text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n") + "\n"


def is_content(name: str, value: object) -> bool:
    """Say whether a setting is the text of a file, and not its path: that has no lines."""
    return name in ABOUT and ABOUT[name].content and isinstance(value, str) and "\n" in value


def from_folder(folder: Path, name: str, value: Any) -> Any:
    """Return a setting's path from the folder in which it was given; a place such as ``timm``, or no path, as it is."""
    if name not in PATHS or value is None or is_content(name, value) or value in ABOUT[name].known:
        return value
    return str(folder / value) if (folder / value).exists() else str(value)


def _refuse_outside(name: str, value: Any, about: About) -> None:
    """Raise ConfigError where a value is outside its range, or none of the choices."""
    if about.within and value is not None and not about.within[0] <= value <= about.within[1]:
        raise ConfigError(f"{option(name)} is {value}; expected a value from {about.within[0]} to {about.within[1]}.")
    if about.choices and value is not None and value not in about.known:
        raise ConfigError(f"{option(name)} is {value!r}; expected one of {', '.join(about.known)}.")


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
    bounds = ABOUT[name].within
    within = " from {} to {}".format(*bounds) if bounds else ""
    raise ConfigError(f"{option(name)} is {reprlib.repr(value)}; expected {kind}{within}.")


_KINDS_IN_WORDS = {bool: "True or False", int: "a whole number", float: "a number", str: "text", Path: "a path"}


def look_at_types(given: Mapping[str, Any]) -> None:
    """Raise ConfigError for the first setting that is of another type; None stands for what a model brings."""
    hints = get_type_hints(Config)
    for name, value in given.items():
        if name in hints and value is not None:
            _typed(name, _as_kept(name, value, hints[name]), hints[name])


def with_settings(**least: float) -> Callable[[F], F]:
    """Let a function that takes settings refuse names and types that cannot be; `least`: the smallest values."""
    return calls.checked(calls.Checks(ABOUT, least, look_at_types))


def refuse_idle(what: str, requested: Mapping[str, Any]) -> None:
    """Raise ConfigError for the first setting given that the experiment `what` would pass over in silence."""
    for name, value in requested.items():
        instead = ABOUT[name].instead if name in ABOUT else {}
        if what in instead and value is not None:
            raise ConfigError(f"{what} makes no use of {option(name)}. {instead[what]}")


def option(name: str) -> str:
    """Return a setting's option on the command line, such as ``--batch-size``."""
    return ABOUT[name].option or "--" + name.replace("_", "-")


def changed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that are not as they are by default, or by the preset that is among them."""
    defaults = {**Config().as_dict(), **PRESETS.get(str(settings.get("preset")), {})}
    return {name: value for name, value in settings.items() if name in defaults and value != defaults[name]}


def shown(name: str, value: Any) -> Any:
    """Return a setting's value for a reader: of the text of a file, how many rows it has, and which they are."""
    if not is_content(name, value):
        return value
    return f"{value.count(chr(10)) - 1} rows ({hashlib.sha256(value.encode()).hexdigest()[:8]})"


def command(*words: object, **settings: Any) -> str:
    """Return a command line that a shell reads as it is meant: ``regraft train 'my cells' --groups '^C\\d+'``."""
    options: list[str] = []
    for name, value in settings.items():
        if value is True:
            options.append(option(name))
        elif value is not None and value is not False:
            options += [option(name), str(value)]
    return shlex.join(["regraft", *map(str, words), *options])
