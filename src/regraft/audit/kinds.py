"""Name what is looked for in the data: the kinds of findings, and what people are told of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from regraft.errors import UnknownName


class Kind(NamedTuple):
    """What a kind of finding is, and what people are told of one of them, and of several."""

    what: str
    one: str
    several: str

    def of(self, count: int) -> str:
        """Return what so many findings are called."""
        return self.one if count == 1 else self.several


KINDS = {
    "corrupt": Kind("files that cannot be read", "unreadable file", "unreadable files"),
    "blank": Kind("pictures of one colour, on the scale on which they are shown", "blank picture", "blank pictures"),
    "label-conflict": Kind(
        "the same picture under two labels", "picture under two labels", "pictures under two labels"
    ),
    "leak": Kind(
        "the same picture, or pictures of one group, in two parts; or the same picture in two groups",
        "leak between parts or groups",
        "leaks between parts or groups",
    ),
    "close-parts": Kind(
        "a part much nearer to the training pictures than these are to each other: copies, or one scene",
        "part too near to the training pictures",
        "parts too near to the training pictures",
    ),
    "duplicate": Kind("the same file more than once, in one class", "set of exact copies", "sets of exact copies"),
    "near-duplicate": Kind(
        "nearly the same picture more than once, in one class: resized, encoded anew, mirrored, turned, cropped",
        "set of near copies",
        "sets of near copies",
    ),
    "label-error": Kind(
        "labels that a model which has not seen the picture does not believe, the likeliest first",
        "label that looks wrong",
        "labels that look wrong",
    ),
    "outlier": Kind("pictures unlike all others", "picture unlike all others", "pictures unlike all others"),
    "odd-size": Kind(
        "pictures much smaller, or much longer, than the others", "picture of an odd size", "pictures of odd sizes"
    ),
}
"""What is looked for, the gravest first; the names are for findings.csv and --fail-on."""


def check_kinds(names: str | Iterable[str]) -> tuple[str, ...]:
    """Return the kinds of findings named, as a list or joined by commas, in their order.

    Raises:
        UnknownName: there is no such kind; the nearest are named.
    """
    listed = names.split(",") if isinstance(names, str) else names
    wanted = tuple(name.strip() for name in listed if name.strip())
    for name in wanted:
        if name not in KINDS:
            raise UnknownName("kind of finding", name, KINDS)
    return wanted
