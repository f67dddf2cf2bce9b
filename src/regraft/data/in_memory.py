"""Name the table that keeps data in memory, and retell what is said of it: without that file, and with keywords."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from regraft.errors import RegraftError, as_called
from regraft.utils.machine import cache_folder


def folder() -> Path:
    """Return where tables of data in memory are kept, and the pictures that were no files."""
    return cache_folder() / "data"


def kept(digest: str) -> Path:
    """Return the table that holds data of this digest."""
    return folder() / f"data-{digest[:12]}.parquet"


def is_kept(table: Path) -> bool:
    """Say whether a table was written for data in memory, rather than brought as a file."""
    return (
        table.absolute().parent == folder().absolute()
        and re.fullmatch(r"data-[0-9a-f]{12}\.parquet", table.name) is not None
    )


@contextmanager
def retelling(table: Path) -> Iterator[None]:
    """Let errors about data in memory speak of them as they were given; those about files stay as they are."""
    try:
        yield
    except RegraftError as error:
        if is_kept(table):
            error.args = (retold(str(error), table), *error.args[1:])
        raise


def retold(text: str, table: Path) -> str:
    """Return a sentence about a kept table without its file, and with keywords in the place of options."""
    for name in (str(table.absolute()), str(table), table.name):
        text = text.replace(name, "the table")
    text = as_called(text)
    return text[:1].upper() + text[1:]
