"""Whatever names many pictures -> their paths, one by one: folders, globs, lists and tables, in constant memory."""

from __future__ import annotations

import glob
import hashlib
import heapq
import itertools
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO

from regraft.data.folders import names_below
from regraft.data.kinds import is_picture, left_out
from regraft.data.lists import is_list, of_list
from regraft.data.pictures import Content, Named, Pictures, each, refuse_none, refuse_unmatched
from regraft.data.rows import natural_key
from regraft.errors import ConfigError
from regraft.utils import files
from regraft.utils.progress import Progress

SORTED_AT_ONCE = 100_000  # names in memory: 20 MB
MOST_SEARCHED = 5  # places that a message names
MOST_OTHERS = 10_000  # files of folders that are no pictures, and are counted by their kind


def each_listed(pictures: Pictures, progress: Progress) -> Iterator[Named]:
    """Yield the picture of every path that is named, in the order of `gathered`, however many there are.

    Of a list or table, each is called as it is written there. `progress` hears what is left out of folders.

    Raises:
        ConfigError: what is in memory.
        NoImages: nothing that looks like a picture.
        DataMissing: a path that is not there, or a glob that no file matches.
        DataError: a table without a column of paths.
    """
    others, searched, empty = list[str](), list[str](), True
    for path in _paths(pictures):
        searched += [str(path)][: MOST_SEARCHED - len(searched)]
        for one in _named(path, others):
            empty = False
            yield one
    if empty:
        refuse_none((), searched, others)
    for notice in left_out(others):
        progress.warn(f"{notice[:-1]}, and more." if len(others) == MOST_OTHERS else notice)


def named_by(pictures: Pictures) -> str:
    """Return one name for which pictures are named, whatever lies in the folders.

    Raises:
        ConfigError: what is in memory.
    """
    total = hashlib.sha256()
    for path in _paths(pictures):
        total.update(os.fsencode(path.absolute()) + b"\0")
        if is_list(path):
            total.update(files.sha256(path))
    return total.hexdigest()


def _paths(pictures: Pictures) -> Iterator[Path]:
    for one in each(pictures):
        if isinstance(one, Content):
            raise ConfigError(
                "A picture in memory is gone when this is stopped, and it could not go on. Expected files, folders, "
                "globs or lists of paths; or leave out the file to write."
            )
        yield one


def _named(path: Path, others: list[str]) -> Iterator[Named]:
    if path.is_dir():
        names = _sifted(_sorted(names_below(path)), lambda name: is_picture(path, name), others)
        return (Named(path / name, str(path / name)) for name in names)
    if is_list(path):
        return itertools.starmap(Named, of_list(path))
    if path.exists():
        return iter([Named(path, str(path))])
    refuse_unmatched(path)
    return _matching(str(path), others)


def _matching(pattern: str, others: list[str]) -> Iterator[Named]:
    """Yield what a glob names; a folder that it names stands for all in it, where ``**`` does not name that as well."""
    for path in map(Path, _sorted(glob.iglob(pattern, recursive=True))):  # noqa: PTH207
        if path.is_dir():
            yield from () if "**" in pattern else _named(path, others)
        elif is_picture(path.parent, path.name):
            yield Named(path, str(path))
        else:
            others += [path.name][: MOST_OTHERS - len(others)]


def _sifted(names: Iterable[str], wanted: Callable[[str], bool], others: list[str]) -> Iterator[str]:
    for name in names:
        if wanted(name):
            yield name
        else:
            others += [name][: MOST_OTHERS - len(others)]


def _sorted(names: Iterator[str]) -> Iterator[str]:
    """Yield names in natural order; more than can be held at once are sorted in parts, which wait on the disk."""
    with tempfile.TemporaryDirectory(prefix="regraft-") as folder:
        parts = list[Path]()
        while some := sorted(itertools.islice(names, SORTED_AT_ONCE), key=natural_key):
            if len(some) < SORTED_AT_ONCE and not parts:
                yield from some
                return
            parts.append(Path(folder, str(len(parts))))
            parts[-1].write_text("".join(f"{json.dumps(name)}\n" for name in some))
        yield from heapq.merge(*map(_lines, parts), key=natural_key)


def _lines(part: Path) -> Iterator[str]:
    with part.open() as file:
        yield from map(json.loads, file)


# ---- kept -----------------------------------------------------------------------------------------------------------


def write_listing(file: IO[str], pictures: Iterable[Named]) -> None:
    """Write a line for each picture, which `read_listing` reads."""
    file.writelines(json.dumps([os.fspath(one.path), one.name]) + "\n" for one in pictures)


def read_listing(path: Path, start: int = 0) -> Iterator[Named]:
    """Yield what `write_listing` has written, from one of the pictures on."""
    with path.open() as file:
        for line in itertools.islice(file, start, None):
            where, name = json.loads(line)
            yield Named(Path(where), name)
