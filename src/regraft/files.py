"""Write a file whole or not at all: under a temporary name first, renamed when it is complete."""

from __future__ import annotations

import contextlib
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; renamed to it when the block ends well, removed when it fails (Ctrl-C too).

    The block writes a file there, or makes a folder. A file takes the place of an earlier one; a folder is not renamed
    onto one that holds something. What a killed process leaves behind ends in ``.tmp``, as nothing finished does.
    """
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")  # the target's name may be as long as names can be
    try:
        yield temporary
        temporary.replace(path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):  # the block's own error counts
                temporary.unlink()


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all."""
    with whole(path) as temporary:
        temporary.write_bytes(content)
