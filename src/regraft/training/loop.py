"""Train tail and head on activations: one phase of a plan, on Lightning's Trainer.

Everything random (order, views, dropout, mixup) is drawn anew from (seed, epoch) when an epoch begins. So a run that
goes on from the checkpoint of epoch 7 does in epoch 8 exactly what an uninterrupted one does.
"""

from __future__ import annotations

import contextlib
import logging
import math
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regraft.activations import Activations, Kept, engines
from regraft.backbones import torchvision_compat
from regraft.errors import RegraftError, RunError
from regraft.utils import files
from regraft.utils.progress import Progress
from regraft.weights import misfits
from regraft.weights.reading import read_torch

torchvision_compat.torchvision()  # Lightning imports torchvision by itself, and must find it mended
import lightning  # noqa: E402
from lightning.fabric.plugins.environments.lightning import LightningEnvironment  # noqa: E402
from lightning.pytorch.callbacks import Callback, Checkpoint, EarlyStopping, WeightAveraging  # noqa: E402
from lightning.pytorch.plugins.io import TorchCheckpointIO  # noqa: E402

CHECKPOINT_EVERY_S = 5.0  # writing one takes as long as a head's epoch
AVERAGED_SHARE, MOST_AVERAGED = 0.1, 100  # of the steps; and steps: a mean over more of them lags behind
WARM_UP = 0.1  # share of the steps in which the rate rises: a new head's first gradients would upset pretrained layers


@dataclass(frozen=True)
class Examples:
    """What a phase learns from: activations, the labels of all pictures, and which of them are in the part."""

    activations: Activations
    labels: np.ndarray  # int64 [pictures]
    which: np.ndarray  # int64 [n]: indices into the activations and the labels
    views: int = 1


@dataclass(frozen=True)
class Recipe:
    """How a phase learns. Plain numbers; where they come from is the plan's business."""

    epochs: int
    lr: float
    tail_lr: float = 0.0
    batch_size: int = 32
    weight_decay: float = 0.01
    label_smoothing: float = 0.0
    shares: tuple[float, ...] | None = None  # of the classes among the training pictures; None: equal ones
    mixup: float = 0.0
    patience: int = 6
    seed: int = 0


@dataclass(frozen=True)
class SideExit:
    """An auxiliary classifier: it sees what a part of the tail gives, and its loss counts in training only."""

    after: nn.Module  # the part of the tail
    classifier: nn.Module
    weight: float


@dataclass(frozen=True)
class Stop:
    """Where Ctrl-C ended a training: what is there then is the model of an unfinished run."""

    phase: str
    epochs: int  # that were run in this phase
    of: int  # that it was to have at most

    def __str__(self) -> str:
        return f"stopped in the {self.phase} phase after {self.epochs} of {self.of} epochs"


@dataclass(frozen=True)
class Fitted:
    """What came of a phase: the best epoch's tensors are in the modules."""

    epochs_run: int
    interrupted: bool


def batches(pictures: int, size: int) -> int:
    """Return how many batches an epoch has: a last one of one picture joins the one before, see `Batches`."""
    return max(1, math.ceil((pictures - 1) / size))


class Batches:
    """Whole batches, straight from the activations: one read per batch instead of one per picture.

    A last batch of one picture joins the one before, since batch normalisation needs two.
    """

    def __init__(
        self, examples: Examples, batch_size: int, *, epoch: Callable[[], int], seed: int, shuffle: bool
    ) -> None:
        self.examples, self.batch_size = examples, batch_size
        self.epoch, self.seed, self.shuffle = epoch, seed, shuffle

    def __len__(self) -> int:
        return batches(len(self.examples.which), self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield ([b, *shape], [b])."""
        epoch = self.epoch()
        which = self.examples.which
        if self.shuffle:
            which = np.random.default_rng((self.seed, epoch)).permutation(which)
        for batch in np.split(which, [self.batch_size * nth for nth in range(1, len(self))]):
            # each picture comes in another view in every epoch, and not all pictures in the same one
            views = (batch + epoch) % self.examples.views if self.shuffle else np.zeros_like(batch)
            rows = torch.from_numpy(self.examples.activations.rows(batch.tolist(), views.tolist()))
            yield rows, torch.from_numpy(self.examples.labels[batch])


class TailAndHead(lightning.LightningModule):
    """The trained end of the network. Parts of the tail that the plan leaves frozen stay in eval mode throughout."""

    def __init__(
        self,
        tail: nn.Module,
        head: nn.Module,
        recipe: Recipe,
        *,
        steps: int,
        frozen: Sequence[nn.Module] = (),
        side_exits: Sequence[SideExit] = (),
    ) -> None:
        super().__init__()
        self.tail, self.head = tail, head
        self.side_exits = side_exits
        self.side_classifiers = nn.ModuleList(side.classifier for side in side_exits)
        self.recipe, self.steps = recipe, steps
        self._frozen = list(frozen)
        for module in self._frozen:
            module.requires_grad_(False)
        self.shares: Tensor | None
        shares = None if recipe.shares is None else torch.tensor(recipe.shares)
        self.register_buffer("shares", shares, persistent=False)
        self._sums: dict[str, list[Tensor]] = {"train_loss": [], "val_loss": [], "val_accuracy": []}  # [total, weight]

    def train(self, mode: bool = True) -> TailAndHead:  # noqa: D102  what is frozen keeps its BatchNorm statistics
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Activations [b, *shape], of any number format, or uint8 pixels -> scores [b, classes]."""
        return self.head(self.tail(x.float()))  # type: ignore[no-any-return]

    def training_step(self, batch: tuple[Tensor, Tensor], number: int) -> Tensor:  # noqa: D102
        key = np.random.SeedSequence((self.recipe.seed, self.current_epoch, number))
        rows, labels = batch
        _reseed(int(key.generate_state(1)[0]), rows.device)
        rows, answers = self._mixed(rows, labels) if self.recipe.mixup else (rows, [(1.0, labels)])
        loss = torch.stack(
            [
                weight * share * self._loss(scores, answer)
                for weight, scores in self._all_scores(rows)
                for share, answer in answers
            ]
        ).sum()
        self._sums["train_loss"].append(torch.stack([len(labels) * loss.detach(), torch.ones_like(loss) * len(labels)]))
        return loss

    def _mixed(self, rows: Tensor, labels: Tensor) -> tuple[Tensor, list[tuple[float, Tensor]]]:
        """Mix pairs of examples at the cut: mixup (Zhang 2018); above pixels, manifold mixup (Verma 2019)."""
        share = float(np.random.default_rng(int(torch.randint(2**31, (1,)))).beta(self.recipe.mixup, self.recipe.mixup))
        other = torch.randperm(len(labels), device=rows.device)
        mixed = share * rows.float() + (1 - share) * rows[other].float()
        return mixed, [(share, labels), (1 - share, labels[other])]

    def _all_scores(self, rows: Tensor) -> list[tuple[float, Tensor]]:
        """Return the head's scores, and those of the side exits, each with the weight of its loss."""
        seen: list[tuple[float, Tensor]] = []
        with contextlib.ExitStack() as hooks:
            for side in self.side_exits:
                hook = side.after.register_forward_hook(
                    lambda _, __, given, side=side: seen.append((side.weight, side.classifier(given)))
                )
                hooks.callback(hook.remove)
            return [(1.0, self(rows)), *seen]

    def _loss(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Return the cross entropy with labels that are smoothed towards the classes' shares.

        A network that knows nothing then answers with the shares, which is the best that it can do. Smoothed towards
        equal ones (Szegedy et al. 2016) it gives a class of 1 in 100 pictures a probability of 0.05. No class weighs
        more than another: with weights the probabilities would be those of other pictures.
        """
        classes, smoothing = scores.shape[1], self.recipe.label_smoothing
        spread = 1 / classes if self.shares is None else self.shares
        wanted = (1 - smoothing) * F.one_hot(labels, classes) + smoothing * spread  # [b, classes]
        return F.cross_entropy(scores, wanted)

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:  # noqa: D102
        rows, labels = batch
        scores = self(rows).float()
        hits = (scores.argmax(1) == labels).float()
        pictures = torch.ones_like(hits).sum()
        self._sums["val_loss"].append(torch.stack([F.cross_entropy(scores, labels, reduction="sum"), pictures]))
        self._sums["val_accuracy"].append(torch.stack([hits.sum(), pictures]))

    def on_validation_epoch_end(self) -> None:
        """Take the mean over the whole part: its batches are not equally large."""
        # summed by hand: Lightning's own means, taken at every step, cost a quarter of the time that a head trains
        for name, sums in self._sums.items():
            if sums:  # nothing has been trained when a phase is judged before it begins
                total, weight = torch.stack(sums).sum(0)
                self.log(name, total / weight)
            sums.clear()

    def configure_optimizers(self) -> Any:
        """AdamW (Loshchilov & Hutter 2019); the rate rises for a tenth of the steps, then falls along a cosine."""
        new, pretrained = self.recipe.lr, self.recipe.tail_lr
        parts = [(self.head, new), (self.tail, pretrained), (self.side_classifiers, new)]
        groups = [
            {"params": [parameter for parameter in part.parameters() if parameter.requires_grad], "lr": lr}
            for part, lr in parts
        ]
        optimizer = torch.optim.AdamW(
            [group for group in groups if group["params"]], weight_decay=self.recipe.weight_decay, fused=True
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, warm_up_then_cosine(self.steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _reseed(seed: int, device: torch.device) -> None:
    """Seed what draws on this device: `torch.manual_seed` asks all devices, 2 ms at every step of a small head."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def warm_up_then_cosine(steps: int) -> Callable[[int], float]:
    """Return the factor on the largest rate at each step: up in a straight line, then down along half a cosine."""
    rising = max(1, round(WARM_UP * steps))

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rising) / max(1, steps - rising))))

    return factor


class WholeFiles(TorchCheckpointIO):
    """Writes checkpoints under a temporary name first: one that exists is whole, whenever the power went."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:  # noqa: D102
        # Lightning's own way takes as much room again in the system's /tmp
        with files.whole(Path(path)) as temporary, temporary.open("wb") as file:
            torch.save(checkpoint, file)


class History(Callback):
    """Writes a row per epoch into history.csv and moves the progress on; its rows are part of the checkpoint."""

    def __init__(
        self,
        path: Path,
        phase: str,
        tick: Callable[..., None],
        before: Sequence[dict[str, Any]] = (),
        progress: Progress | None = None,
    ) -> None:
        self.path, self.phase, self.tick = path, phase, tick
        self.before, self.rows = list(before), list[dict[str, Any]]()
        self.progress, self.unwritten = progress or Progress(), False
        self.epochs_begun = 0  # in this process; with the second one, what a checkpoint holds has proved itself

    def state_dict(self) -> dict[str, Any]:  # noqa: D102
        return {"rows": self.rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: D102
        self.rows = [{**row, "epoch": int(row["epoch"]), "val_loss": float(row["val_loss"])} for row in state["rows"]]
        self.tick(epochs_of(self.rows))

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: D102
        self.epochs_begun += 1

    def start(self, seen: Mapping[str, float]) -> None:
        """Write what holds before the first epoch, as epoch 0."""
        self.rows = [{"phase": self.phase, "epoch": 0, **{name: round(value, 6) for name, value in seen.items()}}]
        self._write()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: D102
        seen = {name: round(float(value), 6) for name, value in trainer.callback_metrics.items()}
        row = {
            "phase": self.phase,
            "epoch": trainer.current_epoch + 1,
            **seen,
            "lr": f"{trainer.optimizers[0].param_groups[0]['lr']:.3g}",
        }
        self.rows.append(row)
        self._write()
        train, val, accuracy = (row.get(name, math.nan) for name in ("train_loss", "val_loss", "val_accuracy"))
        self.tick(1, f"loss {train:.3f}, validation {val:.3f}, accuracy {accuracy:.3f}")

    def _write(self) -> None:
        try:
            write_history(self.path, [*self.before, *self.rows])
        except OSError as error:  # such as a table that a spreadsheet on Windows has open: no reason to end a training
            if not self.unwritten:
                self.progress.warn(f"{self.path} cannot be written ({error.strerror}); the training goes on.")
            self.unwritten = True


class Patience(EarlyStopping):
    """Also ends a phase that goes on from a checkpoint at which it had been ended already."""

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: D102
        trainer.should_stop = self.wait_count >= self.patience or self.stopped_epoch > 0


class Averaging(WeightAveraging):
    """Judges and keeps a running mean of the weights: a head that stops one step later answers much the same.

    Polyak & Juditsky 1992; exponential, over few steps at first, as in TensorFlow's ExponentialMovingAverage.
    """

    def __init__(self, steps: int) -> None:
        least = 1 / min(MOST_AVERAGED, max(1.0, AVERAGED_SHARE * steps))

        def running_mean(means: Any, now: Any, count: Tensor | int) -> None:
            torch._foreach_lerp_(means, now, max(least, 9 / (10 + int(count))))  # in place: half the time of the sum

        super().__init__(use_buffers=False, multi_avg_fn=running_mean)

    def state(self) -> dict[str, Tensor]:
        """Return the mean weights by name."""
        assert self._average_model is not None
        return self._average_model.module.state_dict()


class Checkpoints(Checkpoint):
    """Writes best.ckpt, where the validation loss is the lowest so far, and last.ckpt, to go on from.

    Both every few seconds: a head learns ten epochs in that time, and what a killed process had not written is learned
    again just as it was. Lightning's ModelCheckpoint writes its "last" only together with a new best, and forgets the
    best when the folder was moved.
    """

    def __init__(
        self,
        folder: Path,
        rows: Callable[[], Sequence[dict[str, Any]]],
        judged: Callable[[], Mapping[str, Tensor]],
        every_s: float,
    ) -> None:
        self.folder, self.rows, self.judged, self.every_s = folder, rows, judged, every_s
        self.best: dict[str, Any] | None = None  # not written yet
        self.written_s = time.monotonic()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: D102
        if _best_epoch(self.rows()) == trainer.current_epoch + 1:
            tensors = {name: tensor.detach().clone() for name, tensor in self.judged().items()}
            self.best = {"epoch": trainer.current_epoch, "state_dict": tensors}
        if time.monotonic() - self.written_s >= self.every_s:
            self.write_best()
            trainer.save_checkpoint(self.folder / "last.ckpt")
            self.written_s = time.monotonic()

    def write_best(self) -> None:
        """Bring the best epoch to the disk."""
        if self.best is not None:
            WholeFiles().save_checkpoint(self.best, self.folder / "best.ckpt")
        self.best = None


HISTORY_COLUMNS = ("phase", "epoch", "train_loss", "val_loss", "val_accuracy", "lr")


def write_history(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write history.csv, whole or not at all."""
    cells = ([row.get(name, "") for name in HISTORY_COLUMNS] for row in rows)
    files.write_csv(path, HISTORY_COLUMNS, cells, flushed=False)  # once an epoch: a tenth of a head's time


def fit(
    tail: nn.Module,
    head: nn.Module,
    train: Examples,
    val: Examples,
    recipe: Recipe,
    *,
    folder: Path,
    phase: str,
    history: Path,
    frozen: Sequence[nn.Module] = (),
    side_exits: Sequence[SideExit] = (),
    device: torch.device | None = None,
    learned: bool = False,
    resume: bool = False,
    checkpoint_every_s: float | None = None,
    progress: Progress | None = None,
) -> Fitted:
    """Train for one phase and leave the best epoch's tensors (by validation loss) in `tail` and `head`, in eval mode.

    Where an earlier phase has `learned` already, what it gave is epoch 0: a phase that makes nothing better, as on few
    pictures, changes nothing.
    `folder` gets ``best.ckpt`` and ``last.ckpt``; with `resume`, training goes on from the latter if it is there.
    They are written at the first epoch that ends `checkpoint_every_s` seconds (5 by default) after the last writing, or
    after the start: a phase that takes less writes only its best, at its end.
    Ctrl-C ends the phase early, with what the best epoch so far has given.

    Raises:
        RunError: no epoch has a loss that is a number.
        KeyboardInterrupt: Ctrl-C before the first epoch was over: there is nothing to keep.
    """
    device = device or torch.device("cpu")
    folder.mkdir(parents=True, exist_ok=True)
    last, best = folder / "last.ckpt", folder / "best.ckpt"
    batches = Batches(train, recipe.batch_size, epoch=lambda: module.current_epoch, seed=recipe.seed, shuffle=True)
    module = TailAndHead(tail, head, recipe, steps=recipe.epochs * len(batches), frozen=frozen, side_exits=side_exits)
    module.train()  # Lightning keeps the mode it finds, and the prefix has left the shared stages in eval mode
    module.to(memory_format=engines.layout(device))
    checked = Batches(val, max(recipe.batch_size, 64), epoch=lambda: 0, seed=0, shuffle=False)
    progress = progress or Progress()
    before = [row for row in _rows_before(history, progress) if row["phase"] != phase]
    with (
        progress.track(f"Training ({phase})", recipe.epochs, "epochs") as tick,
        _quiet(),
        _threads_for(tail, train),
    ):
        stopper = Patience("val_loss", patience=recipe.patience, check_on_train_epoch_end=True)
        seen = History(history, phase, tick, before, progress)
        # only where a head learns alone: of a tail's mean weights it is not known that they answer better
        means = [] if any(True for _ in tail.parameters()) else [Averaging(recipe.epochs * len(batches))]
        judged = means[0].state if means else module.state_dict
        saver = Checkpoints(
            folder, lambda: seen.rows, judged, CHECKPOINT_EVERY_S if checkpoint_every_s is None else checkpoint_every_s
        )
        trainer = lightning.Trainer(
            max_epochs=recipe.epochs,
            callbacks=[*means, seen, stopper, saver],  # a Checkpoint comes last and holds what the others know
            plugins=[WholeFiles(), LightningEnvironment()],  # one machine, also where SLURM has started this process
            default_root_dir=folder,
            **_machine(device),
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        resumed = str(last) if resume and last.exists() else None
        if resumed:
            _read_checkpoint(last)
        # signals are the caller's: Lightning would put SIGTERM off to the end of a batch, and then let it pass
        trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
        interrupted = False
        on_interrupt = signal.getsignal(signal.SIGINT)
        try:
            if learned and not resumed:
                seen.start(trainer.validate(module, checked, verbose=False)[0])
                trainer.save_checkpoint(best, weights_only=True)
                module.train()
            trainer.fit(module, batches, checked, ckpt_path=resumed, weights_only=True)
        except SystemExit:  # this is how Lightning answers Ctrl-C; what is there can still be used
            interrupted = True
            signal.signal(signal.SIGINT, on_interrupt)  # Lightning has switched it off
        except (RegraftError, OSError, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            if not resumed or seen.epochs_begun > 1:
                raise
            raise _damaged(last) from error  # it was read, and holds what no training has left there
    saver.write_best()
    if not (best.exists() and seen.rows):
        raise KeyboardInterrupt
    _tell_divergence(seen.rows, phase, progress)
    restore(tail, head, best)
    return Fitted(epochs_of(seen.rows), interrupted)


def _tell_divergence(rows: Sequence[dict[str, Any]], phase: str, progress: Progress) -> None:
    """Say that the loss ceased to be a finite number; raise it where no epoch has one."""
    finite = [math.isfinite(float(row["val_loss"])) for row in rows]
    if all(finite):
        return
    epoch = rows[finite.index(False)]["epoch"]
    line = (
        f"The training diverged in epoch {epoch} of phase {phase!r}: the loss is not a number. "
        "Use a smaller --lr or --tail-lr."
    )
    if not any(finite):
        raise RunError(line)
    progress.warn(f"{line} The best epoch before is kept.")


def restore(tail: nn.Module, head: nn.Module, checkpoint: Path) -> None:
    """Load the tensors of a checkpoint into tail and head, and leave both on the CPU, in eval mode."""
    state = _read_checkpoint(checkpoint)
    for name, part in (("tail.", tail), ("head.", head)):
        own = {key.removeprefix(name): value for key, value in state.items() if key.startswith(name)}
        if misfits(part.cpu().state_dict(), own):
            raise _damaged(checkpoint)
        part.load_state_dict(own)
        part.eval()


def _read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint, by name."""
    try:
        state = read_torch(path)["state_dict"]
        if not all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state.items()):
            raise TypeError("no tensors")
    except Exception as error:
        raise _damaged(path) from error
    return dict(state)


def _damaged(checkpoint: Path) -> RunError:
    return RunError(f"{checkpoint} is damaged, so this run cannot go on. Start a new one without --resume.")


def epochs_of(rows: Sequence[dict[str, Any]]) -> int:
    """Return how many epochs history.csv has; a row of epoch 0 is what the phase before had given."""
    return sum(int(row["epoch"]) > 0 for row in rows)


def _best_epoch(rows: Sequence[dict[str, Any]]) -> int:
    def loss(row: dict[str, Any]) -> float:
        return value if math.isfinite(value := float(row["val_loss"])) else math.inf  # nothing is less than nan

    return int(min(rows, key=loss)["epoch"])


def kept_epoch(history: Sequence[dict[str, Any]]) -> int:
    """Return which epoch's tensors were kept, counted from 1 over all phases; 0 where its row is missing."""
    phase = [row for row in history if row["phase"] == history[-1]["phase"]]
    before = history[: len(history) - len(phase)]
    best = _best_epoch(phase)
    if best:
        return epochs_of(before) + best
    return kept_epoch(before) if before else 0


def _rows_before(path: Path, progress: Progress) -> list[dict[str, Any]]:
    """Return what the phases before have written: not much is lost where a loss of power has spoilt it."""
    try:
        return read_history(path)
    except RunError as error:
        progress.warn(f"{error} The training goes on; the curves of its earlier phases are lost.")
        return []


def read_history(path: Path) -> list[dict[str, Any]]:
    """Read history.csv; an absent file has no rows.

    Raises:
        RunError: it is damaged.
    """
    rows = files.read_csv(path, needed=HISTORY_COLUMNS)
    try:
        for row in rows:
            numbers = [float(row[name]) for name in HISTORY_COLUMNS[2:] if row[name] or name.startswith("val")]
            if int(row["epoch"]) < 0 or -math.inf in numbers:
                raise ValueError(f"the row of epoch {row['epoch']}")
    except ValueError as error:
        raise RunError(f"{path} cannot be read ({error}). It was edited or damaged.") from error
    return rows


def _machine(device: torch.device) -> dict[str, Any]:
    if device.type != "cuda":
        return {"accelerator": device.type, "devices": 1, "precision": "32-true"}
    bf16 = torch.cuda.is_bf16_supported(including_emulation=False)  # emulated, it is slower than float32
    return {"accelerator": "cuda", "devices": 1, "precision": "bf16-mixed" if bf16 else "16-mixed"}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's notes on hardware and data loaders from the user: they advise on code that users do not have."""
    log = logging.getLogger("lightning.pytorch")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


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
    tail: nn.Module, head: nn.Module, examples: Examples, *, device: torch.device | None = None, batch_size: int = 64
) -> np.ndarray:
    """Return probabilities float64 [n, classes] of the plain view, in the order of ``examples.which``."""
    device = device or torch.device("cpu")
    network = nn.Sequential(tail, head).eval().to(device).to(memory_format=engines.layout(device))  # type: ignore[call-overload]
    batches = Batches(examples, batch_size, epoch=lambda: 0, seed=0, shuffle=False)
    with torch.inference_mode(), _threads_for(tail, examples):
        # cpu first: Apple's GPUs know no float64
        answers = [network(rows.to(device).float()).cpu().double().softmax(1).numpy() for rows, _ in batches]
    return np.concatenate(answers)
