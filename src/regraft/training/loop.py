"""Train tail and head on activations: one phase of a plan.

Everything random (order, views, dropout, mixup) is drawn anew from (seed, epoch) when an epoch begins. So a run that
goes on from the checkpoint of epoch 7 does in epoch 8 exactly what an uninterrupted one does.

Lightning Fabric brings a GPU's precision and device; the loop is plain, so that signals, checkpoints and Ctrl-C are
Python's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from regraft.activations.devices import layout
from regraft.activations.sources import Kept
from regraft.errors import RegraftError
from regraft.training import checkpoints
from regraft.training.accelerating import accelerated
from regraft.training.batches import Batches, Examples
from regraft.training.checkpoints import Checkpoints, damaged, read_checkpoint, restore
from regraft.training.history import History, epochs_of
from regraft.training.module import AuxiliaryClassifier, Recipe, TailAndHead, running_mean, schedule
from regraft.utils.progress import Progress, Tick

CPU = torch.device("cpu")
LEAST_CHECKED = 64  # pictures in a batch that is only looked at


@dataclass(frozen=True)
class Fitted:
    """What came of a phase: the best epoch's tensors are in the modules."""

    epochs_run: int
    interrupted: bool


@dataclass(frozen=True, eq=False)
class Trained:
    """What learns, and what of it does not."""

    tail: nn.Module
    head: nn.Module
    frozen: Sequence[nn.Module] = ()
    auxiliaries: Sequence[AuxiliaryClassifier] = ()


@dataclass(frozen=True)
class Keeping:
    """Where a phase is kept, and what it goes on from.

    `folder` gets ``best.ckpt`` and ``last.ckpt``; with `resume`, training goes on from the latter if it is there. They
    are written at the first epoch that ends `every_s` seconds (5 by default) after the last writing, or after the
    start: a phase that takes less writes only its best, at its end.
    """

    folder: Path
    history: Path  # history.csv, of all phases
    phase: str
    learned: bool = False  # an earlier phase has: what it gave is epoch 0, and stays where nothing is better
    resume: bool = False
    every_s: float | None = None


def fit(
    trained: Trained,
    parts: tuple[Examples, Examples],
    recipe: Recipe,
    keeping: Keeping,
    *,
    device: torch.device = CPU,
    progress: Progress | None = None,
) -> Fitted:
    """Train for one phase and leave the best epoch's tensors (by validation loss) in tail and head, in eval mode.

    `parts` are what is learned from and what chooses the epoch. Ctrl-C ends the phase early, with what the best epoch
    so far has given.

    Raises:
        RunError: no epoch has a loss that is a number, or a checkpoint is damaged.
        KeyboardInterrupt: Ctrl-C before the first epoch was over: there is nothing to keep.
    """
    keeping.folder.mkdir(parents=True, exist_ok=True)
    progress = progress or Progress()
    history = History.begin(keeping.history, keeping.phase, progress)
    with (
        progress.track(f"Training ({keeping.phase})", recipe.epochs, "epochs") as tick,
        _threads_for(trained.tail, parts[0]),
    ):
        loop = _Loop(trained, parts, recipe, keeping, device, history)
        try:
            loop.run(tick)
            interrupted = False
        except KeyboardInterrupt:
            interrupted = True
        loop.saver.write_best()
    best = keeping.folder / "best.ckpt"
    if not (best.exists() and history.rows):
        raise KeyboardInterrupt
    history.tell_divergence()
    restore(trained.tail, trained.head, best)
    return Fitted(epochs_of(history.rows), interrupted)


class _Loop:
    """One phase while it trains."""

    def __init__(
        self,
        trained: Trained,
        parts: tuple[Examples, Examples],
        recipe: Recipe,
        keeping: Keeping,
        device: torch.device,
        history: History,
    ) -> None:
        self.recipe, self.keeping, self.history = recipe, keeping, history
        self.train = Batches(parts[0], recipe.batch_size, recipe.seed)
        self.val = Batches(parts[1], max(recipe.batch_size, LEAST_CHECKED))
        steps = recipe.epochs * len(self.train)
        self.module = TailAndHead(
            trained.tail, trained.head, recipe, frozen=trained.frozen, auxiliaries=trained.auxiliaries
        )
        self.module.to(memory_format=layout(device))  # type: ignore[call-overload]
        optimizer = self.module.optimizer()
        self.fabric, self.learner, self.optimizer = accelerated(self.module, optimizer, device)
        self.schedule: LRScheduler = schedule(optimizer, steps)
        # only where a head learns alone: of a tail's mean weights it is not known that they answer better
        alone = not any(True for _ in trained.tail.parameters())
        self.mean = running_mean(self.module, steps) if alone else None
        every_s = checkpoints.EVERY_S if keeping.every_s is None else keeping.every_s
        self.saver = Checkpoints(keeping.folder, every_s)

    def run(self, tick: Tick) -> None:
        """Train epoch by epoch, from the last checkpoint on where there is one."""
        last = self.keeping.folder / "last.ckpt"
        resumed = self.keeping.resume and last.exists()
        if resumed:
            self._load(last)
            tick(epochs_of(self.history.rows))
        elif self.keeping.learned:
            self._note(0, self._checked())
            self.saver.write_best()
        begun = epochs_of(self.history.rows)
        for epoch in range(begun, self.recipe.epochs):
            if self.history.ended(self.recipe.patience):
                break
            try:
                self._epoch(epoch, tick)
            except (RegraftError, OSError, MemoryError, torch.OutOfMemoryError):
                raise
            except Exception as error:
                if not resumed or epoch > begun:
                    raise
                raise damaged(last) from error  # it was read, and holds what no training has left there

    def _epoch(self, epoch: int, tick: Tick) -> None:
        loss = self._learn(epoch)
        seen = {"train_loss": loss, **self._checked()}
        lr = float(self.optimizer.param_groups[0]["lr"])
        said = f"loss {seen['train_loss']:.3f}, validation {seen['val_loss']:.3f}, accuracy {seen['val_accuracy']:.3f}"
        tick(1, said)
        self._note(epoch + 1, seen, lr)
        self.history.progress.epoch(epochs_of(self.history.before) + epoch + 1, {**seen, "lr": lr})
        if self.saver.due:
            self.saver.write(self._state(epoch))

    def _note(self, epoch: int, seen: Mapping[str, float], lr: float | None = None) -> None:
        self.history.add(epoch, seen, lr)
        self.saver.keep(self.history, self._judged.state_dict())
        self.history.write()

    def _learn(self, epoch: int) -> float:
        """Take an epoch's steps; return the mean loss."""
        self.learner.train()
        losses = []
        for number, batch in enumerate(self.train.shuffled(epoch)):
            rows, labels = self.fabric.to_device(batch)
            loss = self.learner.loss(rows, labels, (epoch, number))
            self.optimizer.zero_grad()
            self.fabric.backward(loss)
            self.optimizer.step()
            self.schedule.step()
            if self.mean is not None:
                self.mean.update_parameters(self.module)
            losses.append(torch.stack([len(labels) * loss.detach(), torch.ones_like(loss) * len(labels)]))
        return _mean(losses)

    @property
    def _judged(self) -> nn.Module:
        """What is judged and kept: the running mean of the weights, once there is one."""
        return self.module if self.mean is None or not int(self.mean.n_averaged) else self.mean.module

    def _checked(self) -> dict[str, float]:
        """Return loss and accuracy on the validation part: means over pictures, not over batches."""
        judged = self._judged.eval()
        losses, correct = [], []
        with torch.inference_mode(), self.fabric.autocast():
            for batch in self.val.plain():
                rows, labels = self.fabric.to_device(batch)
                scores = judged(rows).float()
                right = (scores.argmax(1) == labels).float()
                pictures = torch.ones_like(right).sum()
                losses.append(torch.stack([F.cross_entropy(scores, labels, reduction="sum"), pictures]))
                correct.append(torch.stack([right.sum(), pictures]))
        return {"val_loss": _mean(losses), "val_accuracy": _mean(correct)}

    # ---- to go on from ----------------------------------------------------------------------------------------------

    def _state(self, epoch: int) -> dict[str, Any]:
        state: dict[str, Any] = {
            "epoch": epoch,
            "state_dict": self._judged.state_dict(),
            "optimizer_states": [self.optimizer.state_dict()],
            "lr_schedulers": [self.schedule.state_dict()],
            "callbacks": {"History": {"rows": self.history.rows}},
        }
        if self.mean is not None:
            state["current_model_state"] = self.module.state_dict()
            state["averaging_state"] = {"n_averaged": self.mean.n_averaged}
        return state

    def _load(self, path: Path) -> None:
        state = read_checkpoint(path)
        try:
            if self.mean is not None:
                self.mean.module.load_state_dict(state["state_dict"])
                self.mean.n_averaged.copy_(state["averaging_state"]["n_averaged"])
                self.module.load_state_dict(state["current_model_state"])
            else:
                self.module.load_state_dict(state["state_dict"])
            self.optimizer.load_state_dict(state["optimizer_states"][0])
            self.schedule.load_state_dict(state["lr_schedulers"][0])
            rows = next(found["rows"] for found in state["callbacks"].values() if "rows" in found)
            self.history.rows[:] = [
                {**row, "epoch": int(row["epoch"]), "val_loss": float(row["val_loss"])} for row in rows
            ]
        except Exception as error:
            raise damaged(path) from error


def _mean(sums: Iterable[Tensor]) -> float:
    """Return the mean from pairs of (total, weight)."""
    total, weight = torch.stack(list(sums)).sum(0)
    return float(total / weight)


@contextmanager
def _threads_for(tail: nn.Module, examples: Examples) -> Iterator[None]:
    """Let one thread compute where only a head trains, on kept rows: to compute these, the network needs all threads.

    Its layers are too small to share: two threads are no faster on an idle machine, and on a busy one, where each waits
    for the other, they were 5 to 30 times slower.
    """
    threads = torch.get_num_threads()
    if isinstance(examples.activations, Kept) and not any(True for _ in tail.parameters()):
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def predict(
    tail: nn.Module,
    head: nn.Module,
    examples: Examples,
    *,
    view: int = 0,
    device: torch.device = CPU,
    batch_size: int = LEAST_CHECKED,
) -> np.ndarray:
    """Return probabilities float64 [n, classes] of one view, in the order of ``examples.which``."""
    network = nn.Sequential(tail, head).eval().to(device).to(memory_format=layout(device))  # type: ignore[call-overload]
    with torch.inference_mode(), _threads_for(tail, examples):
        # cpu first: Apple's GPUs know no float64
        predictions = [
            network(rows.to(device).float()).cpu().double().softmax(1).numpy()
            for rows, _ in Batches(examples, batch_size).plain(view)
        ]
    return np.concatenate(predictions)
