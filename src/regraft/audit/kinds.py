"""Name what is looked for in the data: the kinds of findings, and what people are told of them."""

from __future__ import annotations

from collections.abc import Iterable

from regraft.errors import UnknownName

KINDS = {
    "corrupt": "files that cannot be read",
    "blank": "pictures of one colour, on the scale on which they are shown",
    "label-conflict": "the same picture under two labels",
    "leak": "the same picture, or pictures of one group, in two parts; or the same picture in two groups",
    "close-parts": "a part much nearer to the training pictures than these are to each other: copies, or one scene",
    "duplicate": "the same file more than once, in one class",
    "near-duplicate": "nearly the same picture more than once, in one class: resized, encoded anew, mirrored, turned, "
    "cropped",
    "label-error": "labels that a model which has not seen the picture does not believe, the likeliest first",
    "outlier": "pictures unlike all others",
    "odd-size": "pictures much smaller, or much longer, than the others",
}
"""What is looked for, the gravest first, and what it is."""

NAMES = {
    "corrupt": ("unreadable file", "unreadable files"),
    "blank": ("blank picture", "blank pictures"),
    "label-conflict": ("picture under two labels", "pictures under two labels"),
    "leak": ("leak between parts or groups", "leaks between parts or groups"),
    "close-parts": ("part too near to the training pictures", "parts too near to the training pictures"),
    "duplicate": ("set of exact copies", "sets of exact copies"),
    "near-duplicate": ("set of near copies", "sets of near copies"),
    "label-error": ("label that looks wrong", "labels that look wrong"),
    "outlier": ("picture unlike all others", "pictures unlike all others"),
    "odd-size": ("picture of an odd size", "pictures of odd sizes"),
}
"""What people are told of one finding, and of several; the kinds themselves are for findings.csv and --fail-on."""


def check_kinds(names: Iterable[str]) -> tuple[str, ...]:
    """Return the kinds of findings named, in their order.

    Raises:
        UnknownName: there is no such kind; the nearest are named.
    """
    wanted = tuple(names)
    for name in wanted:
        if name not in KINDS:
            raise UnknownName("kind of finding", name, KINDS)
    return wanted
