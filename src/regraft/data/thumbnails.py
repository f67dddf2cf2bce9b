"""Look at files -> size, colour mode and a small grey picture of each: what tells copies and odd ones apart."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from regraft.data.decode import Preprocessing, decode, measure
from regraft.data.numbers import ONE_COLOUR
from regraft.data.reading import ahead_of, read_file
from regraft.errors import BadImage
from regraft.utils.progress import Progress

THUMBNAIL_SIDE = 64
"""Pixels: 4 kB for each picture; with half as many a turned copy of a blood cell is like other cells."""

CLOSER = 3
"""Times: the middle is looked at that much closer as well, for pictures of nothing but a fine grain."""

_PLAIN = Preprocessing()


class Thumbnail(NamedTuple):
    """What a picture looks like from afar."""

    width: int  # pixels, as stored
    height: int
    mode: str  # Pillow's name: RGB, L, P, CMYK, I;16 …
    grey: NDArray[np.uint8]  # [THUMBNAIL_SIDE, THUMBNAIL_SIDE]; the whole picture, its sides made equal
    shape: float = 1.0  # width divided by height as it is shown: the EXIF orientation is followed
    middle: NDArray[np.uint8] | None = None  # [THUMBNAIL_SIDE, THUMBNAIL_SIDE]; a third of each side, from the middle
    tint: tuple[float, float, float] = (1 / 3, 1 / 3, 1 / 3)  # shares of red, green and blue in all its light
    spread: int = 255  # how far its values lie apart, in red, green or blue

    @property
    def is_blank(self) -> bool:
        """Whether the whole picture is one colour, on the scale on which it is shown."""
        return self.spread <= ONE_COLOUR


def read_thumbnails(
    paths: Sequence[Path],
    preprocessing: Preprocessing = _PLAIN,
    *,
    digests: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> list[Thumbnail]:
    """Look at every file, in the order of `paths`, on the scale and at the channels of `preprocessing`.

    Raises:
        BadImage: A file that cannot be read, or has other content than its digest, where `digests` are given.
    """
    thumbnails: list[Thumbnail] = []
    expected: Sequence[str | None] = [None] * len(paths) if digests is None else digests
    jobs = list(zip(paths, expected, strict=True))
    look = partial(_thumbnail, preprocessing=preprocessing.small(CLOSER * THUMBNAIL_SIDE))
    with (progress or Progress()).track("Looking at the files", len(paths), "pictures") as tick:
        for index, found in ahead_of(lambda job: look(*job), jobs):
            if isinstance(found, BadImage):
                raise BadImage(f"{paths[index]} cannot be read: {found}. Leave it out of the list.")
            thumbnails.append(found)
            tick(1)
    return thumbnails


def _thumbnail(path: Path, digest: str | None, preprocessing: Preprocessing) -> Thumbnail:
    content = read_file(path, digest)
    pixels = decode(content, preprocessing)
    red, green, blue = pixels.sum((0, 1)) / max(int(pixels.sum()), 1)
    close = pixels.mean(2, dtype=np.float32)
    grey = close.reshape(THUMBNAIL_SIDE, CLOSER, THUMBNAIL_SIDE, CLOSER).mean((1, 3)).astype(np.uint8)
    at = slice((CLOSER - 1) // 2 * THUMBNAIL_SIDE, (CLOSER + 1) // 2 * THUMBNAIL_SIDE)
    tint = (float(red), float(green), float(blue))
    spread = int(np.ptp(pixels, axis=(0, 1)).max())
    width, height, mode, shape = measure(content)
    return Thumbnail(width, height, mode, grey, shape, close[at, at].astype(np.uint8), tint, spread)
