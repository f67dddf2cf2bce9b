"""Audit items x digests -> findings: the same picture under two labels, or in two parts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

from regraft.data.manifest import Item
from regraft.data.rows import name_some
from regraft.errors import BadImage


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
    return [twins for twins in same.values() if len(twins) > 1]


def _find(
    items: Sequence[Item], digests: Sequence[str | BadImage], trait: Callable[[Item], object], what: str
) -> Finding:
    same = [[items[index] for index in twins] for twins in identical(digests)]
    found = [tuple(item.name for item in twins) for twins in same if len(set(map(trait, twins))) > 1]
    named = name_some(" = ".join(names) for names in found)
    lie = "1 picture lies" if len(found) == 1 else f"{len(found)} pictures lie"
    return Finding(found, f"{lie} in {what}: {named}." if found else "")
