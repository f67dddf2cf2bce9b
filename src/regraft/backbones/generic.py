"""Network -> row of the table: cut one that has no row between its own layers, and try whether that is exact.

The layers run one after the other, in the order in which the network holds them. A cut lies where a feature map
[b, c, h, w] passes and what follows shrinks it, as in the table. Whether these layers really are all that the network
does is not guessed: number for number, they must give what it gives.
"""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor, nn

from regraft.backbones.families import Family
from regraft.backbones.stages import parse
from regraft.errors import ConfigError

SMALL = 64  # px; enough to tell the stages apart, and fast
HEAD = ("global_pool", "avgpool", "head", "head_drop", "fc", "classifier", "classif", "last_linear")

# What a network raises whose layers want to be called otherwise than one after the other.
_DOES_NOT_RUN = (RuntimeError, TypeError, ValueError, AssertionError, LookupError, AttributeError)


def row_of(family: Family, model: nn.Module, size: int) -> Family:
    """Fill in the stage strings of a row that has none.

    Args:
        family: The row.
        model: The network, in eval mode; it is left as it is.
        size: Of the pictures that it was made for, tried where it refuses small ones.

    Raises:
        ConfigError: its layers one after the other do not give what it gives, or no feature map comes of them.
    """
    probe = _without_zeros(model)
    names = [name for name, _ in probe.named_children()]
    body = list(takewhile(lambda name: name not in HEAD, names[:-1]))
    with torch.inference_mode():
        x, expected = _answer(family, probe, size)
        steps = _steps(probe, body, x)
        if not steps or not _is_map(steps[-1][1]):
            raise refusal(family, "its layers one after the other give no feature map [batch, channels, h, w]")
        for classifier in _classifiers(names[len(body) :]):
            if _gives(probe, classifier, steps[-1][1], expected):
                return replace(family, stages=_stages(steps), classifier=classifier)
    raise refusal(family, "its layers one after the other do not give what it gives")


def _without_zeros(model: nn.Module) -> nn.Module:
    """A copy in which no layer is all zeros: what a new network multiplies by zero, no comparison could see."""
    probe = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in probe.parameters():
            if not parameter.is_meta and not parameter.any():
                parameter.copy_(_numbers(parameter.shape, parameter.device) / 10)
    return probe


def _numbers(shape: Sequence[int], device: torch.device) -> Tensor:
    """Numbers from -1 to 1 that follow no grid, and leave the random state alone."""
    return torch.arange(math.prod(shape), device=device).sin().view(*shape)


def _answer(family: Family, model: nn.Module, size: int) -> tuple[Tensor, Tensor]:
    """A picture [1, 3, s, s] and what the network gives for it."""
    device = next(model.parameters()).device
    for side in (SMALL, size):
        x = _numbers((1, 3, side, side), device)
        with contextlib.suppress(*_DOES_NOT_RUN):
            return x, model(x.clone())
    raise refusal(family, f"it does not run on a picture of {size} px")


def _steps(model: nn.Module, paths: Sequence[str], x: Tensor) -> list[tuple[str, Any]]:
    """Every layer with what it gives, one after the other; empty where a layer cannot take what the last one gave."""
    try:
        return list(_walk(model, paths, x))
    except _DOES_NOT_RUN:
        return []


def _walk(model: nn.Module, paths: Sequence[str], x: Any) -> Iterator[tuple[str, Any]]:
    for path in paths:
        layer = model.get_submodule(path)
        y = x if type(layer) is nn.ModuleList else layer(x.clone() if isinstance(x, Tensor) else x)
        if type(layer) is nn.ModuleList or (type(layer) is nn.Sequential and _shrinks_twice(x, y)):
            for step in _walk(model, [f"{path}.{name}" for name, _ in layer.named_children()], x):
                yield step
                y = step[1]
        else:
            yield path, y
        x = y


def _shrinks_twice(x: Any, y: Any) -> bool:
    """Whether there is a place for a cut within the layer."""
    return _is_map(x) and _is_map(y) and x.shape[-1] > 2 * y.shape[-1]


def _is_map(y: Any) -> bool:
    return isinstance(y, Tensor) and y.ndim == 4 and y.shape[2] == y.shape[3]  # not [b, h, w, c], as some have it


def _stages(steps: Sequence[tuple[str, Any]]) -> str:
    """Begin a stage with what shrinks the map; where no single map passes there is no cut."""
    stages, waiting, side = [list[str]()], list[str](), 0
    for path, y in steps:
        waiting.append(path)
        if _is_map(y):
            if y.shape[-1] < side:
                stages.append([])
            stages[-1] += waiting
            waiting, side = [], y.shape[-1]
    return " ".join(f"{parts[0]}={'+'.join(parts)}" for parts in stages)


def _classifiers(names: Sequence[str]) -> list[str]:
    """What usually stands between the last map and the scores; libraries pool and flatten with and without a module."""
    all_of_it = "+".join(names)
    return [all_of_it, "+".join([names[0], "@flatten", *names[1:]]), f"@pool+@flatten+{all_of_it}"]


def _gives(model: nn.Module, classifier: str, features: Tensor, expected: Tensor) -> bool:
    try:
        (stage,) = parse(f"classifier={classifier}", model)
        found = stage.module(features.clone())
        # on the meta device there are only shapes
        return found.shape == expected.shape and (expected.is_meta or torch.equal(found, expected))
    except _DOES_NOT_RUN:
        return False


def refusal(family: Family, reason: str) -> ConfigError:
    """The one line for a network that has no place for a cut."""
    return ConfigError(
        f"{family.name} ({family.library}) cannot be cut into a frozen and a trained part: {reason}. Take a "
        "convolutional network that runs layer by layer, such as resnet50 or convnext_tiny."
    )
