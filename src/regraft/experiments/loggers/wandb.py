"""Weights & Biases: ``wandb/`` beside the runs, offline; WANDB_MODE or WANDB_API_KEY send it to its server."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regraft.experiments.loggers import Started, State

STATUS: Mapping[State, int] = {"finished": 0, "stopped": 255, "failed": 1}


def packages() -> tuple[str, ...]:
    """Return what is imported."""
    return ("wandb",)


@dataclass
class _Log:
    run: Any
    key: str
    where: str

    def epoch(self, number: int, figures: Mapping[str, float]) -> None:
        self.run.log({"epoch": number, **figures})

    def end(self, figures: Mapping[str, float], pages: Sequence[Path]) -> None:
        import wandb

        self.run.summary.update(dict(figures))
        shown = [page for page in pages if page.suffix == ".html"]
        self.run.log({page.stem: wandb.Html(page.read_text(encoding="utf-8"), inject=False) for page in shown})

    def close(self, state: State) -> None:
        self.run.finish(exit_code=STATUS[state])


def start(started: Started) -> _Log:
    """Begin a run, or go on in that of before; several may be open at once."""
    import wandb

    place = Path(os.environ.get("WANDB_DIR") or started.beside)
    place.mkdir(parents=True, exist_ok=True)
    asked = any(os.environ.get(name) for name in ("WANDB_MODE", "WANDB_API_KEY"))
    run = wandb.init(
        project=os.environ.get("WANDB_PROJECT") or "regraft",
        dir=str(place),
        name=started.name,
        group=started.name.partition("/")[0],
        config=dict(started.settings),
        id=started.earlier or None,
        resume="allow" if started.earlier else None,
        mode=None if asked else "offline",
        reinit="create_new",
        settings=wandb.Settings(silent=True, console="off"),
    )
    run.define_metric("epoch")
    run.define_metric("*", step_metric="epoch")
    return _Log(run, str(run.id), str(Path(run.dir).parent) if run.offline else str(run.url))
