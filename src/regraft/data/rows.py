"""Name what a folder or a table tells of one picture: the form in which both reach the manifest."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

PARTS = ("train", "val", "test")
PART_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""How people call the parts, in lower case."""


class Row(NamedTuple):
    """One labelled picture; the label is still a name."""

    path: Path
    name: str  # posix path below the root
    label: str
    part: str | None = None
    group: str | None = None


class Found(NamedTuple):
    """All rows of a folder or table, and what the user should read about it."""

    rows: list[Row]
    notices: list[str]


def natural_key(text: str) -> tuple[list[str | int], str]:
    """Return a sort key that puts "2" before "10": runs of digits compare as numbers, the rest by code point."""
    pieces: list[str | int] = [*re.split(r"(\d+)", text)]
    pieces[1::2] = map(int, pieces[1::2])  # text and digits alternate, so like always meets like
    return pieces, text  # the text itself decides between "01" and "1"


def name_some(names: Iterable[str], count: int = 3) -> str:
    """Return the first names, and how many more there are."""
    listed = list(names)
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
