"""Name what a folder or a table tells of one picture: the form in which both reach the manifest."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

PARTS = ("train", "val", "test")
PART_NAMES = {
    **dict.fromkeys(("train", "training", "trn", "trainset", "traindata"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "valset", "valdata"), "val"),
    **dict.fromkeys(("test", "testing", "tst", "testset", "testdata", "eval", "evaluation", "holdout"), "test"),
}
"""How people call the parts, in lower case."""


class Row(NamedTuple):
    """One labelled picture; the label is still a name."""

    path: Path
    name: str  # posix path below the root
    label: str
    part: str | None = None
    group: str | None = None


class Reading(NamedTuple):
    """How data are to be read where they do not say it themselves: the settings of these names.

    Args:
        groups: a column of the table, or a regular expression searched in every file name: the match, or its first
            capture group, names the picture's group. One with a "/" is searched in the whole of `Item.name`. Or what
            the head of every file is then read for: a keyword of DICOM, such as PatientID, or a tag of EXIF, such as
            BodySerialNumber; a date with ":day" behind it, such as DateTimeOriginal:day, groups by day.
        path_column: the table's column of files or of their ids.
        label_column: the table's column of classes.
        split_column: the table's column of parts.
        images: the folder in which the table's files lie.
        label_pattern: a regular expression that finds the class in every file name, as `groups` finds the group.
        layout: whether the folders at the top are "parts" or "classes"; "auto": what their names and contents say.
        learn: False for data that only measure a model: then one class may be all there is, and have a single picture.
    """

    groups: str | None = None
    path_column: str | None = None
    label_column: str | None = None
    split_column: str | None = None
    images: Path | None = None
    label_pattern: str | None = None
    layout: str = "auto"
    learn: bool = True


class Found(NamedTuple):
    """All rows of a folder or table, and what the user should read about it."""

    rows: list[Row]
    notices: list[str]


def natural_key(text: str) -> tuple[list[str | int], str]:
    """Return a sort key that puts "2" before "10": runs of digits compare as numbers, the rest by code point."""
    pieces: list[str | int] = [*re.split(r"(\d+)", text)]
    pieces[1::2] = map(int, pieces[1::2])  # text and digits alternate, so like always meets like
    return pieces, text  # the text itself decides between "01" and "1"


def part_called(name: str) -> str | None:
    """Return the part that a name tells of: train of `training_set`, `Dataset-Train` or `train2017`, else None.

    Only whole words count: `test_tube` tells of test, `validated` of nothing, and `train_val` of two, so of none. What
    lies in the folder decides whether it is meant so.
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", re.sub(r"(?i)hold[-_ ]out", "holdout", name))
    words = re.findall("[a-z]+", spaced.lower())
    parts = {PART_NAMES[word] for word in words if word in PART_NAMES}
    return parts.pop() if len(parts) == 1 else None


def name_some(names: Iterable[str], count: int = 3) -> str:
    """Return the first names, and how many more there are."""
    listed = [name if len(name) <= 300 else name[:300] + "…" for name in names]  # of files that hold anything
    more = f" and {len(listed) - count} more" if len(listed) > count else ""
    return ", ".join(listed[:count]) + more


def settle_parts(parts: Sequence[str | None], source: Path) -> tuple[list[str | None], list[str]]:
    """Make a given validation part the test part where there is no test part; return (parts, notices).

    Nothing may be tuned on the only pictures that are left for the final measurement.
    """
    if "val" not in parts or "test" in parts:
        return list(parts), []
    notice = (
        f"The val part of {source} is used as the test part, since there is no test part; "
        "a validation part is held out of train."
    )
    return ["test" if part == "val" else part for part in parts], [notice]
