"""Read files -> digests | pixels: in order, ahead of the consumer, in constant memory."""

from __future__ import annotations

import contextlib
import os
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count, islice
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from regraft.data.decode import Preprocessing, decode, digest
from regraft.errors import BadImage
from regraft.utils.machine import cores

S = TypeVar("S")
T = TypeVar("T")

THREADS = cores()
"""Pillow decodes, and hashlib digests, without holding the interpreter's lock: one thread a core."""


def read_digests(paths: Sequence[Path], *, threads: int = THREADS) -> list[str | BadImage]:
    """Return the content digest of every file, or why it cannot be read, in the order of `paths`."""
    return [outcome for _, outcome in ahead_of(lambda path: digest(read_file(path)), paths, threads=threads)]


def read_pixels(
    paths: Iterable[Path],
    preprocessing: Preprocessing,
    *,
    digests: Sequence[str] | None = None,
    threads: int = THREADS,
    ahead: int = 64,
) -> Iterator[tuple[int, NDArray[np.uint8] | BadImage]]:
    """Yield (index, pixels [s, s, 3] | the reason why not) for every file, in the order of `paths`.

    With `digests`, the bytes that are decoded are those that had them; else the reason is that.
    At most `ahead` pictures wait for the consumer: with 64 of 224 pixels that is 10 MB.
    """
    if digests is None:
        return ahead_of(lambda path: read_picture(path, preprocessing), paths, threads=threads, ahead=ahead)
    jobs = list(zip(paths, digests, strict=True))
    return ahead_of(lambda job: read_picture(job[0], preprocessing, job[1]), jobs, threads=threads, ahead=ahead)


def read_picture(path: Path, preprocessing: Preprocessing, expected: str | None = None) -> NDArray[np.uint8]:
    """Return the pixels [s, s, 3] of one file, whose bytes must have the `expected` digest, if one is given.

    Raises:
        BadImage: why it cannot be read, or that it has changed since it was digested.
    """
    return decode(read_file(path, expected), preprocessing)


MOST_BYTES = 10**9
"""Of one file: no picture of `MAX_MEGAPIXELS` takes more, with three channels of 32 bits each."""

_ODD_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def read_file(path: Path, expected: str | None = None) -> bytes:
    """Return the bytes of one regular file of at most `MOST_BYTES`, which must have the `expected` digest, if any.

    A pipe would wait for a writer, and a device may have no end: neither is opened.

    Raises:
        BadImage: why it cannot be read, or that it has changed since it was digested.
    """
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(size + 1)
    if len(content) > size:
        raise BadImage("grows while it is read, or does not tell its size")
    if expected is not None and digest(content) != expected:  # what is kept of it would be kept under another's name
        raise BadImage("changed while Regraft was at work")
    return content


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file of at most `MOST_BYTES`.

    Raises:
        BadImage: why it cannot be read.
    """
    try:
        _check_regular(path.stat())
        # should a pipe have taken its place since, it is not waited for either
        with open(path, "rb", opener=_without_waiting) as file:
            _check_regular(os.fstat(file.fileno()))
            yield file
    except OSError as error:
        raise BadImage(error.strerror or str(error)) from error


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_regular(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise BadImage(f"{next((name for test, name in _ODD_KINDS if test(found.st_mode)), 'no file')}, not a picture")
    if found.st_size > MOST_BYTES:
        raise BadImage(f"{found.st_size / 1e9:.1f} GB, more than {MOST_BYTES / 1e9:.1f} GB")


def ahead_of(
    work: Callable[[S], T], jobs: Iterable[S], *, threads: int = THREADS, ahead: int = 64
) -> Iterator[tuple[int, T | BadImage]]:
    """Yield (index, what `work` made of that job | the BadImage it raised), in order, computed ahead in threads.

    Jobs are asked for as they are begun: there may be any number of them.
    """

    def outcome(job: S) -> T | BadImage:
        try:
            return work(job)
        except BadImage as reason:
            return reason

    pool = ThreadPoolExecutor(threads, thread_name_prefix="read")
    try:
        coming = iter(jobs)
        waiting: deque[Future[T | BadImage]] = deque(pool.submit(outcome, job) for job in islice(coming, ahead))
        for index in count():
            if not waiting:
                return
            done = waiting.popleft().result()
            waiting.extend(pool.submit(outcome, job) for job in islice(coming, 1))
            yield index, done
    finally:  # also when the consumer stops early
        pool.shutdown(cancel_futures=True)
