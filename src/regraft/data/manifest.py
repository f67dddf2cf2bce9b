"""Scan a folder | split folders | a table -> Manifest: every picture with its class, in an order that never changes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from regraft.data import in_memory
from regraft.data.columns import plain
from regraft.data.headers import headers, is_tag
from regraft.data.metadata import read_either
from regraft.data.naming import match_names
from regraft.data.rows import Found, Reading, Row, name_some, natural_key, settle_parts
from regraft.data.sheets import TABLE_SUFFIXES
from regraft.data.tables import read_table
from regraft.errors import DataError, DataMissing


@dataclass(frozen=True)
class Item:
    """One labelled picture."""

    path: Path  # absolute
    name: str  # posix path relative to Manifest.root: what split.csv and predictions.csv call the picture
    label: int  # index into Manifest.classes
    group: str | None = None  # pictures of one group (a patient, a source) never meet in two parts
    part: str | None = None  # "train" | "val" | "test", once known


@dataclass(frozen=True)
class Manifest:
    """Every picture of a data set, sorted by the natural order of its name: the same on every system."""

    root: Path
    classes: tuple[str, ...]  # natural order: "2" before "10"
    items: tuple[Item, ...]
    notices: tuple[str, ...] = ()  # plain sentences that the user should read

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.items)

    @property
    def labels(self) -> NDArray[np.int64]:
        """The class index of every picture, [n]."""
        return np.array([item.label for item in self.items], np.int64)

    @property
    def groups(self) -> list[str] | None:
        """The group of every picture; None when the pictures are not grouped."""
        groups = [item.group for item in self.items if item.group is not None]
        return groups if groups and len(groups) == len(self.items) else None

    def part(self, name: str) -> NDArray[np.int64]:
        """Return the indices of the items of one part: "train", "val" or "test"."""
        return np.array([at for at, item in enumerate(self.items) if item.part == name], np.int64)

    def keep(self, indices: Sequence[int] | NDArray[np.int64]) -> Manifest:
        """Return the manifest of these items only; the classes stay, so that no label shifts."""
        return replace(self, items=tuple(self.items[at] for at in indices))

    def with_parts(self, parts: Sequence[str | None]) -> Manifest:
        """Return the manifest with other parts, one for each item; None: it is in none."""
        items = (replace(item, part=part) for item, part in zip(self.items, parts, strict=True))
        return replace(self, items=tuple(items))

    def counts(self, part: str | None = None) -> dict[str, int]:
        """Return the number of pictures of every class, in all or in one part."""
        labels = self.labels if part is None else self.labels[self.part(part)]
        return dict(zip(self.classes, np.bincount(labels, minlength=len(self.classes)).tolist(), strict=True))

    def shares(self, part: str) -> NDArray[np.float64]:
        """Return each class's share of the pictures of one part, [classes]."""
        counts = np.array(list(self.counts(part).values()), np.float64)
        shares: NDArray[np.float64] = counts / counts.sum()
        return shares


def scan(data: Path | str, reading: Reading = Reading()) -> Manifest:  # noqa: B008  a value, never changed
    """List the labelled pictures of a folder or table; none is opened, unless the groups are read from its header.

    `data` is FOLDER/<class>/**/<picture>, or FOLDER/{train,val,test}/<class>/**/<picture>, or a table (CSV, TSV, Excel,
    JSON lines, Parquet) with a path and a label column and, optionally, a split and a group column; docs/data.md shows
    every form. Of a table, a file that is not there is listed too, as one that cannot be read.

    Raises:
        NoImages: There is nothing to learn from.
        DataError: The classes, parts or groups are not clear; the line says what was found and what was expected.
    """
    path = Path(data).absolute()  # not resolve(): a link keeps the name that the user gave
    with in_memory.retelling(path):
        found = _scanned(path, reading)
    if not in_memory.is_kept(path):
        return found
    return replace(found, notices=tuple(in_memory.retold(notice, path) for notice in found.notices))


def _scanned(path: Path, reading: Reading) -> Manifest:
    found, groups = _read(path, reading), reading.groups
    if groups is not None and any(row.group is None for row in found.rows):
        grouped = _group_by_header(found.rows, groups) or _group_by_pattern(found.rows, groups, path)
        found = Found(grouped.rows, [*found.notices, *grouped.notices])
    parts, notices = settle_parts([row.part for row in found.rows], path)
    rows = [row._replace(part=part) for row, part in zip(found.rows, parts, strict=True)]
    classes = tuple(sorted({row.label for row in rows}, key=natural_key))
    _check_names(path, classes)
    if reading.learn:
        _check_classes(path, classes, rows)
    groups_of = dict.fromkeys(row.group for row in rows if row.group and row.group != row.name)
    index = {name: at for at, name in enumerate(classes)}
    items = [Item(row.path, row.name, index[row.label], row.group, row.part) for row in rows]
    return Manifest(
        root=path if path.is_dir() else path.parent,
        classes=classes,
        items=tuple(sorted(items, key=lambda item: natural_key(item.name))),
        notices=(*found.notices, *notices, *_differ_in_case("Classes", classes), *_differ_in_case("Groups", groups_of)),
    )


def _read(path: Path, reading: Reading) -> Found:
    if path.is_dir():
        return read_either(path, reading)
    if not path.exists():
        raise DataMissing(f"{path} does not exist. Expected a folder of class folders, or a table.")
    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise DataError(f"{path} is neither a folder nor a table ({', '.join(TABLE_SUFFIXES)}).")
    if reading.layout != "auto":
        raise DataError(f"{path} is a table; --layout is for folders. Leave it out.")
    return read_table(path, reading)


def _group_by_header(rows: Sequence[Row], tag: str) -> Found | None:
    """Group pictures by what their headers say under a tag; None where it is none, or no header has it."""
    told = [group for (group,) in headers([row.path for row in rows], tag)] if is_tag(tag) else []
    if not any(told):
        return None
    lacking = [row.name for row, group in zip(rows, told, strict=True) if not group]
    notice = (
        f"{len(lacking)} of {len(rows)} pictures have no {tag} in their header: each of them is a group of its own "
        f"({name_some(lacking)})."
    )
    grouped = [row._replace(group=group or row.name) for row, group in zip(rows, told, strict=True)]
    return Found(grouped, [notice] if lacking else [])


def _group_by_pattern(rows: Sequence[Row], pattern: str, source: Path) -> Found:
    groups = match_names([row.name for row in rows], pattern, "groups")
    if unmatched := [row.name for row, group in zip(rows, groups, strict=True) if not group]:
        table = "" if source.is_dir() else f" (nor is it a column of {source.name})"
        tag = " (nor do their headers tell it)" if is_tag(pattern) else ""
        raise DataError(
            f"The groups '{pattern}' do not match {len(unmatched)} of {len(rows)} file names{table}{tag}: "
            f"{name_some(unmatched)}. Without --groups, Regraft looks for groups, and proposes what it finds."
        )
    return Found([row._replace(group=group) for row, group in zip(rows, groups, strict=True)], [])


def _check_names(path: Path, classes: Sequence[str]) -> None:
    """Refuse names that nobody could tell from nothing, or from another, in a table or on a page."""
    seen: dict[str, str] = {}
    for name in classes:
        visible = _visible(name)
        if not visible or "\0" in name:
            raise DataError(f"{path} has a class whose name cannot be seen, {name!r}. Give it a name of letters.")
        if visible in seen:
            raise DataError(
                f"{path} has two classes that look the same, {seen[visible]!a} and {name!a}: they differ in "
                "spaces or invisible characters only. Join them, or rename one."
            )
        seen[visible] = name


def _visible(name: str) -> str:
    """Return what a reader sees: composed accents, single spaces, no control or format characters."""
    composed = unicodedata.normalize("NFC", name)
    return " ".join(
        "".join(one for one in composed if one.isspace() or unicodedata.category(one) not in ("Cc", "Cf")).split()
    )


def _differ_in_case(what: str, names: Iterable[str]) -> list[str]:
    """Return a sentence on classes or groups that are probably one, written in two ways."""
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(re.sub(r"(?<=\w)[\s_-]+(?=\w)", " ", name.strip()).casefold(), []).append(name)
    found = [" and ".join(map(repr, names)) for names in alike.values() if len(names) > 1]
    return [f"{what} that may be one, written in two ways: {name_some(found)}."] if found else []


def _check_classes(path: Path, classes: Sequence[str], rows: Sequence[Row]) -> None:
    if len(classes) < 2:
        meant = "the folder above" if path.is_dir() else "another column of classes, --label-column NAME,"
        raise DataError(
            f"{path} holds one class only, {classes[0]!r} ({len(rows)} pictures); expected at least two. "
            f"Is it {meant} that you meant?"
        )
    learned = {row.label for row in rows if row.part in (None, "train")}
    if unknown := [name for name in classes if name not in learned]:
        where = " and ".join(sorted({str(row.part) for row in rows if row.label not in learned}))
        near = [(name, other) for name in unknown for other in _nearest(name, learned)]
        also = f" ({name_some(f'train has {other!r} for {name!r}' for name, other in near)}?)" if near else ""
        raise DataError(
            f"{path} has the class {name_some(map(repr, unknown))} in {where} but not in train{also}: it cannot be "
            f"learned. {'Give both one name' if near else 'Add it to train, or remove it'}."
        )


def _nearest(name: str, others: Collection[str]) -> list[str]:
    """Return the names that differ from one in case, marks or a plural's s only."""
    return [other for other in sorted(others) if plain(other).removesuffix("s") == plain(name).removesuffix("s")]
