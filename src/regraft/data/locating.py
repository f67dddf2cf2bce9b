"""Find the files that a table's cells mean: ids without suffix, backslashes, other cases, paths of another machine."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

from regraft.data import in_memory
from regraft.data.kinds import IMAGE_SUFFIXES
from regraft.data.rows import name_some
from regraft.errors import DataError
from regraft.utils.files import named_path

MOST_MISSING = 0.5  # of the files: above it the place is wrong, below it files are missing
NEAR, SAMPLE = 200, 50  # folders that are searched for a proposal, and cells that are tried


class Located(NamedTuple):
    """The file of every cell, there or not, and what the user should read about it."""

    paths: list[Path]
    notices: list[str]


class Shelf:
    """The files that a table may mean: those in its own folder, or those below the folder that is given.

    Folders are listed when they are asked for, and once.
    """

    def __init__(self, table: Path, images: Path | None = None) -> None:
        """Take `images` from where the user is, else from the table's folder.

        Raises:
            DataError: there is no such folder.
        """
        own = Path.cwd() if in_memory.is_kept(table) else table.parent  # data in memory lie in no folder
        self.table, self.deep = table, images is not None
        self.base = own if images is None else images.absolute() if images.is_dir() else own / images
        self._folders: dict[Path | None, dict[str, list[Path]]] = {}
        self._bare: dict[Path | None, dict[str, list[Path]]] = {}
        if not self.base.is_dir():
            raise DataError(f"--images={images} is no folder. Expected the one that the pictures of {table} lie in.")

    def share(self, cells: Sequence[str]) -> float:
        """Return which share of a sample of cells names a file: what tells a column of paths from another."""
        some = cells[:SAMPLE]
        return sum(bool(self.find(self.spelled(cell))) for cell in some if cell) / max(len(some), 1)

    def spelled(self, cell: str) -> str:
        """Return a path as this system writes it; on Unix a name may hold backslashes."""
        if cell.startswith(("file:", "~")):
            return str(named_path(cell))
        return PureWindowsPath(cell).as_posix() if "\\" in cell and not _is_file(self.base / cell) else cell

    def find(self, cell: str) -> list[Path]:
        """Return the files that a cell may mean: the one of this very path, else those that differ as people write."""
        exact = self.base / cell
        if _is_file(exact):
            return [exact]
        near = self._names(exact.parent).get(_folded(exact.name), [])
        return near or (self._names(None).get(_folded(exact.name), []) if self.deep and "/" not in cell else [])

    def near(self, cell: str) -> list[Path]:
        """Return the files that differ from what a cell says in leading zeros or in the suffix."""
        exact = self.base / cell
        folder = None if self.deep and "/" not in cell else exact.parent
        if folder not in self._bare:
            self._bare[folder] = defaultdict(list)
            for path in dict.fromkeys(path for paths in self._names(folder).values() for path in paths):
                self._bare[folder][_bare(path)].append(path)
        return self._bare[folder].get(_bare(exact), [])

    def _names(self, folder: Path | None) -> dict[str, list[Path]]:
        """Return the files in one folder, or (None) anywhere below the base, by their names with and without suffix."""
        if folder not in self._folders:
            names: dict[str, list[Path]] = defaultdict(list)
            for path in _below(self.base) if folder is None else _in(folder):
                stem = {_folded(path.stem)} if path.suffix.lower() in IMAGE_SUFFIXES else set()
                for name in {_folded(path.name), *stem}:
                    names[name].append(path)
            self._folders[folder] = dict(names)
        return self._folders[folder]


def locate(shelf: Shelf, cells: Sequence[str]) -> Located:
    """Return the file that each cell means.

    A cell that names no file may lack its suffix, have another case or backslashes, or, below a folder that was given,
    lie in a folder within. Where no cell names one, leading folders that all have in common are taken off: a table from
    another machine. What is still not found is returned as it was written, and counts as a file that cannot be read.

    Raises:
        DataError: a cell that may be several files, or most files are not there.
    """
    if all(re.match(r"https?://", cell) for cell in cells):
        raise DataError(f"{shelf.table} lists web addresses, such as {cells[0]}. Expected files: download them first.")
    spelled = [shelf.spelled(cell) for cell in cells]
    found = [_one(shelf, cell, cell) for cell in spelled]
    notices: list[str] = []
    if not any(found) and (lead := _lead(spelled, shelf)):
        found = [_one(shelf, cell, cell[len(lead) :]) for cell in spelled]
        notices = [f"The paths in {shelf.table} begin with {lead}: without it they are files in {shelf.base}."]
    _refuse_missing(shelf, spelled, [cell for cell, path in zip(spelled, found, strict=True) if not path])
    return Located([path or shelf.base / cell for path, cell in zip(found, spelled, strict=True)], notices)


def _folded(name: str) -> str:
    """Return a name without case; what macOS writes as a letter and an accent is one letter elsewhere."""
    return unicodedata.normalize("NFC", name).casefold()


def _bare(path: Path) -> str:
    stem = path.stem if path.suffix.lower() in IMAGE_SUFFIXES else path.name
    return _folded(stem).lstrip("0")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name longer than names can be
        return False


def _one(shelf: Shelf, cell: str, name: str) -> Path | None:
    found = shelf.find(name)
    if len(found) > 1:
        raise DataError(
            f"{cell!r} in {shelf.table} may be {name_some(map(str, found), 2)}. Write the whole path, or give another "
            "folder: --images DIR."
        )
    return found[0] if found else None


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


def _refuse_missing(shelf: Shelf, cells: Sequence[str], missing: Sequence[str]) -> None:
    if len(missing) <= MOST_MISSING * len(cells):
        return
    raise DataError(
        f"{len(missing)} of {len(cells)} files listed in {shelf.table} do not exist: "
        f"{name_some(str(shelf.base / cell) for cell in missing)}. {_way_out(shelf, missing)}."
    )


def _way_out(shelf: Shelf, missing: Sequence[str]) -> str:
    """Say where missing files are, or how those that are there are called."""
    near = {cell: shelf.near(cell) for cell in missing[:SAMPLE]}
    if sum(map(bool, near.values())) > MOST_MISSING * len(near):
        cell, (file, *_) = next((cell, files) for cell, files in near.items() if files)
        if _folded(Path(cell).stem) == _folded(file.stem):
            return f"There is {file.name}, of another suffix: leave the suffix out of the table, or write the right one"
        return (
            f"There is {file.name}: the table has lost leading zeros. Read and write its ids as text (in pandas, "
            "dtype=str), not as numbers"
        )
    origin = "current" if in_memory.is_kept(shelf.table) else "table's"
    own = (
        "--images names another"
        if shelf.deep
        else f"Paths are relative to the {origin} folder; --images DIR names another"
    )
    if in_memory.is_kept(shelf.table):  # what lies in the current folder may have nothing to do with the data
        return own
    seen = (place for place in _folders_near(shelf) if Shelf(shelf.table, place).share(missing) > MOST_MISSING)
    if place := next(seen, None):
        return f"{own}. They are here: --images {place}"
    there = [path.name for path in _below(shelf.base) if path.suffix.lower() in IMAGE_SUFFIXES][:3]
    return f"{own}; in {shelf.base} lie {name_some(there)}" if there else own


def _folders_near(shelf: Shelf) -> list[Path]:
    """Return where pictures usually lie beside a table: in a folder there, else in several."""
    inside = (path for path in shelf.table.parent.iterdir() if path.is_dir() and not path.name.startswith("."))
    return [*sorted(inside)[:NEAR], shelf.table.parent]
