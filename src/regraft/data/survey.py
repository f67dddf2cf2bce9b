"""Survey files, each read once -> their digests, and the one scale on which pictures of more than 8 bits are shown.

A scale of each picture's own would take the brightness out of the classes, and the type's full range shows 12 bits of a
camera as black. So the scale is found from all pictures together, said, and kept with the model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from regraft.data.decode import MAX_MEGAPIXELS, Preprocessing, digest, numbers_of, plain_reasons
from regraft.data.numbers import ROOM, Array, Numbers, Range
from regraft.data.reading import ahead_of, read_file
from regraft.errors import BadImage, ConfigError
from regraft.utils.progress import Progress

OUTLIERS = 0.001
"""Share of a picture's values at either end that may be faults, such as hot pixels."""

FAR = 8
"""Outliers of single pictures that would make the scale so many times wider are shown as its end instead."""

FEW = 0.05
"""Share of the pictures that have such outliers at most; where more have them, they are what is to be seen."""

TOPS = (1.0, 255.0, 1023.0, 4095.0, 16383.0, 65535.0)
"""Where scales of reals usually end; values that reach beyond the half of one are meant on it."""

SAMPLED = 10**6  # values of a picture that are put in order, evenly spaced: the outliers of more are no others


@dataclass(frozen=True)
class Sight:
    """What the numbers of one picture are; what cannot be known of it is left to the pass that decodes it."""

    kind: str  # numpy's: u, i or f
    low: float
    high: float
    inner: Range  # without the share of outliers at either end
    holes: int = 0  # values that are no numbers
    window: Range | None = None  # the values that the file wants shown
    says: str = ""


@dataclass(frozen=True)
class Surveyed:
    """What is known of files before they are decoded."""

    digests: dict[Path, str | BadImage]
    value_range: Range | None = None  # of all pictures of more than 8 bits
    deep: int = 0  # how many these are
    notices: tuple[str, ...] = ()


def survey(
    paths: Sequence[Path],
    *,
    channels: Sequence[int] | None = None,
    value_range: Range | None = None,
    max_megapixels: int | None = None,
    progress: Progress | None = None,
) -> Surveyed:
    """Digest every file, and find the scale of those that need one, unless it is given.

    `channels` are those that are shown; `max_megapixels` as in the settings.

    Raises:
        ConfigError: most pictures have more channels than are shown, and none are chosen.
    """
    digests: dict[Path, str | BadImage] = {}
    sights: list[Sight] = []
    open_choice: list[BadImage] = []
    see = partial(_see, channels=channels, most_pixels=10**6 * (max_megapixels or MAX_MEGAPIXELS))
    with (progress or Progress()).track("Reading", len(paths), "files") as tick:
        for index, seen in ahead_of(see, paths):
            digests[paths[index]], sight = (seen, None) if isinstance(seen, BadImage) else seen
            if isinstance(sight, Sight):
                sights.append(sight)
            elif isinstance(sight, BadImage):
                open_choice.append(sight)
            tick(1)
    if 2 * len(open_choice) > len(paths):
        raise ConfigError(f"{len(open_choice)} of {len(paths)} pictures hold {open_choice[0]}.")
    shown = value_range or scale_of(sights)
    deep = sum(bool(sight.kind) for sight in sights)
    return Surveyed(digests, shown, deep, (*_passed_over(sights), *_told(sights, value_range, shown, len(paths))))


def adjusted(
    look: Preprocessing,
    paths: Sequence[Path],
    *,
    trained: bool,
    channels: Sequence[int] | None = None,
    value_range: Range | None = None,
    max_megapixels: int | None = None,
    progress: Progress,
) -> Preprocessing:
    """Return how a model sees new pictures: as in its training, but for what is given; and say what does not fit.

    A network that was not `trained` here has met no scale: it is found from these pictures.

    Raises:
        ConfigError: most pictures have more channels than are shown, and none are chosen.
    """
    look = replace(
        look,
        file_channels=look.file_channels if channels is None else tuple(channels),
        value_range=value_range or look.value_range,
        max_megapixels=max_megapixels or look.max_megapixels,
    )
    full = (0.0, 65535.0) if trained else None
    seen = survey(
        [path for path in paths if path.suffix.lower() not in _ALWAYS_8_BITS],
        channels=look.file_channels,
        value_range=look.value_range or full,
        max_megapixels=look.max_megapixels,
    )
    if look.value_range is not None or seen.deep:
        for notice in seen.notices:
            progress.warn(notice)
    return look if trained else replace(look, value_range=seen.value_range)


_ALWAYS_8_BITS = (".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif")


def _see(path: Path, channels: Sequence[int] | None, most_pixels: int) -> tuple[str, Sight | BadImage | None]:
    """Read a file once: its digest, and what its numbers are; that it has too many channels is an answer too."""
    content = read_file(path)
    name = digest(content)
    try:
        numbers = numbers_of(content, most_pixels)
    except BadImage:
        return name, None  # is said when it is decoded
    if numbers is None:
        return name, None
    try:
        which = numbers.chosen(channels)
    except BadImage as reason:
        return name, reason
    if not numbers.is_deep:
        return name, Sight("", 0, 255, (0, 255), says=numbers.says)
    try:
        with plain_reasons(), ROOM.hold(numbers.width * numbers.height * len(which) * (numbers.dtype.itemsize + 8)):
            return name, _sight(numbers, numbers.load(which))
    except BadImage:
        return name, None


def _sight(numbers: Numbers, values: Array) -> Sight | None:
    flat = np.asarray(values).reshape(-1)
    holes = 0
    if flat.dtype.kind == "f":
        known = np.isfinite(flat)
        holes = len(flat) - int(np.count_nonzero(known))
        flat = flat[known] if holes else flat
    if not len(flat):
        return None
    some = np.sort(flat[:: -(-len(flat) // SAMPLED)])
    at = round(OUTLIERS * (len(some) - 1))
    inner = float(some[at]), float(some[-1 - at])
    return Sight(flat.dtype.kind, float(flat.min()), float(flat.max()), inner, holes, numbers.window, numbers.says)


# ---- one scale for all -----------------------------------------------------------------------------------------------


def scale_of(sights: Sequence[Sight]) -> Range | None:
    """Return the values that are shown black and white, of all pictures together; None where all have 8 bits.

    Whole numbers from 0 end where their bits do: of 12 bits at 4095. Reals end at the largest value, or where scales of
    reals usually do. Where every file asks for a window, as DICOM does, the scale holds all of these.
    """
    deep = [sight for sight in sights if sight.kind]
    if not deep:
        return None
    windows = [sight.window for sight in deep if sight.window]
    if len(windows) == len(deep):
        return min(low for low, _ in windows), max(high for _, high in windows)
    low, high = _without_faults(deep)
    return _rounded(low, high, whole=all(sight.kind in "iu" for sight in deep))


def _without_faults(deep: Sequence[Sight]) -> Range:
    """Return the lowest and highest value, but for a few outliers in a few pictures that would darken all others."""
    inner = min(sight.inner[0] for sight in deep), max(sight.inner[1] for sight in deep)
    far = FAR * (inner[1] - inner[0])
    few = max(1, FEW * len(deep)) if far else 0
    low_ones = [sight.low for sight in deep if sight.low >= inner[0] - far]
    high_ones = [sight.high for sight in deep if sight.high <= inner[1] + far]
    low = min(low_ones if len(deep) - len(low_ones) <= few < len(deep) else (sight.low for sight in deep))
    high = max(high_ones if len(deep) - len(high_ones) <= few < len(deep) else (sight.high for sight in deep))
    return low, high


def _rounded(low: float, high: float, *, whole: bool) -> Range:
    if whole and low >= 0:
        return 0.0, float(2 ** max(1, int(high).bit_length()) - 1)
    if not whole and low >= 0:
        return 0.0, next((top for top in TOPS if top / 2 < high <= top), high) or 1.0
    if not whole and -1 <= low < -0.5 and 0.5 < high <= 1:
        return -1.0, 1.0
    return low, high if high > low else low + 1


# ---- what is said ----------------------------------------------------------------------------------------------------


def _passed_over(sights: Sequence[Sight]) -> list[str]:
    return [f"{count} pictures {says}." for says, count in Counter(sight.says for sight in sights).items() if says]


def _told(sights: Sequence[Sight], given: Range | None, shown: Range | None, total: int) -> list[str]:
    """Return a sentence on the scale, and on what it does not hold."""
    deep = [sight for sight in sights if sight.kind]
    if shown is None or not deep:
        return ["Every picture has 8 bits, which run from 0 to 255: --range has no effect."] * bool(given)
    low, high = shown
    kind = "whole numbers" if all(sight.kind in "iu" for sight in deep) else "real numbers"
    found = f"{min(sight.low for sight in deep):g} to {max(sight.high for sight in deep):g}"
    windows = len({sight.window for sight in deep} - {None})
    why = "" if given or not all(sight.window for sight in deep) else _of_windows(windows)
    said = [
        f"{len(deep)} of {total} pictures hold {kind} of more than 8 bits, {found}: all are shown on one scale, "
        f"{low:g} to {high:g}{why}. Set another with --range LO:HI."
    ]
    if beyond := sum(sight.low < low or sight.high > high for sight in deep):
        said.append(f"{beyond} pictures reach beyond the scale {low:g} to {high:g}, and are shown as its ends there.")
    if holes := sum(sight.holes > 0 for sight in deep):
        said.append(f"{holes} pictures hold values that are no numbers (NaN), which are shown as {low:g}.")
    return said


def _of_windows(count: int) -> str:
    return (
        ", the window that their files ask for" if count == 1 else f", which holds the {count} windows of their files"
    )
