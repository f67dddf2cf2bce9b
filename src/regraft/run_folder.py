"""Keep a run folder: its name, its settings, what is in it and whether it is finished."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Annotated, Any, TypeVar

from msgspec import Meta

from regraft.config import ABOUT, TARGET, TARGETS, Config, command, is_content, names_of, option, shown
from regraft.errors import ConfigError, RunError, RunMissing, reason_of
from regraft.metrics.functions import ClassScores
from regraft.training.history import Stop
from regraft.utils import files, records
from regraft.utils.records import Count, Seconds
from regraft.utils.version import __version__, package_version

T = TypeVar("T")

SETTINGS, METRICS, LEADERBOARD = "config.json", "metrics.json", "leaderboard.json"
FORMATS = {SETTINGS: 1, METRICS: 1, LEADERBOARD: 1}
"""The number under ``format`` in each: raised where an older version would misread the file. Every version reads all up
to its own; files of version 0.1.0 have none, which is 1."""
RENAMED = {"pass_s": "feature_extraction_s", "wish": "requested"}
"""What entries are called in files of versions up to 0.1.0, and since."""
ORIENTATION = "orientation.json"  # where turned pictures are predicted as well as upright ones
PROPOSAL = "groups.json"  # which groups the pictures seem to come in, where none were given
AWAITS = "awaits"  # of metrics.json: what is still to be written; absent where nothing is, as in runs of version 0.1.0
MACHINE_SETTINGS = frozenset(name for name, about in ABOUT.items() if about.may_change)
"""May differ when a run goes on: its pictures are known by their digests, wherever they lie."""
AFTERWARDS = frozenset(names_of(TARGET))  # so may these: they change nothing of what was learned


def wanted_folder(out: str | os.PathLike[str] | None, data: Path | str, kind: str = "runs") -> Path:
    """Return `out`, or ``<kind>/<data's name>``."""
    return files.named_path(out) if out else Path(kind) / (Path(data).stem or "data")


def new_folder(wanted: Path) -> Path:
    """Return a folder that does not exist yet: `wanted`, or with -2, -3 … behind it.

    Raises:
        RunError: a file has that name, or nothing can be written there. Said now, not after an hour of training.
    """
    if os.path.lexists(wanted) and not wanted.is_dir():
        raise RunError(f"{wanted} is a file; expected a folder. Name another one: --out FOLDER")
    # lexists: a link to nowhere is in the way as well
    folder = next(folder for number in count(1) if not os.path.lexists(folder := _numbered(wanted, number)))
    if reason := files.obstacle(folder):
        raise RunError(f"{reason}, so {folder} cannot be made. Give another place with --out FOLDER.")
    return folder


def claim(wanted: Path, begin: Callable[[Path], object]) -> Path:
    """Make the folder that `new_folder` names; the next one where another run has just taken it.

    It is there with all that `begin` writes into it, or not at all: a run that can be seen can go on.
    """
    folder = new_folder(wanted)
    with files.temporary_beside(folder) as made, files.told_of(folder, made):
        made.mkdir(parents=True)
        begin(made)
        return take(made, wanted)


def take(made: Path, wanted: Path, last: Callable[[Path], object] = lambda _: None) -> Path:
    """Give a folder that is made the name as in `claim`; `last` hears that name before, perhaps more than one."""
    while True:
        folder = new_folder(wanted)
        last(folder)
        if files.name_folder(made, folder):
            return folder


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Work in a folder that nobody else works in; what killed processes have left there goes.

    Raises:
        RunError: another process does.
    """
    with files.held(folder) as free:
        if not free:
            raise RunError(
                f"Another process is at work in {folder}. Wait until it has ended, or name another folder with --out."
            )
        files.sweep(folder, below=True)
        yield


def _numbered(wanted: Path, number: int) -> Path:
    if wanted.name in ("", ".."):  # ., .. and /
        raise RunError(f"{wanted} names no new folder. Expected the name of one that is made: --out FOLDER")
    return wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")


def numbered(wanted: Path) -> list[Path]:
    """Return the folders of that name that are there: `wanted`, then those with -2, -3 … behind it."""
    return [folder for number in range(1, 1000) if (folder := _numbered(wanted, number)).exists()]


def folder_to_resume(out: Path | None, data: Path) -> Path:
    """Return the run to go on with: `out`, or the newest of this data's runs.

    Raises:
        RunError: there is none, or it is finished.
    """
    wanted = wanted_folder(out, data)
    existing = [wanted] if out else numbered(wanted)
    folder = existing[-1] if existing else wanted
    if not (folder / SETTINGS).exists():
        raise RunMissing(
            f"There is no run at {folder} to go on with. Leave out --resume to start one"
            f"{'' if out else ', or name the run: --out RUN'}."
        )
    learned_from = read_json(folder / SETTINGS).get("data")
    if out is None and learned_from != str(data.absolute()):
        raise RunError(f"{folder} is a run on {learned_from}, not on {data.absolute()}. Name the run: --out RUN")
    if finished(folder):
        raise RunError(f"{folder} is finished; there is nothing to resume. Leave out --resume to start another run.")
    return folder


def learned(folder: Path) -> bool:
    """Say whether a run has learned all it was to learn: it has figures, and Ctrl-C did not cut it short."""
    return (folder / METRICS).exists() and not read_json(folder / METRICS).get("interrupted")


def finished(folder: Path) -> bool:
    """Say whether a run has come to its end: it has learned, and nothing that was asked for is still to be written."""
    return learned(folder) and AWAITS not in read_json(folder / METRICS)


def spent_s(folder: Path) -> float:
    """Return the seconds that a run has noted so far: none of a process that was killed, which notes nothing."""
    path = folder / METRICS
    return read_as(path, Measured).seconds if path.exists() else 0.0


def finish(folder: Path) -> None:
    """Note that all is written: the last thing that happens in a run's folder."""
    metrics = read_json(folder / METRICS)
    if metrics.pop(AWAITS, None):
        write_json(folder / METRICS, metrics)


def unfinished(model: str, run: Path | None, about: Mapping[str, Any]) -> str:
    """Say that a model is that of an unfinished run, and how the run goes on; nothing where it is finished.

    Args:
        model: what a message calls it.
        run: the folder of the run that it lies in, where it lies in one.
        about: what its bundle.json says.
    """
    if not about.get("unfinished"):
        return ""
    stop, again = records.fitted(about["unfinished"], Stop, "unfinished"), "Finish that run with --resume."
    if run and (run / SETTINGS).is_file():
        data = read_json(run / SETTINGS).get("data", "DATA")
        again = f"Finish it with: {command('train', data, '--out', run, '--resume')}"
    return f"{model} is the model of an unfinished run, {stop}. {again}"


def settings_of(folder: Path, requested: Mapping[str, Any]) -> Config:
    """Return the settings of a run, with the machine's settings replaced by those given now.

    So is the target of a threshold, which is fitted after the training; not with folds, of which some have theirs.

    Raises:
        RunError: another setting was given that differs: the result would be neither of the two runs.
    """
    try:
        settings = read_json(folder / SETTINGS)["settings"]
        records.fitted(settings, Config, "settings", others=True)
        kept = Config.from_dict(settings).as_dict()
    except ConfigError as error:
        raise RunError(f"{folder / SETTINGS} cannot be used here. {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{folder / SETTINGS} holds no settings ({reason_of(error)}). Is {folder} a run folder? "
            "Start a new run without --resume."
        ) from error
    now = {**kept, **Config(**requested).as_dict()}
    whole = kept["folds"] or learned(folder)  # some predictions have their threshold already
    may_differ = MACHINE_SETTINGS if whole else MACHINE_SETTINGS | AFTERWARDS
    if may_differ & requested.keys() & set(TARGETS):  # another target takes the place of the earlier one
        kept |= dict.fromkeys(TARGETS)
    for name in requested:
        if name not in may_differ and now[name] != kept[name]:
            raise RunError(
                f"{folder} was begun with {option(name)} {shown(name, kept[name])}, not {shown(name, now[name])}. "
                "Leave that option out, or start a new run without --resume."
            )
    return Config.from_dict({**kept, **{name: now[name] for name in requested if name in may_differ}})


def keep_texts(settings: Mapping[str, Any], folder: Path) -> None:
    """Write the texts that settings have kept, as files that a command can name: ``corrections.csv``."""
    for name, text in settings.items():
        if is_content(name, text):
            files.write_bytes(folder / f"{name}.csv", text.encode())


def with_texts_in(folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as a command gives them, with the files of `keep_texts` for their texts."""
    return {name: str(folder / f"{name}.csv") if is_content(name, value) else value for name, value in settings.items()}


@dataclass(frozen=True)
class Cut:
    """The plan in config.json, as far as it is read."""

    cut: Count
    phases: Annotated[tuple[dict[str, str | float | bool], ...], Meta(min_length=1)]
    frozen_layers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Begun:
    """What config.json has to hold."""

    data: str
    settings: dict[str, Any]
    plan: Cut
    environment: dict[str, str]
    lineage: tuple[dict[str, str | list[str]], ...] = ()
    working_folder: str = ""


Figures = dict[str, float | tuple[float | None, float | None] | None]


@dataclass(frozen=True)
class Measured:
    """What metrics.json has to hold; it may say more."""

    backbone: str
    method: str
    seconds: Seconds
    test: Figures
    classes: Annotated[tuple[str, ...], Meta(min_length=2)]
    per_class: tuple[ClassScores, ...]
    confusion: tuple[tuple[Count, ...], ...]
    interrupted: bool = False
    unfinished: Stop | None = None
    baseline: dict[str, Any] | None = None
    threshold: dict[str, Any] | None = None
    tta: dict[str, Any] | None = None
    folds: tuple[dict[str, Any], ...] = ()
    mean: Figures = field(default_factory=dict)  # over the folds
    deviation: Figures = field(default_factory=dict)
    calibration: dict[str, Any] | None = None
    class_weights: dict[str, float] | None = None

    @property
    def accuracy(self) -> float:
        """On the test part.

        Raises:
            RunError: there is none.
        """
        found = self.figure("accuracy")
        if found is None:
            raise RunError(f"{METRICS} has no accuracy. Was it edited? Train again.")
        return found

    @property
    def positive(self) -> str | None:
        """The class that is looked for, where a threshold was asked for; else none of them is."""
        return (self.threshold or {}).get("positive")

    def figure(self, name: str) -> float | None:
        """Return a figure of the test part; None where it has none."""
        found = self.test.get(name)
        return found if isinstance(found, float) else None

    def interval(self, name: str) -> tuple[float | None, float | None] | None:
        """Return an interval of the test part, such as ``accuracy_ci``; None where it has none."""
        found = self.test.get(name)
        return found if isinstance(found, tuple) else None


def read_json(path: Path, holds: type[Any] = dict[str, Any]) -> dict[str, Any]:
    """Read a JSON object that has at least what `holds` names.

    Raises:
        RunError: the file is missing or damaged, or of a newer format.
    """
    return _read(path, holds)[0]


def read_as(path: Path, kind: type[T]) -> T:
    """Read a JSON object as a dataclass; errors as `read_json`."""
    return _read(path, kind)[1]


def _read(path: Path, kind: type[T]) -> tuple[dict[str, Any], T]:
    try:
        values = _by_names_of_now(records.read_json(path))
        found = records.fitted(values, kind, others=True)
    except (OSError, ValueError) as error:
        raised = RunMissing if isinstance(error, FileNotFoundError) else RunError
        raise raised(f"{path} cannot be read ({reason_of(error)}). Is {path.parent} a run folder?") from error
    _refuse_newer(path, values.get("format", 1))
    return values, found


def _by_names_of_now(values: Any) -> Any:
    return {RENAMED.get(name, name): value for name, value in values.items()} if isinstance(values, dict) else values


def _refuse_newer(path: Path, found: object) -> None:
    known = FORMATS.get(path.name)
    if known is not None and (not isinstance(found, int) or found > known):
        raise RunError(
            f"{path} has format {found!r}; this Regraft ({__version__}) reads up to {known}. "
            "Update it: pip install --upgrade regraft"
        )


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON object, with its format where it has one, whole or not at all."""
    number = {"format": FORMATS[path.name]} if path.name in FORMATS else {}
    files.write_bytes(path, records.to_json({**values, **number}))


def write_skipped(path: Path, skipped: Mapping[str, str]) -> None:
    """Write skipped.csv: filename, reason."""
    files.write_csv(path, ("filename", "reason"), sorted(skipped.items()))


def environment(
    packages: Sequence[str] = (
        "regraft",
        "torch",
        "torchvision",
        "timm",
        "lightning-fabric",
        "onnxruntime",
        "openvino",
        "numpy",
        "pillow",
        "scikit-learn",
    ),
) -> dict[str, str]:
    """Return the versions that a run was made with."""
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        **{name: package_version(name) for name in packages},
    }
