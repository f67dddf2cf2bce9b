"""Turn and mirror a picture -> the views that are predicted from: test-time augmentation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from regraft.data.views import AUGMENTATIONS, generator
from regraft.errors import ConfigError

MOST_VIEWS = 1000
SYMMETRIES = ("flip", "vflip", "turn")
"""Augmentations that only move pixels: together they draw the eight symmetries of a square, or some of them."""
MIRRORINGS = {(0, False): set[str](), (0, True): {"flip"}, (2, True): {"vflip"}, (2, False): {"flip", "vflip"}}
"""Half turns, of a picture or of its mirror image, and what draws them: a vertical flip is a mirror image turned."""


@dataclass(frozen=True)
class Tta:
    """The views of a picture that are predicted from: test-time augmentation. They are the same for every picture.

    View 0 is the picture itself. The next are its other symmetries that `augment` may draw, at most eight in all, the
    quarter turns first. Of these the first two, four and eight are groups: where they are the views, a turned picture
    has the same ones, and so the same prediction. Views beyond them are the symmetries again, with what else `augment`
    does to pictures drawn once for each view.

    Raises:
        ConfigError: `views` is out of range.
    """

    views: int = 1
    augment: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.views <= MOST_VIEWS:
            raise ConfigError(f"--tta is {self.views}; expected 1 (the plain picture alone) to {MOST_VIEWS} views.")

    def fewer(self, asked: int) -> str:
        """Say that there are fewer views than were asked for."""
        names = ",".join(self.augment) or "nothing"
        return (
            f"--tta {asked} has no more than {self.views} different views here, and takes these: of {names}, no more "
            "can be made. flip,vflip,turn make eight; rotate, crop and color any number."
        )

    @cached_property
    def different(self) -> Tta:
        """The same without views that are there already: mirrored alone, a picture has two."""
        most = MOST_VIEWS if self._drawn else len(self._symmetries)
        return replace(self, views=min(self.views, most))

    @property
    def moves(self) -> list[tuple[int, bool]] | None:
        """What the views are, where all only move pixels: quarter turns, of the picture or of its mirror image."""
        return self._symmetries[: self.views] if self.views <= len(self._symmetries) else None

    def view(self, pixels: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
        """Return one view of a picture: uint8 [s, s, 3] -> uint8 [s, s, 3]."""
        turns, mirrored = self._symmetry(number)
        turned = np.ascontiguousarray(np.rot90(pixels[:, ::-1] if mirrored else pixels, turns))
        if number < len(self._symmetries):
            return turned
        rng, image = generator("tta", number, *self._drawn), Image.fromarray(turned)
        for name in self._drawn:
            image = AUGMENTATIONS[name](image, rng)
        return np.array(image)

    def recipe(self, number: int) -> dict[str, Any]:
        """Return what the pixels of a view depend on, beside the picture."""
        turns, mirrored = self._symmetry(number)
        drawn = {} if number < len(self._symmetries) else {"tta": number, "augment": self._drawn}
        return {"turns": turns, "mirrored": mirrored, **drawn}

    def _symmetry(self, number: int) -> tuple[int, bool]:
        return self._symmetries[number % len(self._symmetries)]

    @cached_property
    def _symmetries(self) -> list[tuple[int, bool]]:
        """Quarter turns, of the picture or of its mirror image."""
        drawn = set(self.augment)
        if "turn" not in drawn:
            return [move for move, needed in MIRRORINGS.items() if drawn >= needed]
        sides = (False, True) if drawn & {"flip", "vflip"} else (False,)
        return [(turns, mirrored) for mirrored in sides for turns in (0, 2, 1, 3)]

    @cached_property
    def _drawn(self) -> list[str]:
        """What `augment` does beyond moving pixels."""
        return [name for name in self.augment if name not in SYMMETRIES]
