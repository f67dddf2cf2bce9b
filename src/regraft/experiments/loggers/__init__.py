"""Runs -> curves and figures in a tracker: one file a logger, found by its name; it loads its library in `start` alone.

A logger's file has ``packages() -> tuple[str, ...]``, which are imported for it, and ``start(started) -> Log``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol

from regraft import run_folder
from regraft.config import Config
from regraft.errors import ConfigError, MissingExtra, RegraftError, UnknownName, reason_of
from regraft.utils import plugins
from regraft.utils.progress import Progress

State = Literal["finished", "stopped", "failed"]

KEPT = "loggers.json"
"""Of a run: by which names the loggers know it, so that a resumed run goes on there."""
PAGES = ("report.html", "comparison.html", "confusion_matrix.svg", "leaderboard.csv")
"""What is logged of a folder beside its figures, as far as it is there."""


@dataclass(frozen=True)
class Started:
    """What a logger is told of a run when it begins, or goes on."""

    name: str  # cells; cells/fold-1 of a cross-validation; cells/resnet50-frozen of a comparison
    beside: Path  # the folder of the run, or of the experiment that it is part of: what has no other place goes there
    settings: Mapping[str, Any]  # plain JSON values
    earlier: str  # what `Log.key` was before, where the run goes on; else empty
    within: str  # the key of the experiment that it is part of, where it is part of one


class Log(Protocol):
    """One run in a tracker."""

    key: str  # by which the tracker finds it again
    where: str  # for people

    def epoch(self, number: int, figures: Mapping[str, float]) -> None:
        """Add a point to the curves; epochs are counted from 1 over all phases."""

    def end(self, figures: Mapping[str, float], pages: Sequence[Path]) -> None:
        """Add the final figures, and the pages as artifacts."""

    def close(self, state: State) -> None:
        """Write what is left to write."""


def names() -> tuple[str, ...]:
    """Return the names of all loggers."""
    return plugins.names(__name__)


def check(given: str | None) -> tuple[str, ...]:
    """Return the loggers that are asked for, as names joined by commas.

    Raises:
        UnknownName: there is no such logger.
        MissingExtra: its library is not installed.
    """
    wanted = tuple(dict.fromkeys(one.strip() for one in (given or "").split(",") if one.strip()))
    for name in wanted:
        if name not in names():
            raise UnknownName("logger", name, names())
        for package in plugins.load(__name__, name).packages():
            if not _is_installed(package):
                raise MissingExtra(package, name, f"--logger {name}")
    return wanted


def _is_installed(package: str) -> bool:
    found = find_spec(package)
    return found is not None and found.origin is not None  # a folder ./wandb of earlier runs is no library


@dataclass(eq=False)
class Logs:
    """A run in all of its trackers; one that fails is given up, and the training goes on."""

    folder: Path
    progress: Progress
    opened: dict[str, Log] = field(default_factory=dict)
    state: State = "failed"  # unless it comes to its end

    def heard(self, progress: Progress) -> Progress:
        """Return what hears a training as `progress` does, and logs its epochs."""
        return _Heard(progress, self) if self.opened else progress

    def epoch(self, number: int, figures: Mapping[str, float]) -> None:
        """Add a point to the curves."""
        finite = {_path(name): float(value) for name, value in figures.items() if math.isfinite(float(value))}
        self._each(lambda log: log.epoch(number, finite))

    def end(self, test: Mapping[str, Any], *, interrupted: bool = False) -> None:
        """Log the final figures, as ``--json`` prints them, and what pages there are."""
        self.state = "stopped" if interrupted else "finished"
        pages = [path for name in PAGES if (path := self.folder / name).is_file()]
        self._each(lambda log: log.end(_flat(test), pages))

    def close(self) -> None:
        """Close the run everywhere."""
        self._each(lambda log: log.close(self.state))

    def _each(self, do: Callable[[Log], None]) -> None:
        for name, log in list(self.opened.items()):
            try:
                do(log)
            except Exception as error:  # noqa: BLE001  a tracker that does not answer must not end a training
                del self.opened[name]
                self.progress.warn(f"The logger {name} failed ({_said(error)}); the run goes on without it.")


class _Heard(Progress):
    """Hears as another one does, and logs epochs."""

    def __init__(self, inner: Progress, logs: Logs) -> None:
        self.note, self.detail, self.warn = inner.note, inner.detail, inner.warn  # type: ignore[method-assign]
        self.track, self._listeners = inner.track, (logs, inner)  # type: ignore[method-assign]

    def epoch(self, number: int, figures: Mapping[str, float]) -> None:
        for one in self._listeners:
            one.epoch(number, figures)


@contextmanager
def opened(config: Config, folder: Path, progress: Progress, *, within: Path | None = None) -> Iterator[Logs]:
    """Log what happens in a run's folder, with the loggers that are asked for; in those of before where it goes on.

    Args:
        config: the run's settings.
        folder: the run's.
        progress: hears where the logs are, and of a logger that fails.
        within: the folder of the experiment that the run is part of. What it has learned is not logged twice.

    Raises:
        ConfigError: a logger cannot begin; one of a part is left out instead.
    """
    logs = Logs(folder, progress)
    if not (within and run_folder.learned(folder)):
        _start(logs, config, within)
    try:
        yield logs
    except KeyboardInterrupt:
        logs.state = "stopped"
        raise
    except BaseException:
        logs.state = "failed"
        raise
    finally:
        logs.close()


def _start(logs: Logs, config: Config, within: Path | None) -> None:
    whole, keys = (within or logs.folder).absolute(), _kept(logs.folder)
    above = _kept(within) if within else {}
    name = logs.folder.absolute().relative_to(whole.parent).as_posix()
    for logger in check(config.logger):
        about = Started(name, whole.parent, config.as_dict(), keys.get(logger, ""), above.get(logger, ""))
        try:
            logs.opened[logger] = plugins.load(__name__, logger).start(about)
        except Exception as error:
            said = f"The logger {logger} cannot begin ({_said(error)})."
            if not within:
                raise ConfigError(f"{said} Leave out --logger {logger}, or see to what it names.") from error
            logs.progress.warn(f"{said} The run goes on without it.")
    if logs.opened:
        run_folder.write_json(logs.folder / KEPT, keys | {logger: log.key for logger, log in logs.opened.items()})
    if not within:
        for logger, log in logs.opened.items():
            logs.progress.note(f"Logged with {logger}: {log.where}")


def _kept(folder: Path) -> dict[str, str]:
    """Return by which keys loggers know the run of a folder, as far as that can be read."""
    path = folder / KEPT
    try:
        return {str(name): str(key) for name, key in run_folder.read_json(path).items()} if path.exists() else {}
    except RegraftError:
        return {}


def _path(name: str) -> str:
    """train_loss -> train/loss: all trackers show what begins alike side by side."""
    return name.replace("_", "/", 1)


def _flat(test: Mapping[str, Any]) -> dict[str, float]:
    """Return figures as ``--json`` prints them, each number under a name of its own."""
    found = dict[str, float]()
    for name, value in test.items():
        ends = zip((f"{name}_low", f"{name}_high"), value, strict=True) if isinstance(value, list | tuple) else ()
        found |= {f"test/{end}": float(one) for end, one in (ends or [(name, value)]) if one is not None}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _said(error: Exception) -> str:
    return " ".join(reason_of(error).split()) or type(error).__name__
