"""Networks x methods on one identical split -> one table: which is best, by how much, and was transfer worth it?

Each network's frozen part runs once for all its methods (and for all folds); every candidate is a run folder of its
own, so the best one is ready to use, and a comparison that was stopped goes on with the candidates that are missing.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from regraft import methods as all_methods
from regraft import run_folder
from regraft.backbones import FAMILIES, canonical, names
from regraft.config import Config, changed, command, from_folder, refuse_idle
from regraft.data import Manifest, other_pictures
from regraft.errors import ConfigError, WeightsMissing
from regraft.experiments import loggers
from regraft.experiments.comparison_runner import Candidate, Comparison, ComparisonRunner
from regraft.experiments.halving import worth_training
from regraft.experiments.preflight import listed
from regraft.experiments.session import Session
from regraft.reports import comparison_report
from regraft.utils.progress import Progress
from regraft.weights.loading import available

METHODS = ("frozen", "finetuned", "features")


def compare(
    data: Path | str,
    candidates: Sequence[Candidate],
    *,
    budget_s: float | None = None,
    control_epochs: int | None = None,
    out: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Comparison:
    """Compare on a folder or table; see `regraft.experiments.api.compare`."""
    started, data, progress = time.perf_counter(), Path(data), progress or Progress()
    refuse_idle("compare", settings)
    config = Config.of(**settings)
    if config.folds and budget_s is not None:
        raise ConfigError("--budget chooses by a part that --folds would test on; give one of them.")
    session = Session.open(data, config, settings, progress)
    session.split()
    session.networks = len({candidate.backbone for candidate in candidates})
    requested = _requested(session, candidates, budget_s, control_epochs)
    wanted = run_folder.wanted_folder(out, data, "comparisons")
    run_folder.new_folder(wanted)  # a place that cannot be written to is said now
    session.survey()
    folder = _folder(wanted, requested, session)
    runner = ComparisonRunner(session, folder, list(candidates), started, _command(requested, candidates, folder))
    with run_folder.alone_in(folder), loggers.opened(config, folder, session.progress) as logs:
        choose = partial(worth_training, runner, budget_s) if budget_s is not None else None
        comparison = runner.run(choose, budget_s, control_epochs)
        _write_settings(folder, requested, finished=not comparison.interrupted)
        logs.end(comparison.best.test, interrupted=comparison.interrupted)
    return comparison


def candidates_of(backbones: str | Sequence[str], methods: str | Sequence[str] = METHODS) -> list[Candidate]:
    """Return every network that is asked for with every method; names and errors as in `listed_backbones`."""
    return [Candidate(backbone, method) for backbone in listed_backbones(backbones) for method in _methods(methods)]


def listed_backbones(requested: str | Sequence[str]) -> list[str]:
    """Return the networks that are asked for: names, ``available`` or ``families``; each once, by its own name.

    Raises:
        ConfigError: nothing is asked for.
        UnknownName: there is no such network.
        WeightsMissing: ``available``, and there are none.
    """
    wanted = listed(requested, "backbones")
    if wanted == ["available"]:
        if found := [name for name in names() if available(name)]:
            return found
        raise WeightsMissing("No network's weights are on this machine. See `regraft doctor`, or name --backbones.")
    if wanted == ["families"]:
        return list({family.name: family.members[0] for family in reversed(FAMILIES)}.values())[::-1]
    return list(dict.fromkeys(canonical(name) for name in wanted))


def _methods(requested: str | Sequence[str]) -> list[str]:
    wanted = listed(requested, "methods")
    for name in wanted:
        all_methods.check(name)
    return list(dict.fromkeys(wanted))


# ---- which comparison it is -----------------------------------------------------------------------------------------


def _requested(
    session: Session, candidates: Sequence[Candidate], budget_s: float | None, control_epochs: int | None
) -> dict[str, Any]:
    """Return what tells this comparison from another: one that was stopped goes on where this is equal."""
    return {
        "data": str(session.data.absolute()),
        "pictures": _digest(session.manifest),
        "cells": [candidate.name for candidate in candidates],
        "control_epochs": control_epochs,
        "budget_s": budget_s,
        "settings": session.config.as_dict(),
    }


def _command(requested: Mapping[str, Any], candidates: Sequence[Candidate], folder: Path) -> str:
    """Return the command that does the same again."""
    budget_s, epochs = requested["budget_s"], requested["control_epochs"]
    given = run_folder.with_texts_in(folder.absolute(), changed(requested["settings"]))
    asked = {"--budget": None if budget_s is None else f"{budget_s:.0f}s", "--control-epochs": epochs}
    return command(
        "compare",
        requested["data"],
        *("--backbones", ",".join(dict.fromkeys(candidate.backbone for candidate in candidates))),
        *("--methods", ",".join(dict.fromkeys(candidate.method for candidate in candidates))),
        *(word for name, value in asked.items() if value is not None for word in (name, value)),
        **{name: from_folder(Path.cwd(), name, value) for name, value in given.items()},
    )


def _digest(manifest: Manifest) -> str:
    """Return what tells these pictures from others: a comparison goes on with the pictures that it has begun with."""
    sizes = [item.path.stat().st_size if item.path.exists() else 0 for item in manifest.items]
    known = [
        (item.name, item.label, item.group, item.part, size) for item, size in zip(manifest.items, sizes, strict=True)
    ]
    return hashlib.sha256(repr((manifest.classes, known)).encode()).hexdigest()[:16]


def _folder(wanted: Path, requested: Mapping[str, Any], session: Session) -> Path:
    """Return the folder of an unfinished comparison with the same settings and pictures, else a new one."""
    existing = [folder for folder in run_folder.numbered(wanted) if (folder / comparison_report.SETTINGS).exists()]
    for folder in existing:
        about = run_folder.read_json(folder / comparison_report.SETTINGS)
        same = _with_defaults(about.get("requested")) == requested
        if same and not about.get("finished") and not _changed_since(folder, session):
            return folder
    return run_folder.claim(wanted, lambda made: _write_settings(made, requested, finished=False))


def _with_defaults(requested: Any) -> Any:
    """Return what an earlier version was asked for, with the settings that it did not have as they are by default."""
    if not isinstance(requested, dict) or not isinstance(requested.get("settings"), dict):
        return requested
    return {**requested, "settings": {**Config().as_dict(), **requested["settings"]}}


def _changed_since(folder: Path, session: Session) -> bool:
    """Say whether a picture has another content than when a comparison began, by the first split that it has kept."""
    kept = next(iter(sorted(folder.rglob("split.csv"))), None)
    if kept is None:  # nothing has been learned
        return False
    known = dict(zip((item.name for item in session.manifest.items), session.digests, strict=True))
    return bool(other_pictures(known, kept).get("changed"))


def _write_settings(folder: Path, requested: Mapping[str, Any], *, finished: bool) -> None:
    run_folder.keep_texts(requested["settings"], folder)
    about = {"requested": requested, "finished": finished, "environment": run_folder.environment()}
    run_folder.write_json(folder / comparison_report.SETTINGS, about)
