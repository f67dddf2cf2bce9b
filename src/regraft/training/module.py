"""The trained end of a network: what it answers, its loss, its optimizer and the running mean of its weights."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from regraft.training.accelerating import AdamW

AVERAGED_SHARE, MOST_AVERAGED = 0.1, 100  # of the steps; and steps: a mean over more of them lags behind
WARM_UP = 0.1  # share of the steps in which the rate rises: a new head's first gradients would upset pretrained layers


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
class AuxiliaryClassifier:
    """It sees what a part of the tail gives, and its loss counts in training only."""

    after: nn.Module  # the part of the tail
    classifier: nn.Module
    weight: float


class TailAndHead(nn.Module):
    """The trained end of the network. Parts of the tail that the plan leaves frozen stay in eval mode throughout."""

    def __init__(
        self,
        tail: nn.Module,
        head: nn.Module,
        recipe: Recipe,
        *,
        frozen: Sequence[nn.Module] = (),
        auxiliaries: Sequence[AuxiliaryClassifier] = (),
    ) -> None:
        super().__init__()
        self.tail, self.head, self.recipe = tail, head, recipe
        self._auxiliaries, self._frozen = tuple(auxiliaries), tuple(frozen)
        self.auxiliary_classifiers = nn.ModuleList(auxiliary.classifier for auxiliary in auxiliaries)
        for module in self._frozen:
            module.requires_grad_(False)
        self.shares: Tensor | None
        shares = None if recipe.shares is None else torch.tensor(recipe.shares)
        self.register_buffer("shares", shares, persistent=False)

    def train(self, mode: bool = True) -> TailAndHead:  # noqa: D102  what is frozen keeps its BatchNorm statistics
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Activations [b, *shape], of any number format, or uint8 pixels -> scores [b, classes]."""
        return self.head(self.tail(x.float()))  # type: ignore[no-any-return]

    def loss(self, rows: Tensor, labels: Tensor, step: tuple[int, int] = (0, 0)) -> Tensor:
        """Return the training loss of a batch; what is random is drawn from the seed and `step`: (epoch, batch)."""
        _reseed(int(np.random.SeedSequence((self.recipe.seed, *step)).generate_state(1)[0]), rows.device)
        rows, targets = self._mixed(rows, labels) if self.recipe.mixup else (rows, [(1.0, labels)])
        return torch.stack(
            [
                weight * share * self._cross_entropy(scores, target)
                for weight, scores in self._all_scores(rows)
                for share, target in targets
            ]
        ).sum()

    def _mixed(self, rows: Tensor, labels: Tensor) -> tuple[Tensor, list[tuple[float, Tensor]]]:
        """Mix pairs of examples at the cut: mixup (Zhang 2018); above pixels, manifold mixup (Verma 2019)."""
        share = float(np.random.default_rng(int(torch.randint(2**31, (1,)))).beta(self.recipe.mixup, self.recipe.mixup))
        other = torch.randperm(len(labels), device=rows.device)
        mixed = share * rows.float() + (1 - share) * rows[other].float()
        return mixed, [(share, labels), (1 - share, labels[other])]

    def _all_scores(self, rows: Tensor) -> list[tuple[float, Tensor]]:
        """Return the head's scores, and those of the auxiliary classifiers, each with the weight of its loss."""
        seen: list[tuple[float, Tensor]] = []
        with contextlib.ExitStack() as hooks:
            for auxiliary in self._auxiliaries:
                hook = auxiliary.after.register_forward_hook(
                    lambda _, __, given, one=auxiliary: seen.append((one.weight, one.classifier(given)))
                )
                hooks.callback(hook.remove)
            return [(1.0, self(rows)), *seen]

    def _cross_entropy(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Return the cross entropy with labels that are smoothed towards the classes' shares.

        A network that knows nothing then answers with the shares, which is the best that it can do. Smoothed towards
        equal ones (Szegedy et al. 2016) it gives a class of 1 in 100 pictures a probability of 0.05. No class weighs
        more than another: with weights the probabilities would be those of other pictures.
        """
        classes, smoothing = scores.shape[1], self.recipe.label_smoothing
        spread = 1 / classes if self.shares is None else self.shares
        wanted = (1 - smoothing) * F.one_hot(labels, classes) + smoothing * spread  # [b, classes]
        return F.cross_entropy(scores, wanted)

    def optimizer(self) -> torch.optim.Optimizer:
        """AdamW (Loshchilov & Hutter 2019), with a rate of its own for the pretrained tail."""
        new, pretrained = self.recipe.lr, self.recipe.tail_lr
        parts = [(self.head, new), (self.tail, pretrained), (self.auxiliary_classifiers, new)]
        groups = [
            {"params": [parameter for parameter in part.parameters() if parameter.requires_grad], "lr": lr}
            for part, lr in parts
        ]
        used = [group for group in groups if group["params"]]
        return AdamW(used, weight_decay=self.recipe.weight_decay, fused=True)


def _reseed(seed: int, device: torch.device) -> None:
    """Seed what draws on this device: `torch.manual_seed` asks all devices, 2 ms at every step of a small head."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def schedule(optimizer: torch.optim.Optimizer, steps: int) -> LambdaLR:
    """Return what sets the rate at each of so many steps."""
    return LambdaLR(optimizer, warm_up_then_cosine(steps))


def warm_up_then_cosine(steps: int) -> Callable[[int], float]:
    """Return the factor on the largest rate at each step: up in a straight line, then down along half a cosine."""
    rising = max(1, round(WARM_UP * steps))

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rising) / max(1, steps - rising))))

    return factor


def running_mean(module: nn.Module, steps: int) -> AveragedModel:
    """Return a running mean of the weights over so many steps: a head that stops one step later answers much the same.

    Polyak & Juditsky 1992; exponential, over few steps at first, as in TensorFlow's ExponentialMovingAverage.
    """
    least = 1 / min(MOST_AVERAGED, max(1.0, AVERAGED_SHARE * steps))

    def mean(means: Any, now: Any, count: Tensor | int) -> None:
        torch._foreach_lerp_(means, now, max(least, 9 / (10 + int(count))))  # in place: half the time of the sum

    return AveragedModel(module, multi_avg_fn=mean)
