"""Tell the story of a training: open the data, split them, load a network, run what is frozen, learn, measure, keep.

Read this first. Each step is a method of `Session`; `Fitting` is what happens on one split.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from regraft import methods, run_folder
from regraft.audit.groups import Proposal, write_proposal
from regraft.audit.judging import Remark
from regraft.audit.orientation import write_orientation
from regraft.config import Config, command, option
from regraft.errors import NotWritten, TargetMissed
from regraft.experiments import loggers
from regraft.experiments.cross_validation import begin_folds, cross_validate
from regraft.experiments.fitting import Fitting
from regraft.experiments.preflight import Scanned
from regraft.experiments.run import Run, finish
from regraft.experiments.session import ActivatedNetwork, Session, idle_options, load_network
from regraft.experiments.turning import turned_alike
from regraft.inference.classifier import Classifier
from regraft.methods._plan import Plan, stage_table
from regraft.metrics.thresholds import shortfall
from regraft.utils.progress import Progress


def train(
    data: Path | str,
    *,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    report: bool = True,
    scanned: Scanned | None = None,
    **settings: Any,
) -> Run:
    """Train on a folder or table; see `regraft.experiments.api.train`."""
    started, wanted = time.perf_counter(), run_folder.wanted_folder(out, data)
    begun = run_folder.folder_to_resume(Path(out) if out else None, Path(data)) if resume else None
    if begun is None:
        run_folder.new_folder(wanted)  # a place that cannot be written to is said now
    config = run_folder.settings_of(begun, settings) if begun else Config.of(**settings)

    loggers.check(config.logger)  # that of a run that is gone on with
    session = Session.open(Path(data), config, settings, progress or Progress(), scanned)
    if begun:
        session.go_on_with(begun)
    session.split(begun)
    network, plan = _activated(session, begun)
    proposal = None if begun else session.proposed_groups(network, [plan])
    session.augment(network, [plan])

    folder = begun or run_folder.claim(wanted, partial(_begin, session, network, plan, proposal))
    with run_folder.alone_in(folder), loggers.opened(config, folder, session.progress) as logs:
        with _going_on(session, folder):
            if config.folds:
                run = cross_validate(session, network, plan, folder, started)
            else:
                heard = logs.heard(session.progress)
                fitting = Fitting(session, network, plan, session.splits[0], config, folder, heard, started)
                run = fitting.run(resume=resume, awaits=True)
        for notice in (*shortfall(run.threshold), *run.test.cautions()):
            session.progress.warn(notice)
        if not run.interrupted:
            finish(run, session, partial(_judged, session, network, plan, run) if report else None)
        logs.end(run.test.as_dict(), interrupted=run.interrupted)
    return run


def _judged(
    session: Session, network: ActivatedNetwork, plan: Plan, run: Run, model: Classifier
) -> list[Remark] | None:
    """Judge the data, and propose the preset that suits them where turned pictures are predicted as well."""
    if found := turned_alike(session, network, plan, model):
        write_orientation(found, run.folder)
        session.progress.note(found.notice)
    return session.judged(network, plan)


def _activated(session: Session, begun: Path | None) -> tuple[ActivatedNetwork, Plan]:
    """Load the network, plan what trains, run the frozen part, and tell the user of what was found on the way."""
    config, progress = session.config, session.progress
    loaded = load_network(config, named="backbone" in session.requested)
    plan = methods.plan(loaded.backbone, config)
    if loaded.earlier and (notice := run_folder.unfinished(str(config.from_run), None, loaded.earlier.about)):
        progress.warn(notice)
    progress.detail(stage_table(loaded.backbone, plan))
    for notice in idle_options(plan, config, session.requested):
        progress.warn(notice)
    if begun:
        session.refuse_other_pictures(begun, digests=True)
    network = session.activate(loaded, [plan])
    for notice in (*session.copies(), *session.learned_before()):
        progress.warn(notice)
    return network, plan


def _begin(session: Session, network: ActivatedNetwork, plan: Plan, proposal: Proposal | None, folder: Path) -> None:
    """Write what a run needs to go on, and what it was told first."""
    write_proposal(proposal, folder)
    if session.config.folds:
        begin_folds(session, network, plan, folder)
    else:
        Fitting(session, network, plan, session.splits[0], session.config, folder, session.progress).begin(folder)


@contextmanager
def _going_on(session: Session, folder: Path) -> Iterator[None]:
    """Say how a run goes on where it cannot end."""
    again = f"Go on with: {command('train', session.data, '--out', folder, '--resume')}"
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(again) from None
    except NotWritten as full:
        raise full.then(again) from full
    except TargetMissed as missed:
        target = option(f"target_{session.config.target[0]}")  # type: ignore[index]
        less = command("train", session.data, "--out", folder, "--resume", target, "LESS")
        raise TargetMissed(f"{missed} What was learned is kept; in seconds: {less}") from None
