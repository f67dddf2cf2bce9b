"""Network's name -> what it costs: parameters, size, multiply-adds, depth. Shapes only: no number is computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from regraft.backbones import build

MB = 2**20  # as torchvision and Keras state sizes
# What autograd calls a layer that multiplies by weights: a convolution, or a fully connected layer.
WEIGHT_LAYERS = ("Convolution", "Addmm", "Mm", "Bmm", "Linear")


@dataclass(frozen=True)
class Measures:
    """A network with its head for 1000 classes, without the auxiliary classifiers that only training has."""

    input_size: int  # px, of the library's default weights
    parameters: int
    depth: int
    gflops: float  # 10^9 multiply-adds for one picture; an addition with a multiplication counts as one
    size_mb: float  # of all tensors, with the statistics of BatchNorm


def measure(name: str) -> Measures:
    """Build a network without numbers and send the shape of one picture through it.

    Raises:
        UnknownName: with the nearest names.
    """
    with torch.device("meta"):
        backbone = build(name)
        size = backbone.preprocessing.size
        with FlopCounterMode(display=False) as counter:
            scores = backbone.model(torch.empty(1, 3, size, size))
    return Measures(
        size,
        sum(parameter.numel() for parameter in backbone.model.parameters()),
        depth(scores),
        counter.get_total_flops() / 2 / 1e9,  # counted there as two operations each
        _size(backbone.model) / MB,
    )


def depth(scores: Tensor) -> int:
    """Count the convolutional and fully connected layers on the longest path from the picture to the scores.

    The number in the names of VGG, ResNet and DenseNet. A squeeze-and-excitation's layers lie on the longest path.
    """
    assert scores.grad_fn is not None
    longest: dict[Any, int] = {}
    waiting = [scores.grad_fn]
    while waiting:  # a stack instead of recursion: the paths are longer than Python's limit
        step = waiting[-1]
        earlier = [node for node, _ in step.next_functions if node is not None]
        missing = [node for node in earlier if node not in longest]
        if missing:
            waiting += missing
        else:
            longest[step] = max((longest[node] for node in earlier), default=0) + _is_weight_layer(step)
            waiting.pop()
    return longest[scores.grad_fn]


def _is_weight_layer(step: Any) -> bool:
    return bool(step.name().startswith(WEIGHT_LAYERS))


def _size(model: nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
