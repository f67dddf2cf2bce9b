"""Say what a method does: where the network is cut, what trains, in which phases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import nn

from regraft.backbones.backbone import Backbone
from regraft.errors import ConfigError

FRESH = 2**31 - 1
"""So many views that every epoch has its own: at the pixels, drawing a view costs next to nothing."""


@dataclass(frozen=True)
class Phase:
    """One stretch of training on the activations at one cut; the tail after the cut and the head train."""

    name: str
    cut: int
    epochs: int
    lr: float  # largest rate of the head
    tail_lr: float = 0.0  # largest rate of the tail
    views: int = 1  # stored views per training picture; FRESH at the pixels
    linear: bool = False  # fit the head in one go instead, as a linear model (the rates and epochs do not count)
    times: int = 1  # how many times longer than usual, because training pictures are few; so is the patience


@dataclass(frozen=True)
class Plan:
    """What a method is: cuts, what trains, a head. The last phase's cut is the plan's."""

    method: str
    phases: tuple[Phase, ...]
    hidden: int  # width of the head's hidden layer; 0 for none
    frozen_layers: tuple[str, ...] = ()  # names of layers above the cut that stay as they are

    @property
    def cut(self) -> int:
        """Everything before it is the prefix and stays as it was."""
        return self.phases[-1].cut

    @property
    def cuts(self) -> list[int]:
        """The cuts whose activations are needed, in ascending order."""
        return sorted({phase.cut for phase in self.phases})

    @property
    def kept_views(self) -> int:
        """The views of a training picture that the frozen part runs on."""
        return max((phase.views for phase in self.phases if phase.cut), default=1)

    @property
    def epochs(self) -> dict[int, int]:
        """How often the activations at each cut are gone through."""
        return {phase.cut: phase.epochs for phase in self.phases}


def layers(backbone: Backbone) -> list[tuple[int, str, nn.Module]]:
    """Return the network's layers with weights, in order: (stage index, full name, module)."""
    return [
        (index, f"{stage.name}.{name}".rstrip("."), module)
        for index, stage in enumerate(backbone.stages)
        for name, module in stage.module.named_modules()
        if any(True for _ in module.parameters(recurse=False))
    ]


def cut_for_layers(backbone: Backbone, count: int) -> tuple[int, tuple[str, ...]]:
    """Return the cut, and the layers above it that stay frozen, so that the last `count` layers train.

    A convolution or dense layer counts as one together with the normalisation that follows it.

    Raises:
        ConfigError: the network has fewer layers.
    """
    found = layers(backbone)
    starts = [position for position, (_, _, module) in enumerate(found) if not _is_norm(module)]
    if count > len(starts):
        raise ConfigError(
            f"--train-layers {count}: {backbone.name} has {len(starts)} layers with weights. "
            "Use --unfreeze=all for the whole network."
        )
    first = starts[-count]
    cut = found[first][0]
    return cut, tuple(name for index, name, _ in found[:first] if index == cut)


def _is_norm(module: nn.Module) -> bool:
    return all(parameter.ndim <= 1 for parameter in module.parameters(recurse=False))


def frozen_modules(backbone: Backbone, plan: Plan) -> list[nn.Module]:
    """Return the modules above the cut that the plan leaves as they are."""
    names = set(plan.frozen_layers)
    return [module for _, name, module in layers(backbone) if name in names]


class StageRow(NamedTuple):
    """One line of the table of what trains."""

    stage: str
    state: str  # frozen, trained …
    parameters: str
    output: str  # shape


def stage_rows(
    backbone: Backbone, cut: int, frozen_layers: Sequence[str] = (), *, linear: bool = False
) -> list[StageRow]:
    """Return what is frozen and what trains: every stage in order, then the head."""
    partly = {at for at, name, _ in layers(backbone) if name in set(frozen_layers)}
    rows = []
    for index, (stage, shape) in enumerate(
        zip(backbone.stages, backbone.shapes(backbone.preprocessing.size), strict=True)
    ):
        state = "frozen" if index < cut else "trained in part" if index in partly else "trained"
        rows.append(StageRow(stage.name, state, f"{stage.parameter_count:,}", "x".join(map(str, shape))))
    return [*rows, StageRow("head", "fitted" if linear else "trained, new", "", "")]


def stage_table(backbone: Backbone, plan: Plan) -> str:
    """Return the table of stages that a run prints: frozen or trained, parameters, output shape."""
    found = stage_rows(backbone, plan.cut, plan.frozen_layers, linear=plan.phases[-1].linear)
    rows = [("stage", "", "parameters", "output"), *found]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "  ".join((name.ljust(widths[0]), state.ljust(widths[1]), count.rjust(widths[2]), shape)).rstrip()
        for name, state, count, shape in rows
    ]
    size = backbone.preprocessing.size
    return "\n".join([f"{backbone.name}, {size} px, method {plan.method}:", *("  " + line for line in lines)])
