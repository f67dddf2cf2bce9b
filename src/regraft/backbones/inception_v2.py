"""Build Inception v2, which no maintained library has: BN-Inception of Ioffe and Szegedy (2015).

Layers, their names and the order of their outputs are those of the Caffe network and of the PyTorch file made from it
(``bninception`` of the package pretrainedmodels), so that this file loads. A block's paths run side by side on the
same map: 1x1, 3x3, two 3x3 after each other ("double"), and a pool; 3c and 4e halve the map instead of having a 1x1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Widths:
    """Channels of a block's layers: a row of the table."""

    single: int  # 1x1; 0 where the block halves the map
    reduce: int  # 1x1 before the 3x3
    three: int
    double_reduce: int  # 1x1 before the two 3x3
    double: int
    pool: str
    projection: int  # 1x1 after the pool; 0: the pooled map is passed on as it is


BLOCKS = {
    "inception_3a": Widths(64, 64, 64, 64, 96, "average", 32),
    "inception_3b": Widths(64, 64, 96, 64, 96, "average", 64),
    "inception_3c": Widths(0, 128, 160, 64, 96, "max", 0),
    "inception_4a": Widths(224, 64, 96, 96, 128, "average", 128),
    "inception_4b": Widths(192, 96, 128, 96, 128, "average", 128),
    "inception_4c": Widths(160, 128, 160, 128, 160, "average", 128),
    "inception_4d": Widths(96, 128, 192, 160, 192, "average", 128),
    "inception_4e": Widths(0, 128, 192, 192, 256, "max", 0),
    "inception_5a": Widths(352, 192, 320, 160, 224, "average", 128),
    "inception_5b": Widths(352, 192, 320, 192, 224, "max", 128),
}


class InceptionV2(nn.Module):
    """BGR pixels 0..255, less their mean [b, 3, s, s] -> scores [b, classes].

    ``parts`` are the steps of forward(), to be cut between. They share the layers of the network, which itself holds
    them all on one level, as the published file does; so the parts are no submodules.
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.parts: dict[str, nn.Module] = {
            "conv1": _path(_convolution("conv1_7x7_s2", 3, 64, 7, 2), {"pool1_3x3_s2": _halve()}),
            "conv2": _path(
                _convolution("conv2_3x3_reduce", 64, 64, 1),
                _convolution("conv2_3x3", 64, 192, 3),
                {"pool2_3x3_s2": _halve()},
            ),
        }
        channels = 192
        for name, widths in BLOCKS.items():
            self.parts[name] = block = Block(channels, widths)
            channels = block.channels
        for name, part in self.parts.items():
            self._adopt(f"{name}_" if name in BLOCKS else "", part)
        self.last_linear = nn.Linear(channels, classes)

    def _adopt(self, prefix: str, part: nn.Module) -> None:
        for path, layer in part.named_modules():
            if any(True for _ in layer.parameters(recurse=False)):
                self.add_module(prefix + path.rpartition(".")[2], layer)

    def forward(self, x: Tensor) -> Tensor:
        """[b, 3, s, s] -> [b, classes]."""
        for part in self.parts.values():
            x = part(x)
        return self.last_linear(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))  # type: ignore[no-any-return]


class Block(nn.Module):
    """Paths side by side; their outputs are joined along the channels."""

    def __init__(self, inputs: int, widths: Widths) -> None:
        super().__init__()
        stride = 1 if widths.single else 2
        paths = [
            _path(_convolution("1x1", inputs, widths.single, 1)),
            _path(
                _convolution("3x3_reduce", inputs, widths.reduce, 1),
                _convolution("3x3", widths.reduce, widths.three, 3, stride),
            ),
            _path(
                _convolution("double_3x3_reduce", inputs, widths.double_reduce, 1),
                _convolution("double_3x3_1", widths.double_reduce, widths.double, 3),
                _convolution("double_3x3_2", widths.double, widths.double, 3, stride),
            ),
            _path({"pool": _pool(widths, stride)}, _convolution("pool_proj", inputs, widths.projection, 1)),
        ]
        self.paths = nn.ModuleList(path for path in paths if len(path))
        self.channels = widths.single + widths.three + widths.double + (widths.projection or inputs)

    def forward(self, x: Tensor) -> Tensor:
        """[b, c, h, w] -> [b, channels, h, w], or half of h and w."""
        return torch.cat([path(x) for path in self.paths], 1)


def _path(*layers: dict[str, nn.Module]) -> nn.Sequential:
    path = nn.Sequential()
    for group in layers:
        for name, layer in group.items():
            path.add_module(name, layer)
    return path


def _convolution(name: str, inputs: int, outputs: int, size: int, stride: int = 1) -> dict[str, nn.Module]:
    if not outputs:
        return {}
    return {
        name: nn.Conv2d(inputs, outputs, size, stride, padding=size // 2),
        f"{name}_bn": nn.BatchNorm2d(outputs),
        f"{name}_relu": nn.ReLU(inplace=True),
    }


def _pool(widths: Widths, stride: int) -> nn.Module:
    if stride == 2:
        # One more row and column, so that the windows are as many as the convolutions' also where the map's side is
        # odd. What comes in is never below zero, so zeros change no maximum.
        return nn.Sequential(nn.ConstantPad2d((0, 1, 0, 1), 0.0), _halve())
    return nn.MaxPool2d(3, 1, padding=1) if widths.pool == "max" else nn.AvgPool2d(3, 1, padding=1)


def _halve() -> nn.Module:
    return nn.MaxPool2d(3, 2, ceil_mode=True)
