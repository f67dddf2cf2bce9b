"""What a path names -> pictures, one by one, in constant memory: a file, a folder, a glob, or a list of paths."""

from __future__ import annotations

import glob
import heapq
import itertools
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from regraft.data.folders import names_below
from regraft.data.kinds import is_picture
from regraft.data.lists import is_list, of_list
from regraft.data.rows import natural_key
from regraft.errors import DataMissing

SORTED_AT_ONCE = 100_000  # names in memory: 20 MB

Leave = Callable[[str], None]
"""Hears the name of each file of a folder, or that a glob names, that is no picture."""


class Named(NamedTuple):
    """A file, and what answers call the picture in it."""

    path: Path
    name: str


def named_in(path: Path, leave: Leave) -> Iterator[Named]:
    """Yield what a path names: all pictures below a folder, what a list or glob names, or itself; in natural order.

    Of a list or table, each is called as it is written there, and the order is that of the list.

    Raises:
        DataMissing: a path that is not there, or a glob that no file matches.
        DataError: a table without a column of paths.
    """
    if path.is_dir():
        names = _sorted(names_below(path))
        return (Named(path / name, str(path / name)) for name in names if _is_picture(path, name, leave))
    if is_list(path):
        return itertools.starmap(Named, of_list(path))
    if path.exists():
        return iter([Named(path, str(path))])
    refuse_unmatched(path)
    return _matching(str(path), leave)


def refuse_unmatched(path: Path) -> None:
    """Refuse a path that is not there, and a glob that no file matches.

    Raises:
        DataMissing: it is so.
    """
    if not glob.has_magic(str(path)):
        raise DataMissing(f"{path} does not exist. Expected a picture or a folder of pictures.")
    if next(glob.iglob(str(path), recursive=True), None) is None:  # noqa: PTH207
        raise DataMissing(f"No file matches {path}. Expected a picture, a folder of pictures or a glob.")


def _matching(pattern: str, leave: Leave) -> Iterator[Named]:
    """Yield what a glob names; a folder that it names stands for all in it, where ``**`` does not name that as well."""
    for path in map(Path, _sorted(glob.iglob(pattern, recursive=True))):  # noqa: PTH207
        if path.is_dir():
            yield from () if "**" in pattern else named_in(path, leave)
        elif _is_picture(path.parent, path.name, leave):
            yield Named(path, str(path))


def _is_picture(folder: Path, name: str, leave: Leave) -> bool:
    found = is_picture(folder, name)
    if not found:
        leave(name)
    return found


def _sorted(names: Iterator[str]) -> Iterator[str]:
    """Yield names in natural order; more than can be held at once are sorted in parts, which wait on the disk."""
    some, parts = _first(names), list[Path]()
    if len(some) < SORTED_AT_ONCE:
        yield from some
        return
    with tempfile.TemporaryDirectory(prefix="regraft-") as folder:
        while some:
            parts.append(Path(folder, str(len(parts))))
            parts[-1].write_text("".join(f"{json.dumps(name)}\n" for name in some))
            some = _first(names)
        yield from heapq.merge(*map(_lines, parts), key=natural_key)


def _first(names: Iterator[str]) -> list[str]:
    return sorted(itertools.islice(names, SORTED_AT_ONCE), key=natural_key)


def _lines(part: Path) -> Iterator[str]:
    with part.open() as file:
        yield from map(json.loads, file)
