"""Audit items x digests -> findings: the same picture under two labels, or in two parts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from regraft.data.manifest import Item
from regraft.data.rows import name_some
from regraft.errors import BadImage

T = TypeVar("T")


class Finding(NamedTuple):
    """Sets of identical pictures that should not be, and one line about them, empty when there are none."""

    pictures: list[tuple[str, ...]]
    notice: str


def label_conflicts(items: Sequence[Item], digests: Sequence[str | BadImage]) -> Finding:
    """Find identical pictures with different labels: at least one of them is wrong, no network can learn both."""
    return _find(items, digests, lambda item: item.label, "more than one class")


def duplicates_across_parts(items: Sequence[Item], digests: Sequence[str | BadImage]) -> Finding:
    """Find identical pictures in different parts: what was learned by heart would be measured as recognised."""
    return _find(items, digests, lambda item: item.part, "more than one part or fold")


def identical(digests: Sequence[str | BadImage]) -> list[list[int]]:
    """Return the sets of pictures, by index, whose files are the same byte for byte."""
    same: dict[str, list[int]] = defaultdict(list)
    for index, digest in enumerate(digests):
        if isinstance(digest, str):
            same[digest].append(index)
    return [copies for copies in same.values() if len(copies) > 1]


def copies_that_differ(
    items: Sequence[T], digests: Sequence[str | BadImage], trait: Callable[[T], object]
) -> list[list[T]]:
    """Return the sets of items whose files are the same byte for byte, and that differ in a trait."""
    same = [[items[index] for index in members] for members in identical(digests)]
    return [copies for copies in same if len(set(map(trait, copies))) > 1]


def _find(
    items: Sequence[Item], digests: Sequence[str | BadImage], trait: Callable[[Item], object], what: str
) -> Finding:
    found = [tuple(item.name for item in copies) for copies in copies_that_differ(items, digests, trait)]
    named = name_some(" = ".join(names) for names in found)
    lie = "1 picture lies" if len(found) == 1 else f"{len(found)} pictures lie"
    return Finding(found, f"{lie} in {what}: {named}." if found else "")
