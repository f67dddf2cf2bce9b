"""Look at files -> size, colour mode and a small grey picture of each: what tells copies and odd ones apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from regraft.data.decode import Preprocessing, bits_used, decode, measure
from regraft.data.reading import ahead_of, read_file
from regraft.errors import BadImage
from regraft.progress import Progress

LOOK_SIDE = 32
"""Pixels: a kilobyte for each picture, and still every cell of a blood smear has a look of its own."""

_SMALL = Preprocessing(size=LOOK_SIDE, resize=LOOK_SIDE, fit="stretch")


class Look(NamedTuple):
    """What a picture looks like from afar."""

    width: int  # pixels, as stored
    height: int
    mode: str  # Pillow's name: RGB, L, P, CMYK, I;16 …
    grey: NDArray[np.uint8]  # [LOOK_SIDE, LOOK_SIDE]; the whole picture, its sides made equal


def read_looks(paths: Sequence[Path], *, progress: Progress | None = None) -> list[Look]:
    """Look at every file, in the order of `paths`.

    Raises:
        BadImage: A file that cannot be read: leave those out before.
    """
    looks: list[Look] = []
    with (progress or Progress()).track("Looking at the files", len(paths), "pictures") as tick:
        for index, found in ahead_of(_look, paths):
            if isinstance(found, BadImage):
                raise BadImage(f"{paths[index]} cannot be read: {found}. Leave it out of the list.")
            looks.append(found)
            tick(1)
    return looks


def _look(path: Path) -> Look:
    content = read_file(path)
    return Look(*measure(content), decode(content, _SMALL).mean(2).astype(np.uint8))


BRIGHT = 15  # bits: below that no picture has a quarter of the full brightness
SAMPLE = 100  # pictures: those of one microscope are alike


def dark(paths: Sequence[Path]) -> list[str]:
    """Return a sentence on pictures of 16 bits whose values, of 12 or so, are nearly black on the scale of 16.

    Cameras of 10 to 14 bits are stored so, and the files do not say it. Which scale was meant is the user's to know:
    one that followed each picture's own brightest pixel would take the brightness out of the classes.
    """
    looked_at = paths[:: -(-len(paths) // SAMPLE) or 1]
    found = [bits for _, bits in ahead_of(lambda path: bits_used(read_file(path)), looked_at)]
    deep = [bits for bits in found if isinstance(bits, int)]
    if not deep or not 0 < max(deep) < BRIGHT:
        return []
    factor = 2 ** (16 - max(deep))
    return [
        f"{len(deep)} of {len(looked_at)} pictures looked at have 16 bits and use the lowest {max(deep)} alone: the "
        f"network sees them with 1/{factor} of the full brightness. Write all of them anew, every value times {factor}."
    ]
