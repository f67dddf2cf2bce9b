"""Pixels of any size -> the square that the network sees: Pillow's resampling in torch, so that it lies in the file.

The resize of ONNX, and those of other formats, differ from Pillow's where a picture becomes smaller, and know no crop
between two pixels. Two products of matrices do, whose numbers are Pillow's own (`precompute_coeffs` in its Resample.c):
in 22 binary places, rounded to whole levels after each of the two. So the square is that of `regraft.data.decode`,
level by level.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from regraft.data import Preprocessing

PLACES = 22
"""Binary places of Pillow's weights for 8 bits."""
EXACT = 11
"""Of these, as many as float32 adds up without rounding beside the 8 of a level."""


def _triangle(x: Tensor) -> Tensor:
    return (1 - x.abs()).clamp(min=0)


def _cubic(x: Tensor) -> Tensor:
    """Keys' cubic convolution with a = -0.5 (1981)."""
    x = x.abs()
    near, far = (1.5 * x - 2.5) * x * x + 1, ((2.5 - 0.5 * x) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def _lanczos(x: Tensor) -> Tensor:
    return torch.where(x.abs() < 3, _sinc(x) * _sinc(x / 3), torch.zeros_like(x))


def _sinc(x: Tensor) -> Tensor:
    turn, one = x * math.pi, torch.ones_like(x)
    return torch.where(x == 0, one, torch.sin(turn) / torch.where(x == 0, one, turn))


FILTERS: dict[str, Callable[[Tensor], Tensor]] = {"bilinear": _triangle, "bicubic": _cubic, "lanczos": _lanczos}


class Seeing(nn.Module):
    """Makes a picture of any size the square that a network sees, exactly as `regraft.data.decode` does."""

    def __init__(self, look: Preprocessing) -> None:
        super().__init__()
        self.look = look

    def forward(self, pixels: Tensor) -> Tensor:
        """uint8 [n, h, w, 3] -> uint8 [n, s, s, 3]."""
        columns, rows = (torch.arange(pixels.shape[way], dtype=torch.float64) for way in (2, 1))
        # sides as tensors of one element: the exporters follow these, and keep them in float64, unlike those of none
        width, height = columns[-1:] + 1, rows[-1:] + 1
        side = torch.minimum(width, height) * self.look.size / self.look.resize
        wide, high = (width, height) if self.look.fit == "stretch" else (side, side)
        x = pixels.permute(0, 3, 1, 2).float()  # [n, 3, h, w]
        x = _resampled(x, self._weights(columns, (width - wide) / 2, wide))  # [n, 3, h, s]
        x = _resampled(x.transpose(2, 3), self._weights(rows, (height - high) / 2, high))  # [n, 3, s, s]
        return x.permute(0, 3, 2, 1).to(torch.uint8)

    def _weights(self, at: Tensor, start: Tensor, side: Tensor) -> Tensor:
        """Return what each pixel of a line, `at`, counts in each of the square's: [s, pixels]."""
        first, end = start.float(), (start + side).float()  # Pillow takes its box in float32, and its length
        start, scale = first.double(), (end - first).double() / self.look.size
        if self.look.interpolation == "nearest":
            steps = torch.cat([start + 0.5 * scale, scale.expand(self.look.size - 1)])
            return (at == steps.cumsum(0).floor()[:, None]).double()  # it adds up, and so are its ties decided
        centre = start + (torch.arange(self.look.size, dtype=torch.float64) + 0.5) * scale
        weights = FILTERS[self.look.interpolation]((at + 0.5 - centre[:, None]) / scale.clamp(min=1))
        weights = weights / weights.sum(1, keepdim=True)
        rounded: Tensor = (weights * 2**PLACES + 0.5).floor() / 2**PLACES
        return rounded


def _resampled(lines: Tensor, weights: Tensor) -> Tensor:
    """Weigh the pixels of lines and round as Pillow does: [..., pixels] and [s, pixels] -> [..., s] of whole levels.

    The weights' first places and the others are added up apart, neither of which rounds: a level that lies halfway
    between two is common in pictures that become smaller by a simple fraction.
    """
    first = (weights * 2**EXACT).floor() / 2**EXACT
    both = torch.cat([first, weights - first]).float()  # [2 s, pixels]
    whole, rest = torch.matmul(lines, both.transpose(0, 1)).chunk(2, dim=-1)
    level = (whole + 0.5).floor()
    rounded: Tensor = level + (whole + 0.5 - level + rest).floor()
    return rounded.clamp(0, 255)
