"""Survey files, each read once -> their digests, and the one scale on which pictures of more than 8 bits are shown.

A scale of each picture's own would take the brightness out of the classes, and the type's full range shows 12 bits of a
camera as black. So the scale is found from all pictures together, said, and kept with the model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from regraft.data.decode import MAX_MEGAPIXELS, Preprocessing, digest, numbers_of, plain_reasons
from regraft.data.numbers import ONE_COLOUR, ROOM, Range
from regraft.data.reading import ahead_of, read_file
from regraft.data.scale import Scale, Sight, scale_of, sight_of
from regraft.errors import BadImage, ConfigError
from regraft.utils.progress import Progress

APART = 10
"""Times as bright as those of another class: then a model learns the scanner, or the unit."""

FEWEST_OF_A_CLASS = 3  # pictures of more than 8 bits: the brightness of fewer says nothing of a class


@dataclass(frozen=True)
class Seen:
    """What one file is; what cannot be known of it is left to the pass that decodes it."""

    digest: str
    sight: Sight | None = None  # of its numbers, where it has more than 8 bits
    undecided: BadImage | None = None  # it has too many channels, and none are chosen
    says: str = ""  # what of it is not shown


@dataclass(frozen=True)
class Surveyed:
    """What is known of files before they are decoded."""

    digests: dict[Path, str | BadImage]
    value_range: Range | None = None  # of all pictures of more than 8 bits
    sights: dict[Path, Sight] = field(default_factory=dict)  # of these
    notices: tuple[str, ...] = ()


def survey(
    paths: Sequence[Path],
    *,
    labels: Sequence[str] = (),
    channels: Sequence[int] | None = None,
    value_range: Range | None = None,
    max_megapixels: int | None = None,
    progress: Progress | None = None,
) -> Surveyed:
    """Digest every file, and find the scale of those that need one, unless it is given.

    With `labels`, the class of each file, it is said where these are told apart by bits, units or blank pictures.
    `channels` are those that are shown; `max_megapixels` as in the settings.

    Raises:
        ConfigError: most pictures have more channels than are shown, and none are chosen.
    """
    found: list[Seen | BadImage] = []
    see = partial(_see, channels=channels, most_pixels=10**6 * (max_megapixels or MAX_MEGAPIXELS))
    with (progress or Progress()).track("Reading", len(paths), "files") as tick:
        for _, one in ahead_of(see, paths):
            found.append(one)
            tick(1)
    _refuse_undecided(found)
    sights = [one.sight if isinstance(one, Seen) else None for one in found]
    scale = scale_of([sight for sight in sights if sight])
    shown = value_range or (scale.shown if scale else None)
    notices = [*_passed_over(found), *_told(sights, scale, value_range)]
    if scale and shown:
        notices += [*_blank(sights, labels, shown), *_of_classes(found, labels, scale)]
    return Surveyed(
        {path: one.digest if isinstance(one, Seen) else one for path, one in zip(paths, found, strict=True)},
        shown,
        {path: sight for path, sight in zip(paths, sights, strict=True) if sight},
        tuple(notices),
    )


def _refuse_undecided(found: Sequence[Seen | BadImage]) -> None:
    undecided = [one.undecided for one in found if isinstance(one, Seen) and one.undecided]
    if 2 * len(undecided) > len(found):
        raise ConfigError(f"{len(undecided)} of {len(found)} pictures hold {undecided[0]}.")


def adjusted(
    preprocessing: Preprocessing, paths: Sequence[Path], *, trained: bool, progress: Progress
) -> Preprocessing:
    """Return how a model that sees pictures as `preprocessing` says sees these; and say what does not fit.

    A network that was not `trained` here has met no scale: it is found from these pictures.

    Raises:
        ConfigError: most pictures have more channels than are shown, and none are chosen.
    """
    full = (0.0, 65535.0) if trained else None
    seen = survey(
        [path for path in paths if path.suffix.lower() not in _ALWAYS_8_BITS],
        channels=preprocessing.file_channels,
        value_range=preprocessing.value_range or full,
        max_megapixels=preprocessing.max_megapixels,
    )
    if preprocessing.value_range is not None or seen.sights:
        for notice in seen.notices:
            progress.warn(notice)
    return preprocessing if trained else replace(preprocessing, value_range=seen.value_range)


_ALWAYS_8_BITS = (".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif")


def _see(path: Path, channels: Sequence[int] | None, most_pixels: int) -> Seen:
    """Read a file once: its digest, and what its numbers are."""
    content = read_file(path)
    seen = Seen(digest(content))
    try:
        numbers = numbers_of(content, most_pixels)
    except BadImage:
        return seen  # is said when it is decoded
    if numbers is None:
        return seen
    try:
        which = numbers.chosen(channels)
    except BadImage as reason:
        return replace(seen, undecided=reason)
    if not numbers.is_deep:
        return replace(seen, says=numbers.says)
    try:
        with plain_reasons(), ROOM.hold(numbers.width * numbers.height * len(which) * (numbers.dtype.itemsize + 8)):
            return replace(seen, sight=sight_of(numbers, numbers.load(which)), says=numbers.says)
    except BadImage:
        return seen


# ---- what is said ----------------------------------------------------------------------------------------------------


def _passed_over(found: Sequence[Seen | BadImage]) -> list[str]:
    counts = Counter(one.says for one in found if isinstance(one, Seen) and one.says)
    return [f"{count} pictures {says}." for says, count in counts.items()]


def _told(sights: Sequence[Sight | None], scale: Scale | None, given: Range | None) -> list[str]:
    """Return a sentence on the scale, and on what it does not hold."""
    deep = [sight for sight in sights if sight]
    if scale is None:
        return ["Every picture has 8 bits, which run from 0 to 255: --range has no effect."] if given else []
    low, high = given or scale.shown
    kind = "whole numbers" if all(sight.kind in "iu" for sight in deep) else "real numbers"
    found = f"{min(sight.low for sight in deep):g} to {max(sight.high for sight in deep):g}"
    windows = len({sight.window for sight in deep} - {None})
    why = "" if given or not all(sight.window for sight in deep) else _of_windows(windows)
    said = [
        f"{len(deep)} of {len(sights)} pictures hold {kind} of more than 8 bits, {found}: all are shown on one scale, "
        f"{low:g} to {high:g}{why}. Set another with --range LO:HI."
    ]
    beyond = sum(sight.low < low or sight.high > high for sight in deep)
    if scale.faults and not given:
        said.append(_of_faults(deep, scale))
    elif beyond:
        said.append(f"{beyond} pictures reach beyond the scale {low:g} to {high:g}, and are shown as its ends there.")
    if holes := sum(sight.holes > 0 for sight in deep):
        said.append(f"{holes} pictures hold values that are no numbers (NaN), which are shown as {low:g}.")
    if infinite := sum(sight.infinite > 0 for sight in deep):
        said.append(f"{infinite} pictures hold infinite values, which are shown as the ends of the scale.")
    return said


def _of_windows(count: int) -> str:
    return (
        ", the window that their files ask for" if count == 1 else f", which holds the {count} windows of their files"
    )


def _of_faults(deep: Sequence[Sight], scale: Scale) -> str:
    low, high = scale.core
    count = sum(sight.low < low or sight.high > high for sight in deep)
    few = ", ".join(f"{value:g}" for value in scale.faults[:3]) + ", …" * (len(scale.faults) > 3)
    return (
        f"{count} pictures hold values far from all others ({few}): these are taken for missing data or faulty pixels, "
        f"and shown as the ends of the scale. If they are meant, give one that holds them with --range LO:HI."
    )


def _blank(sights: Sequence[Sight | None], labels: Sequence[str], shown: Range) -> list[str]:
    """Say how many pictures a scale shows in one colour, and of which classes."""
    step = (shown[1] - shown[0]) / 255
    blank = [sight is not None and sight.spread_within(shown) <= ONE_COLOUR * step for sight in sights]
    if not any(blank):
        return []
    counts = Counter(label for label, one in zip(labels, blank, strict=True) if one) if labels else Counter[str]()
    where = f" ({shares(counts, Counter(labels))})" if counts else ""
    return [
        f"{sum(blank)} of {len(sights)} pictures are one colour on the scale {shown[0]:g} to {shown[1]:g}{where}: "
        "leave them out, or set a scale that shows what is in them with --range LO:HI."
    ]


def shares(counts: Mapping[str, int], totals: Mapping[str, int]) -> str:
    """Return how many of each class some are: ``3 of 20 of cat, all 7 of dog``."""
    said = [
        f"all {total} of {name}" if counts[name] == total else f"{counts[name]} of {total} of {name}"
        for name, total in totals.items()
        if counts.get(name)
    ]
    return ", ".join(said[:6]) + ", …" * (len(said) > 6)


def _of_classes(found: Sequence[Seen | BadImage], labels: Sequence[str], scale: Scale) -> list[str]:
    """Say where classes differ so much in bits or brightness that these tell them apart, whatever is to be seen."""
    if not labels:
        return []
    seen = [(label, one) for label, one in zip(labels, found, strict=True) if isinstance(one, Seen)]
    deep = {name: [one.sight for label, one in seen if label == name and one.sight] for name in dict.fromkeys(labels)}
    total = Counter(label for label, _ in seen)
    return [*_of_bits({name: len(deep[name]) / total[name] for name in total}), *_of_brightness(deep, scale.core)]


def _of_bits(deep: dict[str, float]) -> list[str]:
    most, least = max(deep, key=deep.__getitem__), min(deep, key=deep.__getitem__)
    if deep[most] < 0.9 or deep[least] > 0.1:
        return []
    return [
        f"{deep[most]:.0%} of the pictures of {most} have more than 8 bits, and {deep[least]:.0%} of those of {least}: "
        "a model may learn the scanner instead of the classes."
    ]


def _of_brightness(deep: dict[str, list[Sight]], core: Range) -> list[str]:
    reach = {
        name: float(np.median([_reach(sight, core) for sight in sights]))
        for name, sights in deep.items()
        if len(sights) >= FEWEST_OF_A_CLASS
    }
    if len(reach) < 2:
        return []
    bright, dim = max(reach, key=reach.__getitem__), min(reach, key=reach.__getitem__)
    if not 0 < reach[dim] * APART <= reach[bright]:
        return []
    return [
        f"The values of {bright} usually reach {reach[bright]:g}, and those of {dim} {reach[dim]:g}: other bits, or "
        "another unit? On one scale a model learns that instead of the classes. Bring them to one unit first."
    ]


def _reach(sight: Sight, core: Range) -> float:
    """Return the highest value of a picture, measured from 0 or from its lowest below; but for outliers."""
    low, high = np.clip(sight.inner, *core)
    return float(high - min(low, 0))
