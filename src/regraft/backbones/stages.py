"""Stage string x model -> stages: the grammar of the table in ``families``."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

from torch import nn

FUNCTIONS: dict[str, Callable[[], nn.Module]] = {
    "@relu": nn.ReLU,
    "@pool": lambda: nn.AdaptiveAvgPool2d(1),
    "@flatten": lambda: nn.Flatten(1),
}
_SLICE = re.compile(r"(?P<path>[\w.]+)\[(?P<start>\d+):(?P<stop>\d+)\]")


@dataclass(frozen=True)
class Stage:
    """A named piece of a network: between two stages it can be cut."""

    name: str
    module: nn.Module

    @property
    def parameter_count(self) -> int:
        """Numbers that training could change."""
        return sum(parameter.numel() for parameter in self.module.parameters())


def parse(text: str, model: nn.Module) -> tuple[Stage, ...]:
    """Read a stage string; the stages share the parameters of ``model``."""
    return tuple(_stage(word, model) for pattern in text.split() for word in _expand(pattern, model))


def _expand(word: str, model: nn.Module) -> list[str]:
    """``block*=features/MaxPool2d`` -> ``block1=features[0:3] block2=features[3:6] …``; other words stay."""
    name, _, parts = word.rpartition("=")
    path, slash, kind = parts.partition("/")
    if not slash:
        return [word]
    children = _sequential(path, model)
    stops = [index for index, child in enumerate(children, 1) if type(child).__name__ == kind]
    return [
        f"{name.replace('*', str(number))}={path}[{start}:{stop}]"
        for number, (start, stop) in enumerate(pairwise([0, *stops]), 1)
    ]


def rest(model: nn.Module, first: str) -> nn.Module:
    """What the network does between its child ``first`` and its classifier, as one module with the layers of these.

    It is the network itself, its own ``forward_features`` and its own layers, with nothing where ``first`` was.
    """
    part = copy.copy(model)
    children = [name for name, _ in model.named_children()]
    head = children[children.index("global_pool") :]
    part._modules = {name: child for name, child in model._modules.items() if name not in head}
    part._modules[first] = nn.Identity()
    part.forward = model.forward_features.__func__.__get__(part)  # type: ignore[operator,union-attr]
    return part


def _stage(word: str, model: nn.Module) -> Stage:
    given, _, parts = word.rpartition("=")
    named = [_part(part, model) for part in parts.split("+")]
    modules = [module for _, module in named]
    return Stage(given or named[0][0], modules[0] if len(modules) == 1 else nn.Sequential(*modules))


def _part(part: str, model: nn.Module) -> tuple[str, nn.Module]:
    """One child, slice or function, and the name it would give to a stage."""
    if part.startswith("@rest:"):
        return "rest", rest(model, part.removeprefix("@rest:"))
    if part in FUNCTIONS:
        return part.removeprefix("@"), FUNCTIONS[part]()
    if part.startswith("@"):
        name = part.removeprefix("@")
        return name, cast("dict[str, nn.Module]", model.parts)[name]
    if (match := _SLICE.fullmatch(part)) is None:
        return part.rpartition(".")[2], model.get_submodule(part)
    path, start, stop = match["path"], int(match["start"]), int(match["stop"])
    last = f"-{stop - 1}" if stop > start + 1 else ""
    return f"{path}.{start}{last}", _sequential(path, model)[start:stop]


def _sequential(path: str, model: nn.Module) -> nn.Sequential:
    return cast("nn.Sequential", model.get_submodule(path))
