"""Read FOLDER/<class>/<picture> or FOLDER/<part>/<class>/<picture> -> rows."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from regraft.data.kinds import USUAL_SUFFIXES, by_suffix, is_picture, left_out, suffix
from regraft.data.layouts import Layout, Level, level_of, read_layout, unlabelled, wrapped
from regraft.data.masks import masks_of
from regraft.data.naming import FOLDER_PATTERNS, label_by_pattern, match_names, propose
from regraft.data.rows import Found, Reading, Row, name_some, natural_key, part_called
from regraft.data.sheets import SURE_SUFFIXES
from regraft.errors import DataError, NoImages

SYSTEM_NAMES = ("__MACOSX", "Thumbs.db", "desktop.ini")
"""Hidden in spirit: written by systems, never by people."""


def read_folder(folder: Path, reading: Reading = Reading()) -> Found:  # noqa: B008  a value, never changed
    """List the pictures below a folder with their classes and, where there are split folders, their parts.

    Raises:
        NoImages: No picture, or pictures without class folders.
        DataError: The folders do not say which class a picture belongs to.
    """
    tree = _walk(folder)
    pictures = [name for name in tree.files if is_picture(folder, name)]
    if not pictures:
        there = f"; there are {by_suffix(tree.files)}" if tree.files else ""
        raise NoImages(
            f"{folder} holds 0 pictures in {len(tree.folders)} folders (looked for {USUAL_SUFFIXES}{there}). "
            "Expected FOLDER/<class>/<picture>."
        )
    if reading.label_pattern is not None:
        return _by_name(tree, pictures, reading)
    if all("/" not in name for name in pictures):
        raise NoImages(
            f"{folder} holds {len(pictures)} pictures but no class folders around them. Expected "
            f"FOLDER/<class>/<picture>: {_next_step(tree, pictures)}."
        )
    masks = masks_of(pictures, top=wrapped(level_of(pictures))[-1].prefix.count("/") + 1)
    pictures = [name for name in pictures if name not in masks]
    layout = _layout(tree, pictures, reading.layout)
    _check(tree, layout, pictures)
    rows = [Row(folder / name, name, label, part) for name, label, part in layout.labelled]
    used = {row.name for row in rows}
    told = tuple(f"{one.folder}/" for one in layout.left_out)
    loose = [name for name in pictures if name not in used and not name.startswith(told)]
    return Found(rows, [*layout.notices, *_notices(tree, pictures, loose, masks)])


def _layout(tree: _Tree, pictures: list[str], requested: str) -> Layout:
    """Return where the classes lie. What is refused may have the class in the names: the line then says so as well.

    Raises:
        DataError: The folders do not say it.
    """
    try:
        return read_layout(tree.folder, pictures, requested)
    except DataError as error:
        told = "--label-pattern" in str(error)  # one that finds the inner of two levels
        hint = "" if told else _class_in_names(pictures) or _tables_beside(tree)
        raise DataError(f"{error} {hint[0].upper()}{hint[1:]}.") if hint else error from None


def _class_in_names(pictures: list[str]) -> str:
    """Say which pattern finds the class in the names of files or, where they lie deeper, of the folders around them."""
    if all(name.count("/") > 1 for name in pictures):
        return propose(pictures, FOLDER_PATTERNS)
    if any(name.count("/") > 1 for name in pictures):
        return ""
    return next(filter(None, map(propose, [pictures, *level_of(pictures).folders.values()])), "")


def _by_name(tree: _Tree, pictures: list[str], reading: Reading) -> Found:
    """Return all pictures with the class that the pattern finds in their names, and their folders' parts."""
    pattern = str(reading.label_pattern)
    found = dict(zip(pictures, match_names(pictures, pattern, "label pattern"), strict=True))
    # a pattern that finds another class in a mask's name than in the picture's means it so
    masks = {mask for mask, picture in masks_of(pictures).items() if found[mask] in (None, found.get(picture))}
    pictures = [name for name in pictures if name not in masks]
    level, part_of = _parts_above(pictures, reading.layout)
    blank = [folder for folder in part_of if not any(found[name] for name in level.folders[folder])]
    left = {name for folder in blank for name in level.folders[folder]}
    named = [name for name in pictures if name not in left]
    labels = label_by_pattern(named, pattern)
    labelled = {folder: part for folder, part in part_of.items() if folder not in blank}
    parts = {name: part for folder, part in labelled.items() for name in level.folders[folder] if len(labelled) > 1}
    rows = [Row(tree.folder / name, name, label, parts.get(name)) for name, label in zip(named, labels, strict=True)]
    told = unlabelled(tree.folder, level, blank, "their names do not match in")
    return Found(rows, [*(one.notice for one in told), *_notices(tree, pictures, [], masks)])


def _parts_above(pictures: list[str], requested: str) -> tuple[Level, dict[str, str]]:
    """Return the first folders beside each other, and the part of each; no parts where one of them is none."""
    level = wrapped(level_of(pictures))[-1]
    part_of = {folder: part for folder in level.folders if (part := part_called(folder))}
    are_parts = len(part_of) == len(level.folders) and {"train"} < set(part_of.values()) and not level.loose
    return level, part_of if are_parts and requested != "classes" else {}


def _next_step(tree: _Tree, pictures: list[str]) -> str:
    steps = [propose(pictures), _tables_beside(tree)]
    return "; or ".join(["sort them into one folder per class", *filter(None, steps)])


def _tables_beside(tree: _Tree) -> str:
    """Say that a table beside the pictures may hold the labels."""
    tables = [name for name in tree.files if name.count("/") < 2 and suffix(name) in SURE_SUFFIXES]
    return f"the table {name_some(tables)} may hold the labels: give it in place of the folder" if tables else ""


def names_below(folder: Path) -> Iterator[str]:
    """Yield the names of all files below a folder that are not hidden, in no order."""
    return (name for name, is_folder in _entries(folder, "", ()) if not (is_folder or _is_hidden(name)))


class _Tree(NamedTuple):
    """Everything below a folder, as posix names in natural order."""

    folder: Path
    files: list[str]
    folders: list[str]
    hidden: list[str]
    unwritable: list[str]  # names that are no text: they could not be written into split.csv


def _walk(folder: Path) -> _Tree:
    tree = _Tree(folder, [], [], [], [])
    try:
        for name, is_folder in _entries(folder, "", ()):
            if _is_hidden(name):
                tree.hidden.append(name)
            elif not _is_text(name):
                tree.unwritable.append(name)
            else:
                (tree.folders if is_folder else tree.files).append(name)
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}.") from error
    for names in (tree.files, tree.folders, tree.hidden):
        names.sort(key=natural_key)
    return tree


def _entries(folder: Path, prefix: str, above: tuple[str, ...]) -> Iterator[tuple[str, bool]]:
    """Yield (name, is it a folder) of everything below; links are followed, hidden folders are not entered."""
    here = os.path.realpath(folder)
    if here in above:  # a link to a folder above: already listed
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            name = prefix + entry.name
            yield name, entry.is_dir()
            if entry.is_dir() and not _is_hidden(name):
                yield from _entries(folder / entry.name, name + "/", (*above, here))


def _is_hidden(name: str) -> bool:
    last = name.rpartition("/")[2]
    return last.startswith(".") or last in SYSTEM_NAMES


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check(tree: _Tree, layout: Layout, pictures: list[str]) -> None:
    """Raise the first thing that keeps the classes from being learned: all in one folder, or one without pictures."""
    level, part = layout.levels[0]
    if part is None and len(level.folders) == 1 and not level.loose:
        _refuse_one_folder(tree, pictures)
    learned = [level for level, part in layout.levels if part in (None, "train")]
    filled = {level.prefix + name for level in learned for name in level.folders}
    left_out = {name.rpartition("/")[0] for name in pictures}  # a copy, or an unlabelled part, is no empty class
    empty = [
        name
        for level in learned
        for name in tree.folders
        if name.rpartition("/")[0] == level.prefix.rstrip("/")
        and name not in filled
        and not any(folder == name or folder.startswith(name + "/") for folder in left_out)
    ]
    if empty:
        raise DataError(
            f"The class folder {name_some(empty)} of {tree.folder} holds no pictures: "
            "a class without pictures cannot be learned. Fill it or remove it."
        )


def _refuse_one_folder(tree: _Tree, pictures: list[str]) -> None:
    within = wrapped(level_of(pictures))[-1]
    if len(within.folders) > 1:
        raise DataError(
            f"All pictures of {tree.folder} lie in one folder, {within.prefix.rstrip('/')}, that holds "
            f"{len(within.folders)} folders itself. Expected FOLDER/<class>/<picture>; is "
            f"{tree.folder / within.prefix} the one you meant?"
        )
    if (hint := propose(pictures)) and not within.folders:
        raise DataError(f"All pictures of {tree.folder} lie in one folder, {within.prefix.rstrip('/')}; {hint}.")


def _notices(tree: _Tree, pictures: list[str], loose: list[str], masks: Collection[str]) -> list[str]:
    known = {*pictures, *masks}
    others = [name for name in tree.files if name not in known]
    hidden = [name for name in tree.hidden if (tree.folder / name).is_dir()]
    folders = {PurePosixPath(name).parent for name in pictures}
    filled = {str(above) for folder in folders for above in (folder, *folder.parents)}
    empty = [name for name in tree.folders if name not in filled and part_called(name.rpartition("/")[2])]
    told = (
        (empty, "Without a picture, though called like a part"),
        (masks, "Left out, since they are called as masks of other pictures"),
        (loose, "Left out, since they lie beside the class folders"),
        (hidden, "Hidden folders passed over"),
        ([repr(name) for name in tree.unwritable], "Left out, since their names are not valid text"),
    )
    return [*(f"{text}: {len(names)} ({name_some(names)})." for names, text in told if names), *left_out(others)]
