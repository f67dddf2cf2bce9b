"""Go through a plan's phases: activations at each phase's cut -> a trained tail and head, and their figures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from regraft.activations.prefix import Prefix
from regraft.backbones import Backbone
from regraft.config import Config
from regraft.data import Manifest
from regraft.methods._plan import Phase, Plan, frozen_modules
from regraft.training.batches import Examples, batches
from regraft.training.checkpoints import restore
from regraft.training.head import Head, HeadSpec, build_head, inherit
from regraft.training.history import Stop
from regraft.training.linear import fit_linear
from regraft.training.loop import Keeping, Trained, fit, predict
from regraft.training.module import AuxiliaryClassifier, Recipe
from regraft.utils.progress import Progress

CHUNK = 256  # rows read at once where no batch size is set; embeddings of 4,096 numbers are 4 MB then
LEAST_STEPS = 250  # of a phase: see `lengthened`


@dataclass(frozen=True, eq=False)
class Learner:
    """One plan on one split: what all its phases share."""

    backbone: Backbone
    plan: Plan  # its phases as long as they are to be, see `lengthened`
    manifest: Manifest  # readable pictures, each in its part; in the order of the prefix's pictures
    prefix: Prefix
    config: Config
    folder: Path  # of the run; checkpoints and history.csv go here
    progress: Progress = field(default_factory=Progress)

    def spec(self) -> HeadSpec:
        """Return the shape of the head."""
        return HeadSpec(
            self.backbone.embedding_width, len(self.manifest.classes), self.plan.hidden, self.config.dropout
        )

    @cached_property
    def shares(self) -> np.ndarray:
        """The classes' shares of the training pictures, float64 [classes]; each class occurs."""
        return self.manifest.shares("train")

    def learn(
        self, *, earlier: tuple[nn.Module, Sequence[str]] | None = None, resume: bool = False
    ) -> tuple[Head, Stop | None]:
        """Return the head, and where Ctrl-C ended the phases early. The network's trained stages learn in place.

        `earlier` are the head and the classes of a model trained before, of which what both share is taken over.
        """
        head = build_head(self.spec(), seed=self.config.seed)
        head.begin_at(self.shares)
        inherited = earlier is not None and inherit(head, self.manifest.classes, *earlier)
        first = self.plan.phases[0]
        if first.cut == len(self.backbone.stages) and not inherited:
            head.standardize.set(plain_rows(self._examples("train", first)))
        for phase in self.plan.phases:
            if phase.linear:
                self._fit_at_once(head, phase)
            elif stop := self._train(head, phase, resume):
                return head.eval(), stop
        return head.eval(), None

    def probabilities(self, head: nn.Module, part: str) -> np.ndarray:
        """Return probabilities [views, n, classes] of a part's pictures, in the manifest's order.

        The views are those of test-time augmentation, the plain one first.
        """
        views, tail = self.prefix.pictures.tta.views, self.backbone.above(self.plan.cut)
        rows = self.prefix.at(self.plan.cut, views, tta=True)
        examples = Examples(rows, self.manifest.labels, self.manifest.part(part))
        return np.stack([predict(tail, head, examples, view=view, device=self.prefix.device) for view in range(views)])

    def _examples(self, part: str, phase: Phase) -> Examples:
        kept_views = phase.views if phase.cut and part == "train" else 1  # only training sees other than plain pictures
        return Examples(
            self.prefix.at(phase.cut, kept_views), self.manifest.labels, self.manifest.part(part), phase.views
        )

    def _train(self, head: nn.Module, phase: Phase, resume: bool) -> Stop | None:
        """Train for one phase; say where Ctrl-C ended it. A phase that was finished before is only read back."""
        checkpoints, tail = self.folder / "checkpoints" / phase.name, self.backbone.above(phase.cut)
        done = checkpoints / "done"
        if resume and done.exists():
            restore(tail, head, checkpoints / "best.ckpt")
            return None
        fitted = fit(
            Trained(tail, head, frozen_modules(self.backbone, self.plan), self._auxiliaries(phase)),
            (self._examples("train", phase), self._examples("val", phase)),
            self._recipe(phase),
            Keeping(checkpoints, self.folder / "history.csv", phase.name, phase is not self.plan.phases[0], resume),
            device=self.prefix.device,
            progress=self.progress,
        )
        if not fitted.interrupted:
            done.touch()
            return None
        stop = Stop(phase.name, fitted.epochs_run, phase.epochs)
        self.progress.warn(f"The training was {stop}; the best so far is kept. --resume goes on.")
        return stop

    def _auxiliaries(self, phase: Phase) -> list[AuxiliaryClassifier]:
        """Return the auxiliary classifiers that branch off where this phase trains, for the user's classes."""
        above = [side for side in self.backbone.auxiliaries if side.stage >= phase.cut]
        shapes = self.backbone.shapes(self.backbone.preprocessing.size) if above else []
        for side in above:
            if not side.takes(shapes[side.stage]):
                self.progress.note(f"Auxiliary classifier {side.name} left out: the pictures are too small for it.")
        return [
            AuxiliaryClassifier(
                self.backbone.stages[side.stage].module,
                side.classifier(len(self.manifest.classes), seed=self.config.seed),
                side.weight,
            )
            for side in above
            if side.takes(shapes[side.stage])
        ]

    def _recipe(self, phase: Phase) -> Recipe:
        config = self.config
        return Recipe(
            epochs=phase.epochs,
            lr=phase.lr,
            tail_lr=phase.tail_lr,
            batch_size=config.batch_size,
            weight_decay=config.weight_decay,
            label_smoothing=config.label_smoothing,
            mixup=config.mixup if phase.tail_lr else 0.0,
            shares=tuple(self.shares.tolist()),
            patience=config.patience * phase.times,
            seed=config.seed,
        )

    def _fit_at_once(self, head: Head, phase: Phase) -> None:
        train, val = (self._examples(part, phase) for part in ("train", "val"))
        embeddings = [torch.cat([head.standardize(rows) for rows in plain_rows(part)]).numpy() for part in (train, val)]
        weight, bias, penalty = fit_linear(
            embeddings[0], train.labels[train.which], embeddings[1], val.labels[val.which]
        )
        self.progress.detail(f"Linear model fitted; the validation part chose the penalty {penalty:g}.")
        with torch.no_grad():
            head.out.weight.copy_(torch.from_numpy(weight))
            head.out.bias.copy_(torch.from_numpy(bias))


def steps(plan: Plan, pictures: int, config: Config) -> int:
    """Return how many training steps a plan takes at most with so many training pictures."""
    phases = lengthened(plan, pictures, config).phases
    return sum(phase.epochs for phase in phases) * batches(pictures, config.batch_size)


def lengthened(plan: Plan, pictures: int, config: Config) -> Plan:
    """Return the plan with longer phases where training pictures are few.

    Forty pictures are two steps an epoch; after sixteen steps a network has hardly moved. What counts is steps (BiT,
    Kolesnikov et al. 2020, takes 500 for any small data set).
    """
    least = least_epochs(pictures, config)
    times = [1 if phase.linear else math.ceil(least / phase.epochs) for phase in plan.phases]
    longer = [replace(phase, epochs=n * phase.epochs, times=n) for phase, n in zip(plan.phases, times, strict=True)]
    return replace(plan, phases=tuple(longer))


def least_epochs(pictures: int, config: Config) -> int:
    """Return how many epochs make enough steps with so many training pictures; 1 where --epochs says how many."""
    if config.epochs is not None:
        return 1
    return math.ceil(LEAST_STEPS / batches(pictures, config.batch_size))


def plain_rows(examples: Examples) -> Iterator[Tensor]:
    """Yield the rows float32 [b, c] of a part in their plain view, in order, a few at a time."""
    for which in np.split(examples.which, range(CHUNK, len(examples.which), CHUNK)):
        rows = examples.activations.rows(which.tolist(), [0] * len(which))
        yield torch.from_numpy(rows.astype(np.float32, copy=False))
