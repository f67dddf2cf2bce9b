"""Corrected labels and a manifest -> the manifest as a human sees it: other labels, and without what is unusable.

A table has ``filename`` and ``label``, the class as it should be; further ``verdict``, one of `VERDICTS`, and ``was``,
the class that the picture had when it was judged. The pages of a report and a check write all four.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from regraft.data.manifest import Item, Manifest
from regraft.data.rows import name_some
from regraft.errors import DataError, UnknownName
from regraft.utils.files import without_quotes

COLUMNS = ("filename", "was", "verdict", "label")
RIGHT, WRONG, UNUSABLE = VERDICTS = ("right", "wrong", "unusable")


class Correction(NamedTuple):
    """What a human says of one picture."""

    filename: str  # as in split.csv
    was: str  # the class when it was judged; empty where that is not told
    verdict: str  # of VERDICTS
    label: str  # the class as it should be; empty where it is unusable, or wrong and nobody knows what it is

    @property
    def left_out(self) -> bool:
        """Whether no class is left that could be learned."""
        return self.verdict == UNUSABLE or not self.label


def read_corrections(text: str | None) -> list[Correction]:
    """Read the text of a table, with commas or semicolons.

    Raises:
        DataError: it is no such table, or says two things of one picture.
    """
    if text is None:
        return []
    found = [_correction(row) for row in _rows(text)]
    said = Counter(one.filename for one in set(found))
    if twice := [name for name, times in said.items() if times > 1]:
        raise DataError(f"The corrections say two things of {name_some(twice)}. Expected one row for each picture.")
    return list(dict.fromkeys(found))


def _rows(text: str) -> list[dict[str, str]]:
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    try:
        header, *rows = list(csv.reader(io.StringIO(text), delimiter=separator, strict=True))
    except csv.Error as error:
        raise DataError(f"The corrections are no table ({error}). {_EXPECTED}") from error
    names = [name.strip().lower() for name in header]
    if missing := {"filename", "label"} - set(names):
        raise DataError(f"The corrections have no column {sorted(missing)[0]!r}. {_EXPECTED}")
    if odd := next((row for row in rows if row and len(row) != len(names)), None):
        raise DataError(
            f"The corrections have {len(odd)} cells in the row of {odd[0]!r}, not {len(names)}. {_EXPECTED}"
        )
    return [dict(zip(names, map(without_quotes, row), strict=True)) for row in rows if row]


_EXPECTED = f"Expected the columns {', '.join(COLUMNS)}, as the page of a report or check writes them."


def _correction(row: dict[str, str]) -> Correction:
    name, was, verdict, label = (row.get(column, "") for column in COLUMNS)
    if verdict not in ("", *VERDICTS):
        raise UnknownName("verdict", verdict, VERDICTS, f"It is said of {name!r} in the corrections.")
    if not verdict and not label:
        raise DataError(f"The corrections give {name!r} neither a label nor a verdict ({', '.join(VERDICTS)}).")
    return Correction(name, was, verdict or (RIGHT if was == label else WRONG), label)


def corrected(manifest: Manifest, text: str | None) -> Manifest:
    """Return the manifest with the labels that a human gave, and without the pictures that cannot be used.

    Raises:
        DataError: no such table; pictures that the data do not have, or that had another class when they were judged.
        UnknownName: a class that the data do not have.
    """
    corrections = read_corrections(text)
    if text is None:
        return manifest
    of = {one.filename: one for one in corrections}
    _refuse_others(manifest, of)
    for one in corrections:
        for name in (one.label, one.was):
            if name and name not in manifest.classes:
                raise UnknownName("class", name, manifest.classes, f"The corrections give it to {one.filename!r}.")
    items = [_relabelled(item, of.get(item.name), manifest.classes) for item in manifest.items]
    notices = (*manifest.notices, *told(corrections))
    return replace(manifest, items=tuple(item for item in items if item), notices=notices)


def _refuse_others(manifest: Manifest, of: dict[str, Correction]) -> None:
    labels = {item.name: manifest.classes[item.label] for item in manifest.items}
    if unknown := [name for name in of if name not in labels]:
        raise DataError(
            f"The corrections name {_pictures(len(unknown))} that {manifest.root} does not have: {name_some(unknown)}. "
            "Expected names as in split.csv; take out the rows of pictures that are gone."
        )
    if changed := [name for name, one in of.items() if one.was not in ("", labels[name])]:
        raise DataError(
            f"{name_some(changed)} had another class when the corrections were made: {of[changed[0]].was!r}, and now "
            f"{labels[changed[0]]!r}. Take out the rows that are done, or correct them anew."
        )


def _relabelled(item: Item, correction: Correction | None, classes: Sequence[str]) -> Item | None:
    if correction is None or correction.verdict == RIGHT:
        return item
    return None if correction.left_out else replace(item, label=classes.index(correction.label))


def told(corrections: Iterable[Correction]) -> list[str]:
    """Say what corrections do, in a sentence; nothing where there are none."""
    counts = Counter(
        "confirmed" if one.verdict == RIGHT else "left out" if one.left_out else "relabelled" for one in corrections
    )
    said = [
        (counts["relabelled"], f"{_pictures(counts['relabelled'])} with another class"),
        (counts["left out"], f"{_pictures(counts['left out'])} left out"),
        (counts["confirmed"], f"{_pictures(counts['confirmed'])} confirmed"),
    ]
    listed = [what for count, what in said if count]
    return [f"Corrected by hand: {', '.join(listed)}."] if listed else []


def _pictures(count: int) -> str:
    return "1 picture" if count == 1 else f"{count} pictures"
