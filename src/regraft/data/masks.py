"""Tell masks from the pictures that they belong to, by their names or by the folder they lie in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

MASK_FOLDERS = frozenset(
    {"masks", "mask", "annotations", "labels", "label", "segmentation", "segmentations", "groundtruth"}
    | {"ground_truth", "gt", "trimaps", "bboxes"}
)
PICTURE_FOLDERS = frozenset({"images", "image", "imgs", "img", "pictures", "photos", "jpegimages"})
MASK_WORDS = MASK_FOLDERS | {"seg", "segm", "segs", "trimap", "matte", "annotation", "labelids"}
_SEEM = re.compile("|".join(MASK_WORDS) + r"|ground[\W_]truth", re.IGNORECASE)
MOSTLY = 0.5  # of a folder's pictures belong to others: then all of them are masks

Place = tuple[str, tuple[str, ...]]
"""A folder, and the words of a picture's name, but for `image` and the like."""


def masks_of(names: Sequence[str], top: int = 0) -> dict[str, str]:
    """Return the masks among pictures, each with the picture it belongs to, or "" where only its folder tells.

    `x_mask.png`, `mask_x.png` and `x_mask_2.png` belong to `x.png` in the same folder, `mask_1.png` to `image_1.png`,
    `masks/x.png` to `images/x.png` or `x.png`. Above that many folders one called as of masks may be a class.
    """
    if not any(_SEEM.search(name) for name in names):  # most data sets have none: do not read all of their names
        return {}
    there = {_place(name): name for name in names}
    found = {name: picture for name in names if (picture := _picture(name, there))}
    folders = _mask_folders(names, top)
    if folders:
        there = {place: name for name in names for place in _places_without_folder(name)} | there
    for folder, inside in folders.items():
        above = folder.rpartition("/")[0]
        moved = {name: f"{above}/{name[len(folder) + 1 :]}".lstrip("/") for name in inside}
        beside = {name: there.get(_place(at)) or _picture(at, there) for name, at in moved.items()}
        if sum(map(bool, beside.values())) > MOSTLY * len(inside):
            found |= beside
    return found


def _picture(name: str, there: dict[Place, str]) -> str:
    """Return the picture that is called as this one but for a word of masks, and a number behind it; else ""."""
    folder, words = _place(name)
    for at, word in enumerate(words):
        if word.rstrip("0123456789") in MASK_WORDS:
            kept = [words[:at] + words[at + 1 :], *([words[:at]] if "".join(words[at + 1 :]).isdecimal() else [])]
            return next((there[folder, rest] for rest in kept if (folder, rest) in there), "")
    return ""


def _place(name: str) -> Place:
    folder, _, last = name.rpartition("/")
    stem = re.sub(r"ground[\W_]truth", "groundtruth", (last.rpartition(".")[0] or last).casefold())
    return folder, tuple(word for word in re.findall(r"[^\W_]+", stem) if word not in PICTURE_FOLDERS)


def _places_without_folder(name: str) -> Iterator[Place]:
    """Yield the place of a picture as if it lay beside its folder `images`."""
    parts = name.split("/")
    for at, part in enumerate(parts[:-1]):
        if part.casefold() in PICTURE_FOLDERS:
            yield _place("/".join([*parts[:at], *parts[at + 1 :]]))


def _mask_folders(names: Iterable[str], top: int) -> dict[str, list[str]]:
    """Return the folders that are called as ones of masks, with the pictures below them."""
    found: dict[str, list[str]] = {}
    for name in names:
        parts = name.split("/")
        at = next((at for at, part in enumerate(parts[:-1]) if at >= top and part.casefold() in MASK_FOLDERS), None)
        if at is not None:
            found.setdefault("/".join(parts[: at + 1]), []).append(name)
    return found
