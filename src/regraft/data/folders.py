"""Read FOLDER/<class>/<picture> or FOLDER/<part>/<class>/<picture> -> rows."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from regraft.data.kinds import USUAL_SUFFIXES, by_suffix, is_picture, left_out
from regraft.data.rows import PART_NAMES, Found, Row, name_some, natural_key
from regraft.errors import DataError, NoImages
from regraft.progress import Progress

SYSTEM_NAMES = ("__MACOSX", "Thumbs.db", "desktop.ini")
"""Hidden in spirit: written by systems, never by people."""


def read_folder(folder: Path) -> Found:
    """List the pictures below a folder with their classes and, where there are split folders, their parts.

    Raises:
        NoImages: No picture, or pictures without class folders.
        DataError: The folders do not say which class a picture belongs to.
    """
    tree = _walk(folder)
    part_of = _part_folders(tree)
    pictures = [name for name in tree.files if is_picture(folder, name)]
    depth = 1 if part_of else 0  # how many folders lie above the class
    labelled = [name for name in pictures if name.count("/") > depth]
    _check(tree, part_of, pictures, labelled)
    rows = [Row(folder / name, name, label=name.split("/")[depth], part=_part(name, part_of)) for name in labelled]
    loose = [name for name in pictures if name.count("/") <= depth]
    return Found(rows, _notices(tree, pictures, loose))


def find_pictures(paths: Sequence[Path | str], progress: Progress | None = None) -> list[Path]:
    """Return the files named, and all pictures in the folders named, in natural order; labels play no part.

    `progress` hears what lies in the folders and is left out.

    Raises:
        DataError: a path that does not exist.
        NoImages: nothing that looks like a picture.
    """
    found: list[Path] = []
    others: list[str] = []
    for path in map(Path, paths):
        if path.is_dir():
            names = [name for name, is_folder in _entries(path, "", ()) if not (is_folder or _is_hidden(name))]
            pictures = [name for name in sorted(names, key=natural_key) if is_picture(path, name)]
            found += [path / name for name in pictures]
            others += sorted(set(names).difference(pictures), key=natural_key)
        elif path.exists():
            found.append(path)
        else:
            raise DataError(f"{path} does not exist. Expected a picture or a folder of pictures.")
    if not found:
        there = f"; there are {by_suffix(others)}" if others else ""
        raise NoImages(f"No pictures in {', '.join(map(str, paths))} (looked for {USUAL_SUFFIXES}{there}).")
    for notice in left_out(others):
        (progress or Progress()).warn(notice)
    return found


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


def _part_folders(tree: _Tree) -> dict[str, str]:
    """Return {folder: part}, empty when the folders are classes: `train` alone may be a class (a vehicle)."""
    part_of = {name: PART_NAMES[name.lower()] for name in tree.folders if name.lower() in PART_NAMES}  # the top ones
    if "train" not in part_of.values() or len(part_of) < 2:
        return {}
    if len(set(part_of.values())) < len(part_of):
        raise DataError(f"{tree.folder} holds {', '.join(part_of)}: two folders of one part. Keep one of them.")
    return part_of


def _part(name: str, part_of: dict[str, str]) -> str | None:
    return part_of.get(name.split("/")[0])


def _check(tree: _Tree, part_of: dict[str, str], pictures: list[str], labelled: list[str]) -> None:
    """Raise the first thing that keeps the folder from being learned."""
    folder = tree.folder
    if not pictures:
        there = f"; there are {by_suffix(tree.files)}" if tree.files else ""
        raise NoImages(
            f"{folder} holds 0 pictures in {len(tree.folders)} folders (looked for {USUAL_SUFFIXES}{there}). "
            "Expected FOLDER/<class>/<picture>."
        )
    if not labelled:
        raise NoImages(
            f"{folder} holds {len(pictures)} pictures but no class folders around them. "
            "Expected FOLDER/<class>/<picture>: sort them into one folder per class."
        )
    if part_of:
        _check_parts(tree, part_of, pictures, labelled)
    else:
        _check_nesting(tree, labelled)
    depth = 1 if part_of else 0
    filled = {"/".join(name.split("/")[: depth + 1]) for name in labelled}
    classes = [name for name in tree.folders if name.count("/") == depth and _part(name, part_of) in (None, "train")]
    if empty := [name for name in classes if name not in filled]:
        raise DataError(
            f"The class folder {name_some(empty)} of {folder} holds no pictures: "
            "a class without pictures cannot be learned. Fill it or remove it."
        )


def _check_nesting(tree: _Tree, labelled: list[str]) -> None:
    tops = {name.split("/")[0] for name in labelled}
    seconds = {name.split("/")[1] for name in labelled if name.count("/") > 1}
    if len(tops) == 1 and len(seconds) > 1 and all(name.count("/") > 1 for name in labelled):
        (only,) = tops
        raise DataError(
            f"All pictures of {tree.folder} lie in one folder, {only}, that holds {len(seconds)} folders itself. "
            f"Expected FOLDER/<class>/<picture>; is {tree.folder / only} the one you meant?"
        )


def _check_parts(tree: _Tree, part_of: dict[str, str], pictures: list[str], labelled: list[str]) -> None:
    beside = {name.split("/")[0] for name in pictures if "/" in name} - set(part_of)
    if beside:
        raise DataError(
            f"{tree.folder} holds {', '.join(part_of)} and also pictures in {name_some(sorted(beside))}. "
            "Expected split folders alone: move the others away."
        )
    for part in part_of:
        if not any(name.startswith(part + "/") for name in labelled):
            raise DataError(
                f"{tree.folder / part} holds no pictures in class folders. "
                f"Expected {part}/<class>/<picture>: fill it, or move it away."
            )


def _notices(tree: _Tree, pictures: list[str], loose: list[str]) -> list[str]:
    known = set(pictures)
    others = [name for name in tree.files if name not in known]
    hidden = [name for name in tree.hidden if (tree.folder / name).is_dir()]
    told = (
        (loose, "Left out, since they lie beside the class folders"),
        (hidden, "Hidden folders passed over"),
        ([repr(name) for name in tree.unwritable], "Left out, since their names are not valid text"),
    )
    return [*(f"{text}: {len(names)} ({name_some(names)})." for names, text in told if names), *left_out(others)]
