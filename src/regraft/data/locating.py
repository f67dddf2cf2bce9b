"""Find the files that a table's cells mean: ids without suffix, backslashes, other cases, paths of another machine."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path, PureWindowsPath
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import url2pathname

from regraft.data.kinds import IMAGE_SUFFIXES
from regraft.data.rows import name_some
from regraft.errors import DataError

MOST_MISSING = 0.5  # of the files: above it the place is wrong, below it files are missing
NEAR, SAMPLE = 200, 50  # folders that are searched for a proposal, and cells that are tried


class Located(NamedTuple):
    """The file of every cell, there or not, and what the user should read about it."""

    paths: list[Path]
    notices: list[str]


def locate(table: Path, cells: Sequence[str], images: Path | None = None) -> Located:
    """Return the file that each cell means, below `images` or the table's own folder.

    A cell that names no file there may lack its suffix, have another case or backslashes, or, below `images`, lie in
    a folder within. Where no cell names one, leading folders that all have in common are taken off: a table from
    another machine. What is still not found is returned as it was written, and counts as a file that cannot be read.

    Raises:
        DataError: a cell that may be several files, or most files are not there.
    """
    base = _folder(table, images)
    if not base.is_dir():
        raise DataError(
            f"--images {images} is no folder. Expected the folder that the pictures of {table.name} lie in."
        )
    if all(re.match(r"https?://", cell) for cell in cells):
        raise DataError(f"{table} lists web addresses, such as {cells[0]}. Expected files: download them first.")
    spelled = [_spelled(cell, base) for cell in cells]
    shelf = Shelf(base, deep=images is not None)
    found = [_one(table, cell, shelf.find(cell)) for cell in spelled]
    notices: list[str] = []
    if not any(found) and (lead := _lead(spelled, shelf)):
        found = [_one(table, cell, shelf.find(cell[len(lead) :])) for cell in spelled]
        notices = [f"The paths in {table} begin with {lead}: without it they are files in {base}."]
    paths = [path or base / cell for path, cell in zip(found, spelled, strict=True)]
    _refuse_missing(table, images, base, spelled, [cell for cell, path in zip(spelled, found, strict=True) if not path])
    return Located(paths, notices)


def share_found(table: Path, cells: Sequence[str], images: Path | None = None) -> float:
    """Return which share of a sample of cells names a file: what tells a column of paths from another."""
    base, some = _folder(table, images), list(cells[:SAMPLE])
    shelf = Shelf(base, deep=images is not None)
    return sum(bool(shelf.find(_spelled(cell, base))) for cell in some if cell) / max(len(some), 1)


def _folder(table: Path, images: Path | None) -> Path:
    """Return where the files lie: `images` from where the user is, else from the table's folder."""
    if images is None:
        return table.parent
    return images.absolute() if images.is_dir() else table.parent / images


def _spelled(cell: str, base: Path) -> str:
    """Return a path as this system writes it; on Unix a name may hold backslashes."""
    if cell.startswith("file:"):
        return url2pathname(urlsplit(cell).path)
    return PureWindowsPath(cell).as_posix() if "\\" in cell and not _is_file(base / cell) else cell


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name longer than names can be
        return False


def _one(table: Path, cell: str, found: list[Path]) -> Path | None:
    if len(found) > 1:
        raise DataError(
            f"{cell!r} in {table} may be {name_some((str(path) for path in found), 2)}. Write the whole name, or give "
            "the folder: --images DIR."
        )
    return found[0] if found else None


class Shelf:
    """The files below a folder, listed when they are asked for: of a folder that is given, those in folders within."""

    def __init__(self, base: Path, *, deep: bool) -> None:
        self.base, self.deep = base, deep
        self._folders: dict[Path, dict[str, list[Path]]] = {}

    def find(self, cell: str) -> list[Path]:
        """Return the files that a cell may mean: the one of this very path, else those that differ as people write."""
        exact = self.base / cell
        if _is_file(exact):
            return [exact]
        near = self._near(exact.parent, exact.name)
        return near or (self._near(None, exact.name) if self.deep and "/" not in cell else [])

    def _near(self, folder: Path | None, name: str) -> list[Path]:
        """Return the files called so but for case and suffix: in one folder, or (None) anywhere below the base."""
        names = self._names(folder)
        return names.get(name) or names.get(name.casefold()) or []

    def _names(self, folder: Path | None) -> dict[str, list[Path]]:
        key = folder or self.base / "**"
        if key not in self._folders:
            names: dict[str, list[Path]] = defaultdict(list)
            for path in _below(self.base) if folder is None else _in(folder):
                stem = [path.stem] if path.suffix.lower() in IMAGE_SUFFIXES else []
                for name in {path.name, path.name.casefold(), *stem, *(one.casefold() for one in stem)}:
                    names[name].append(path)
            self._folders[key] = dict(names)
        return self._folders[key]


def _in(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_file())
    except OSError:
        return []


def _below(folder: Path) -> Iterator[Path]:
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(where, name) for name in sorted(files))


def _lead(cells: Sequence[str], shelf: Shelf) -> str:
    """Return the leading folders, common to all cells, without which they name files; as few as can be."""
    first, last = min(cells), max(cells)  # what these two have in common, all have
    folders = first.split("/")[:-1]
    leads = ["/".join(folders[:count]) + "/" for count in range(1, len(folders) + 1)]
    shared = [lead for lead in leads if last.startswith(lead)]
    some = cells[:SAMPLE]
    return next((lead for lead in shared if any(shelf.find(cell[len(lead) :]) for cell in some)), "")


def _refuse_missing(table: Path, images: Path | None, base: Path, cells: Sequence[str], missing: Sequence[str]) -> None:
    if len(missing) <= MOST_MISSING * len(cells):
        return
    seen = next((place for place in _folders_in(base) if share_found(table, missing, place) > MOST_MISSING), None)
    of = "--images names another" if images else "Paths are relative to the table's folder; --images DIR names another"
    raise DataError(
        f"{len(missing)} of {len(cells)} files listed in {table} do not exist: "
        f"{name_some(str(base / cell) for cell in missing)}. {of}{f'. They are here: --images {seen}' if seen else ''}."
    )


def _folders_in(base: Path) -> list[Path]:
    """Return the folders in a folder: where pictures usually lie beside a table."""
    return sorted(path for path in base.iterdir() if path.is_dir() and not path.name.startswith("."))[:NEAR]
