"""Numbers [h, w, c] as a file holds them -> bytes 0..255 on one scale, the same for a whole data set."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from regraft.errors import BadImage

Array = NDArray[np.generic]
Range = tuple[float, float]

ONE_COLOUR = 4
"""Steps of 255 that the values of a picture lie apart at most where people see one colour."""


@dataclass(frozen=True)
class Numbers:
    """A picture that is more than 8 bits of grey or colour: its size and planes, known before any memory is taken."""

    width: int
    height: int
    planes: int  # channels, or pages, slices and moments times channels, in the order of the file
    dtype: np.dtype[np.generic]
    load: Callable[[Sequence[int]], Array]  # planes that are wanted -> [h, w, len(planes)], or smaller in both
    usual: tuple[int, ...] | None = None  # the planes that are shown where none are chosen; None: that is for the user
    layout: str = ""  # what the planes are, in words
    alpha: int | None = None  # the plane that says how much covers the white ground
    inks: bool = False  # four planes of cyan, magenta, yellow and black
    inverted: bool = False  # the lowest value is white
    window: Range | None = None  # the values that the file itself wants shown
    orientation: int = 1  # as in EXIF
    says: str = ""  # what of the file is not shown

    @property
    def is_deep(self) -> bool:
        """Whether a scale is needed: 8 bits without a sign have theirs."""
        return self.dtype != np.uint8

    def chosen(self, channels: Sequence[int] | None) -> tuple[int, ...]:
        """Return the planes that become red, green and blue, or grey.

        Raises:
            BadImage: there is no such plane, or there are several and none is chosen.
        """
        if channels is None and self.usual is None:
            raise BadImage(f"{self.layout or f'{self.planes} channels'}, and none is chosen: {proposal(self.planes)}")
        return checked(channels, self.planes) if channels is not None else self.usual or ()


def proposal(planes: int) -> str:
    """Return how channels are chosen, with an example that fits."""
    return f"--channels {','.join(map(str, range(min(planes, 3))))}, or one of 0 to {planes - 1}"


def checked(channels: Sequence[int], planes: int) -> tuple[int, ...]:
    """Return the channels that were asked for, if a picture has them.

    Raises:
        BadImage: it has fewer.
    """
    if max(channels) >= planes:
        have = f"channels 0 to {planes - 1}" if planes > 1 else "one channel, 0"
        raise BadImage(f"no channel {max(channels)}: it has {have}")
    return tuple(channels)


def shown_planes(numbers: Numbers, channels: Sequence[int] | None) -> tuple[int, ...]:
    """Return the planes that are needed to show a picture: those chosen, and its alpha last where none are.

    Raises:
        BadImage: as `Numbers.chosen`.
    """
    over = numbers.alpha if channels is None else None
    return (*numbers.chosen(channels), *(() if over is None else (over,)))


def to_rgb(numbers: Numbers, values: Array, channels: Sequence[int] | None, value_range: Range | None) -> Image.Image:
    """Return rows [h, w, planes] in RGB, on one scale, whatever the brightest value of this picture is."""
    colours = len(numbers.chosen(channels))
    shown = to_bytes(values[..., :colours], value_range)
    if numbers.inverted:
        shown = 255 - shown
    if numbers.inks and channels is None:
        return Image.fromarray(shown, "CMYK").convert("RGB")
    image = coloured(shown)
    if values.shape[2] == colours:
        return image
    opaque = Image.fromarray(to_bytes(values[..., -1], _full(values.dtype)))
    return Image.composite(image, Image.new("RGB", image.size, "white"), opaque)


def coloured(shown: NDArray[np.uint8]) -> Image.Image:
    """Return uint8 [h, w, 1 to 3] in RGB: one channel as grey, of two the first as red and the second as green."""
    height, width, count = shown.shape
    if count == 2:
        shown = np.concatenate([shown, np.zeros((height, width, 1), np.uint8)], axis=2)
    elif count == 1:
        return Image.fromarray(shown[..., 0]).convert("RGB")
    return Image.fromarray(np.ascontiguousarray(shown))


def to_bytes(values: Array, value_range: Range | None) -> NDArray[np.uint8]:
    """Bring values to 0..255 on a scale; what lies outside is shown as its ends, and no number (NaN) as its low end.

    Without a scale, 8 bits are as they are and 16 bits run to 65535, as in a file that says no more.

    Raises:
        BadImage: the values are of a type that has no scale of its own, and none is given.
    """
    if values.dtype == np.uint8:
        return values.astype(np.uint8)
    low, high = value_range or _full(values.dtype)
    if values.dtype.kind in "iu" and values.dtype.itemsize == 2 and values.size > 1 << 16:  # each value is scaled once
        table = to_bytes(np.arange(1 << 16).astype(np.uint16).view(values.dtype), (low, high))
        return table[values.view(np.uint16)]
    known = np.nan_to_num(values.astype(np.float64), nan=low, posinf=high, neginf=low)
    return (np.clip((known - low) * (255 / (high - low)), 0, 255) + 0.5).astype(np.uint8)


def _full(dtype: np.dtype[np.generic]) -> Range:
    if dtype == np.uint8:
        return 0.0, 255.0
    if dtype == np.uint16:
        return 0.0, 65535.0
    raise BadImage(f"values of type {dtype}, and no scale is known for them: give one with --range LO:HI")


# ---- pictures of many megapixels in many threads --------------------------------------------------------------------

MOST_IN_FLIGHT = 700 * 10**6
"""Bytes of decoded pictures at a time, over all threads: one of 89 megapixels, or hundreds of others."""


class Room:
    """Bounds what all threads hold together; a picture that is larger than all of it waits until it is alone."""

    def __init__(self, limit: int = MOST_IN_FLIGHT) -> None:
        self.limit, self.held = limit, 0
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Wait for room, and keep it until the block ends."""
        with self._changed:
            self._changed.wait_for(lambda: not self.held or self.held + size <= self.limit)
            self.held += size
        try:
            yield
        finally:
            with self._changed:
                self.held -= size
                self._changed.notify_all()


ROOM = Room()
