"""Candidates and seconds -> those that are worth training on all pictures, by successive halving."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from regraft import run_folder
from regraft.data import Manifest, split
from regraft.errors import SplitError
from regraft.experiments.comparison_runner import Candidate, ComparisonRunner, Planned
from regraft.experiments.fitting import Fitting
from regraft.metrics.tta import mean_over_views
from regraft.training.learner import steps
from regraft.utils.progress import Bars
from regraft.utils.records import Seconds, Share

TRIED = "tried.json"
LEAST_SHARE = 1 / 8  # of the training pictures, in the first round


@dataclass(frozen=True)
class Tried:
    """What tried.json holds: the accuracy on validation pictures, and how long all pictures would take."""

    accuracy: Share
    seconds: Seconds


def worth_training(runner: ComparisonRunner, budget_s: float) -> list[Candidate]:
    """Return the candidates that are worth training on all pictures; the others are dropped.

    Successive halving (Jamieson & Talwalkar 2016): all candidates learn from a share of the training pictures, the
    better half by validation accuracy from twice as many, and so on until the rest fits the budget.
    """
    whole = runner.session.splits[0]
    learn_from = whole.keep(np.flatnonzero([item.part != "test" for item in whole.items]))
    candidates = [candidate for candidate in runner.candidates if not runner.read_back(candidate)]
    share, tried = LEAST_SHARE, dict[Candidate, Tried]()
    while len(candidates) > 1 and share < 1:
        try:
            sample = _sample(learn_from, share, runner.session.config.seed)
        except SplitError:  # a class is too rare for so small a sample
            share = 2 * share
            continue
        tried = Round(runner, sample, share).tried(candidates)
        left_s = runner.started + budget_s - time.perf_counter()
        ranked = sorted(tried, key=lambda one: (-tried[one].accuracy, tried[one].seconds))  # of equal ones the quickest
        if not ranked or sum(one.seconds for one in tried.values()) <= left_s:
            return ranked
        keep = 1 if left_s <= 0 else (len(ranked) + 1) // 2
        for candidate in ranked[keep:]:
            runner.drop(candidate, _why(tried[candidate], tried[ranked[0]], share))
        candidates, share = ranked[:keep], 2 * share
    if len(candidates) > 1 and not tried:
        runner.session.progress.warn(
            "The budget drops nothing: there are too few pictures to try the networks on some of them."
        )
    return candidates


def _why(dropped: Tried, best: Tried, share: float) -> str:
    said = (
        f"accuracy {dropped.accuracy:.3f} on validation pictures after learning from {share:.0%} of the data, the best "
        f"{best.accuracy:.3f}"
    )
    return f"{said}, in less time" if dropped.accuracy == best.accuracy else said


@dataclass(frozen=True, eq=False)
class Round:
    """One round: candidates are tried on a share of the pictures."""

    runner: ComparisonRunner
    sample: Manifest  # in train and val
    share: float

    def tried(self, candidates: Sequence[Candidate]) -> dict[Candidate, Tried]:
        """Return how each candidate does; one that fails is missing."""
        tried: dict[Candidate, Tried] = {}
        for backbone in dict.fromkeys(candidate.backbone for candidate in candidates):
            mine = [candidate for candidate in candidates if candidate.backbone == backbone]
            # a comparison that was stopped has tried some already
            kept = {
                one: run_folder.read_as(path, Tried) for one in mine if (path := self._folder(one) / TRIED).exists()
            }
            tried |= kept
            todo = [candidate for candidate in mine if candidate not in kept]
            session = self.runner.session.only(self.sample, split=True)
            if (planned := self.runner.activated(session, todo)) is None:
                continue
            for candidate in planned.plans:
                with self.runner.failing([candidate]):
                    tried[candidate] = self._try(candidate, planned)
        return tried

    def _folder(self, candidate: Candidate) -> Path:
        return self.runner.folder / "rounds" / f"{self.share:g}" / candidate.name

    def _try(self, candidate: Candidate, planned: Planned) -> Tried:
        folder, whole, sample = self._folder(candidate), self.runner.session.splits[0], planned.session.splits[0]
        folder.mkdir(parents=True, exist_ok=True)
        before = time.perf_counter()
        accuracy = self._validate(candidate, planned, folder)
        few, many = (
            steps(planned.plans[candidate], len(parts.part("train")), self.runner.session.config)
            for parts in (sample, whole)
        )
        seconds = (time.perf_counter() - before) * many / few
        # what the frozen part has still to run on, for all methods of the network together
        seconds += planned.predict_s * (len(whole) - len(sample)) / len(planned.plans)
        run_folder.write_json(folder / TRIED, {"accuracy": accuracy, "seconds": seconds})
        return Tried(accuracy, seconds)

    def _validate(self, candidate: Candidate, planned: Planned, folder: Path) -> float:
        network, plan, sample = planned.network, planned.plans[candidate], planned.session.splits[0]
        config, quiet = self.runner.config_of(candidate), Bars(planned.session.progress)
        learner = Fitting(planned.session, network, plan, sample, config, folder, quiet).learner
        with network.untouched(plan.cut):
            head, stopped = learner.learn(earlier=network.loaded.earlier_head, resume=True)
            if stopped:
                raise KeyboardInterrupt
            probabilities = mean_over_views(learner.probabilities(head, "val"))
        return float((probabilities.argmax(1) == sample.labels[sample.part("val")]).mean())


def _sample(manifest: Manifest, share: float, seed: int) -> Manifest:
    """Return a share of the pictures, each in train or val as before; smaller shares are part of larger ones."""
    taken = manifest
    while share < 1:
        # single pictures: groups have been kept apart already, and each is to be seen
        free = replace(taken, items=tuple(replace(item, part=None, group=None) for item in taken.items))
        taken = taken.keep(split(free, val=0.5, test=0.0, seed=seed).part("val"))
        share = 2 * share
    if not all(taken.counts(part)[name] for part in ("train", "val") for name in taken.classes):
        raise SplitError("A class is missing in train or val.")
    return taken
