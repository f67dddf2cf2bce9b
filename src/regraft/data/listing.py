"""Whatever names many pictures -> their paths, one by one, in constant memory; and the list of them, kept on a disk."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from regraft.data.kinds import left_out
from regraft.data.lists import is_list
from regraft.data.named import Named, named_in
from regraft.data.pictures import Content, Pictures, each, refuse_none
from regraft.errors import ConfigError
from regraft.utils import files
from regraft.utils.progress import Progress

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

    def leave(name: str) -> None:
        others.extend([name][: MOST_OTHERS - len(others)])

    for path in _paths(pictures):
        searched += [str(path)][: MOST_SEARCHED - len(searched)]
        for one in named_in(path, leave):
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
