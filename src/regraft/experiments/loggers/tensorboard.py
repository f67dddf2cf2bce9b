"""TensorBoard: event files in ``tensorboard/`` beside the runs, for ``tensorboard --logdir``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regraft.experiments.loggers import Started, State


def packages() -> tuple[str, ...]:
    """Return what is imported."""
    return ("tensorboard",)


@dataclass
class _Log:
    writer: Any
    settings: dict[str, str | bool | int | float]
    key: str
    where: str

    def epoch(self, number: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self.writer.add_scalar(name, value, number)
        self.writer.flush()  # a training is watched while it runs

    def end(self, figures: Mapping[str, float], pages: Sequence[Path]) -> None:
        """Add the figures beside the settings; it holds no files, so pages are named."""
        self.writer.add_hparams(self.settings, dict(figures), run_name=".")
        self.writer.add_text("pages", "\n\n".join(str(page.absolute()) for page in pages))

    def close(self, state: State) -> None:
        self.writer.close()


def start(started: Started) -> _Log:
    """Begin event files in a folder of the run's name; a run that goes on adds one more."""
    from torch.utils.tensorboard import SummaryWriter

    folder = started.beside / "tensorboard" / started.name
    settings = {
        name: value if isinstance(value, bool | int | float | str) else str(value)
        for name, value in started.settings.items()
    }
    writer = SummaryWriter(str(folder))
    rows = "".join(f"| {name} | {value} |\n" for name, value in settings.items())
    writer.add_text("settings", f"| setting | value |\n|---|---|\n{rows}")
    return _Log(writer, settings, started.name, str(folder))
