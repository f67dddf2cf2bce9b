"""Name -> Backbone: an ordered list of stages that can be cut into a frozen prefix and a trained tail."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from regraft.backbones.auxiliary import Auxiliary, detach
from regraft.backbones.families import find
from regraft.backbones.generic import refusal, row_of
from regraft.backbones.libraries import LIBRARIES, published
from regraft.backbones.stages import Stage, parse
from regraft.data.decode import Preprocessing
from regraft.errors import ConfigError, UnknownName

MEAN_AND_MAXIMUM = ("mean", "maximum")
_POOLS: dict[str, Callable[[Tensor, tuple[int, int]], Tensor]] = {"mean": torch.mean, "maximum": torch.amax}


class PixelNorm(nn.Module):
    """Pixels as they are stored -> what the network was trained on, so that no other normalisation can creep in.

    uint8 [b, s, s, 3] RGB -> float [b, 3, s, s]; the picture's own memory order makes this channels_last, the faster
    layout for convolutions.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, preprocessing: Preprocessing) -> None:
        """Bring the mean and deviation to the range of the stored pixels, 0 to 255."""
        super().__init__()
        to_bytes = 255 / preprocessing.scale
        self.flips = preprocessing.channels == "BGR"
        for name, values in (("mean", preprocessing.mean), ("std", preprocessing.std)):
            self.register_buffer(name, torch.tensor(values).mul(to_bytes).view(3, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """uint8 [b, s, s, 3] -> float [b, 3, s, s]."""
        x = pixels.permute(0, 3, 1, 2)  # [b, 3, s, s]
        x = x.flip(1) if self.flips else x
        return (x.to(self.mean.dtype) - self.mean) / self.std


class GlobalPool(nn.Module):
    """Feature maps [b, c, h, w] -> the mean of each channel, then its maximum: [b, 2 c]; what is pooled passes.

    The mean alone hides a small object among many places that look alike; the two together are fastai's
    AdaptiveConcatPool2d.
    """

    def __init__(self, pools: Sequence[str] = MEAN_AND_MAXIMUM) -> None:
        super().__init__()
        self.pools = tuple(pools)

    def forward(self, x: Tensor) -> Tensor:
        """[b, c, h, w] or [b, pools c] -> [b, pools c]."""
        return torch.cat([_POOLS[name](x, (2, 3)) for name in self.pools], 1) if x.ndim == 4 else x


@dataclass(frozen=True, eq=False, repr=False)
class Backbone:
    """A pretrained network as stages; ``classifier(stages(x))`` equals ``model(x)`` exactly."""

    name: str
    family: str
    library: str
    stages: tuple[Stage, ...]  # the body
    classifier: Stage  # the network's own head: pool, flatten, fully connected layers
    model: nn.Module  # the library's module; the stages share its parameters
    preprocessing: Preprocessing  # what its published weights expect
    width: int  # channels of the last stage
    auxiliaries: tuple[Auxiliary, ...] = ()  # side exits for training; no part of ``model``
    known_shapes: dict[int, list[tuple[int, ...]]] = field(default_factory=dict)  # by the pictures' size
    pools: tuple[str, ...] = MEAN_AND_MAXIMUM  # of the last stage's maps; none: they are given whole

    def __repr__(self) -> str:
        """Say what it is, without its tensors."""
        return f"<Backbone: {self.name}, {len(self.stages)} stages>"

    @property
    def embedding_width(self) -> int:
        """The length of an embedding: mean and maximum of each channel."""
        return len(self.pools) * self.width

    def sized(self, size: int | None, fit: str) -> Backbone:
        """The same network, looking at squares of ``size`` pixels (None: as before) that ``fit`` makes of pictures."""
        preprocessing = self.preprocessing
        size = size or preprocessing.size
        resize = size if fit == "stretch" else round(size * preprocessing.resize / preprocessing.size)
        return replace(self, preprocessing=replace(preprocessing, size=size, resize=resize, fit=fit))

    def until(self, layer: str | None, *, pool: bool = True) -> Backbone:
        """The same network up to a stage (None: the last one), which gives its maps' means, or the maps.

        Raises:
            UnknownName: lists the stages.
        """
        cut = len(self.stages) if layer is None else self.cut_above(layer)
        shapes = self.shapes(self.preprocessing.size)[:cut]
        known, pools = {self.preprocessing.size: shapes}, ("mean",) if pool else ()
        return replace(self, stages=self.stages[:cut], width=shapes[-1][0], pools=pools, known_shapes=known)

    def prefix(self, cut: int, start: int = 0) -> nn.Module:
        """The frozen part: uint8 [b, s, s, 3] RGB -> float [b, c, h, w], in eval mode.

        At the last cut the global pool is part of it and the output is [b, 2 c]: there is nothing to learn in it, and
        a kept row becomes some twenty-five times smaller. At cut 0 it only normalises. With ``start`` it goes on
        from that earlier cut's output instead of the pixels. Gradients are the caller's choice (Grad-CAM needs them
        on a frozen network).
        """
        norm = [] if start else [PixelNorm(self.preprocessing)]
        pool = [GlobalPool(self.pools)] if cut == len(self.stages) and self.pools else []
        return nn.Sequential(*norm, *(stage.module for stage in self.stages[start:cut]), *pool).eval()

    def tail(self, cut: int) -> nn.Sequential:
        """The stages after the cut: float [b, c, h, w] -> float [b, width, h, w]; empty at the last cut."""
        tail = nn.Sequential()
        for stage in self.stages[cut:]:
            tail.add_module(stage.name.replace(".", "_"), stage.module)  # torch allows no dot in a module's name
        return tail

    def above(self, cut: int) -> nn.Module:
        """What goes on from the activations at a cut, up to the head; from uint8 pixels, normalisation comes first."""
        return self.tail(cut) if cut else nn.Sequential(self.prefix(0), self.tail(0))

    def cut_of(self, unfreeze: str) -> int:
        """The cut below ``unfreeze``: a stage's name (it and all later ones train), a number of stages, or "all".

        Raises:
            UnknownName: lists the stages.
        """
        names = [stage.name for stage in self.stages]
        cuts = {"all": 0} | {str(n): len(names) - n for n in range(len(names) + 1)}
        cuts |= {name: cut for cut, name in enumerate(names)}
        if unfreeze not in cuts:
            raise UnknownName(f"stage of {self.name}", unfreeze, [*names, "all"], f"Or a number, 0 to {len(names)}.")
        return cuts[unfreeze]

    def cut_above(self, stage: str) -> int:
        """The cut right after the stage of that name.

        Raises:
            UnknownName: lists the stages.
        """
        names = [stage.name for stage in self.stages]
        if stage not in names:
            raise UnknownName(f"stage of {self.name}", stage, names)
        return names.index(stage) + 1

    def shapes(self, size: int) -> list[tuple[int, ...]]:
        """The output (c, h, w) of every stage for pictures of ``size`` pixels; computes no numbers.

        Raises:
            ConfigError: the pictures are too small for the network.
        """
        try:
            if size not in self.known_shapes:
                self.known_shapes[size] = list(_shapes(self.stages, size))
        except RuntimeError as error:
            raise ConfigError(
                f"{size} px is too small for {self.name}: a later layer has nothing left to see"
            ) from error
        return self.known_shapes[size]


NORMS, ACTIVATIONS = {F.batch_norm, F.layer_norm}, {F.relu, F.relu6, F.hardtanh, F.hardswish, F.silu, F.gelu, F.elu}
KEEP_SHAPES = NORMS | ACTIVATIONS
SUMS = {torch.add, Tensor.add, Tensor.add_, Tensor.__add__, Tensor.__iadd__}


def build(name: str, *, seed: int = 0) -> Backbone:
    """Build a backbone with random weights, in eval mode; torch's global random state stays as it was.

    Raises:
        UnknownName: with the nearest names.
        ConfigError: a network outside the table that cannot be cut exactly.
    """
    name, family = find(name)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # not torch.manual_seed: that would reseed the accelerators too
        model = LIBRARIES[family.library].create(name, **family.options).eval()
    preprocessing = published(family.library, name).preprocessing
    row = family if family.stages else row_of(family, model, preprocessing.size)
    stages = parse(row.stages, model)
    (classifier,) = parse(f"classifier={row.classifier}", model)
    try:
        shapes = list(_shapes(stages, preprocessing.size))
    except RuntimeError as error:  # some layers run on real devices only; of a row in the table none does
        raise refusal(family, "what its stages give cannot be told without computing it") from error
    auxiliaries = detach(row, model, stages)
    width, known = shapes[-1][0], {preprocessing.size: shapes}
    return Backbone(
        name, family.name, family.library, stages, classifier, model, preprocessing, width, auxiliaries, known
    )


def _shapes(stages: Sequence[Stage], size: int) -> Iterable[tuple[int, ...]]:
    """Run the stages on the meta device: shapes without arithmetic."""
    x = torch.empty(2, 3, size, size, device="meta")  # two, since BatchNorm in training refuses one
    for stage in stages:
        tensors = chain(stage.module.named_parameters(), stage.module.named_buffers())
        with _ShapesAlone():
            x = torch.func.functional_call(stage.module, {name: tensor.to("meta") for name, tensor in tensors}, (x,))
        yield tuple(x.shape[1:])


class _ShapesAlone(TorchFunctionMode):
    """Tells what these give without asking torch, which on the meta device loads its compiler for them: a second."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in KEEP_SHAPES or (func in SUMS and args[0].shape == getattr(args[1], "shape", None)):
            return args[0]
        return (_joined if func is torch.cat else func)(*args, **kwargs or {})


def _joined(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    shape = list(tensors[0].shape)
    shape[dim] = sum(tensor.shape[dim] for tensor in tensors)
    return torch.empty(shape, device="meta")
