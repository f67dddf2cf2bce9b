"""Keep activations on disk, a row per picture: written once, renamed when whole, read by position.

A store is a folder named after everything that its rows depend on (`recipe_key`). It holds segments: ``<name>.rows``,
the plain numbers, and ``<name>.index``, the digests of the pictures they belong to. The index is renamed into place
last, so a segment without it does not exist. Segments are only ever added: two runs may write into one store at once,
at worst they compute a picture twice; a run that is stopped leaves whole segments behind, and the next one goes on from
there.

No disk is believed. The index holds a checksum of each row and one of itself; a row is compared with its own the first
time that a run reads it, which `Store.missing` does before anything is learned from it. A segment that is not as it was
written is deleted, and its rows are computed again. The checksum is CRC-32: it lets one accident in four billion pass,
comes with Python, and takes 1.3 us for a pooled row of 5 kB and 60 us for one of 400 kB (4 to 7 GB/s on a server's
core), once when it is written and once in each run that reads it. Later epochs read without it: they would pay for it
every time, and a disk rarely fails between two of them.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from regraft.activations.planner import human
from regraft.errors import ActivationOverflow, CacheFull, StoreError
from regraft.utils import files

FORMAT = 2  # part of every key: rows of format 1 had no checksums, and are never read
SEGMENT_BYTES = 256 << 20
SEGMENT_S = 20.0  # a killed run loses about this much work; later segments may take longer, so that few files are open
NOT_KEPT = "use --keep never"
FEWER = f"use fewer --views, or {NOT_KEPT}"
"""What a training may do where its rows do not fit; who else keeps rows says what helps there."""
STALE_S = 24 * 3600  # a temporary file this old belongs to a run that died


def recipe_key(recipe: Mapping[str, Any]) -> str:
    """Return a name that differs whenever any part of the recipe differs (a SHA-256 of its canonical JSON)."""
    text = json.dumps({"format": FORMAT, **recipe}, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def finite(rows: np.ndarray, computed: np.ndarray | None = None) -> np.ndarray:
    """Return the rows, unless one holds what is no number, be it only after rounding what was `computed`.

    Raises:
        ActivationOverflow: says how large the values are.
    """
    if rows.dtype.kind != "f" or np.isfinite(rows).all():
        return rows
    computed = rows if computed is None else computed
    if np.isfinite(computed).all():
        problem = f"reaches {np.abs(computed).max():.3g}, which {rows.dtype} cannot hold"
    else:
        problem = "is infinite or not a number in places"
    wider = "--keep-dtype float32 (twice the disk space), or " if rows.dtype.itemsize < 4 else ""
    raise ActivationOverflow(f"The network's output {problem}. Use {wider}other weights.")


@dataclass(eq=False)
class _Segment:
    """Rows that were written together, in an open file."""

    index: Path
    file: Any
    digests: list[str]
    checksums: list[int]
    unread: set[int] = field(default_factory=set)  # rows that were not compared with their checksum yet

    def delete(self) -> None:
        """Close it and remove both of its files; another run that has them open reads on, and finds out by itself."""
        self.file.close()
        _delete_segment(self.index)


class Store:
    """The kept rows of one recipe: ``[*shape]`` numbers of one dtype per picture, found by the picture's digest.

    `instead` ends the sentence that a full disk is told with; `warn` is told of rows that were damaged.
    """

    def __init__(
        self,
        root: Path,
        recipe: Mapping[str, Any],
        shape: Sequence[int],
        dtype: str,
        *,
        instead: str = NOT_KEPT,
        warn: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._segments: list[_Segment] = []
        self._reading = threading.Lock()
        self.folder = root / recipe_key({**recipe, "shape": list(shape), "dtype": dtype})
        self.recipe, self.shape, self.dtype = dict(recipe), tuple(shape), np.dtype(dtype)
        self.instead, self.warn = instead, warn
        self.row_bytes = int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize
        self._where: dict[str, tuple[_Segment, int]] = {}  # digest -> its row
        self._seen: set[str] = set()
        files.in_use(self.folder)
        self.refresh()

    def __contains__(self, digest: str) -> bool:
        return digest in self._where

    def __len__(self) -> int:
        return len(self._where)

    def refresh(self) -> None:
        """Open the segments that have appeared since the last look."""
        new = [path for path in _inside(self.folder) if path.suffix == ".index" and path.stem not in self._seen]
        self._tell(sum(not self._open(path) for path in sorted(new)))

    def _open(self, index: Path) -> bool:
        """Open a segment; one whose parts do not fit together is deleted, and the answer False."""
        try:
            content = index.read_bytes()
            file = open(index.with_suffix(".rows"), "rb", buffering=0)  # noqa: SIM115, PTH123  stays open, is read by position
        except FileNotFoundError:
            return True  # another run is clearing up: these rows are simply not there
        except OSError as error:
            more = " Raise the limit on open files (ulimit -n)." if error.errno == errno.EMFILE else ""
            raise StoreError(f"Cannot open kept rows in {self.folder}: {error.strerror}.{more}") from error
        found = _read_index(content)
        if found is None or os.fstat(file.fileno()).st_size != len(found[0]) * self.row_bytes:
            file.close()
            _delete_segment(index)
            return False
        segment = _Segment(index, file, *found, unread=set(range(len(found[0]))))
        self._seen.add(index.stem)
        self._where |= {digest: (segment, row) for row, digest in enumerate(segment.digests)}
        self._segments.append(segment)
        return True

    def missing(self, digests: Iterable[str]) -> set[str]:
        """Return those of the digests that have no row here which is as it was written.

        Rows that this object has not read yet are read now. A file with a damaged one is deleted, and said: from then
        on its rows are missing.
        """
        wanted, row, deleted = set(digests), memoryview(bytearray(self.row_bytes)), 0
        for digest, (segment, at) in list(self._where.items()):  # in the order of the files
            if digest in wanted and at in segment.unread and not self._read(segment, at, row):
                deleted += segment in self._segments
                self._drop(segment)
        self._tell(deleted)
        return wanted - self._where.keys()

    def _read(self, segment: _Segment, row: int, out: memoryview) -> bool:
        """Read the bytes of a row; False where they are not those that were written, as the first time will tell."""
        try:
            with self._reading:  # threads share the file's position
                segment.file.seek(row * self.row_bytes)
                size = segment.file.readinto(out)
        except (OSError, ValueError):  # the disk cannot read it, or another thread has found it damaged and closed it
            return False
        if size != self.row_bytes or (row in segment.unread and zlib.crc32(out) != segment.checksums[row]):
            return False
        segment.unread.discard(row)
        return True

    def _drop(self, segment: _Segment) -> None:
        segment.delete()
        self._segments = [other for other in self._segments if other is not segment]
        self._where = {digest: place for digest, place in self._where.items() if place[0] is not segment}

    def _tell(self, deleted: int) -> None:
        if deleted:
            self.warn(
                f"{deleted} file{'s' * (deleted > 1)} of kept rows in {self.folder} had been damaged, as by a loss of "
                f"power or a failing disk, and {'were' if deleted > 1 else 'was'} deleted; the rows are computed again."
            )

    def rows(self, digests: Sequence[str]) -> np.ndarray:
        """Read rows ``[len(digests), *shape]``, in the order asked for.

        Only these rows come into memory: a store of any size can be trained on.

        Raises:
            StoreError: a row was deleted since the start, or is damaged and was not asked for by `missing` before.
        """
        out = np.empty((len(digests), *self.shape), self.dtype)
        flat = out.reshape(len(digests), -1).view(np.uint8) if self.row_bytes else out
        for position, digest in enumerate(digests):
            place = self._where.get(digest)
            if place is None:
                raise StoreError(
                    f"Rows in {self.folder} were deleted during the run, by another one that needed room. "
                    "Raise --cache-limit and start again."
                )
            if not self._read(*place, memoryview(flat[position])):
                self._drop(place[0])
                raise StoreError(
                    f"A file of kept rows in {self.folder} was damaged since it was written; it is deleted now. "
                    "Start again: its rows are computed anew."
                )
        return out

    @contextlib.contextmanager
    def writer(self) -> Iterator[Writer]:
        """Add rows; what was added stays when the block is left early, as by Ctrl-C."""
        writer = Writer(self)
        try:
            yield writer
        finally:
            writer.finish()
            self.refresh()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; the rows stay on disk."""
        for segment in self._segments:
            segment.file.close()


def _index(digests: Sequence[str], checksums: Sequence[int]) -> bytes:
    """Return the content of an index: a line for each row, below the checksum of these lines."""
    lines = "".join(f"{digest} {checksum:08x}\n" for digest, checksum in zip(digests, checksums, strict=True)).encode()
    return f"{zlib.crc32(lines):08x}\n".encode() + lines


def _read_index(content: bytes) -> tuple[list[str], list[int]] | None:
    """Return digests and checksums of the rows; None where the content is not as it was written."""
    whole, _, lines = content.partition(b"\n")
    if whole != f"{zlib.crc32(lines):08x}".encode():
        return None
    rows = [line.rpartition(" ") for line in lines.decode().split("\n")[:-1]]
    return [digest for digest, _, _ in rows], [int(checksum, 16) for _, _, checksum in rows]


def _delete_segment(index: Path) -> None:
    for path in (index, index.with_suffix(".rows")):  # without its index, a segment does not exist
        with contextlib.suppress(OSError):
            path.unlink()


class Writer:
    """Appends rows to a temporary file and renames it when it is whole."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._file: Any = None
        self._path = Path()
        self._digests: list[str] = []
        self._checksums: list[int] = []
        self._begun, self._finished = 0.0, 0

    def add(self, digests: Sequence[str], rows: np.ndarray) -> None:
        """Append one row ``[*shape]`` for each digest.

        Raises:
            ActivationOverflow: a value is larger than the kept format can hold.
            CacheFull: the disk has no room left.
        """
        kept = np.ascontiguousarray(self._rounded(rows))
        try:
            with writing(self.store.folder, self.store.instead):
                if self._file is None:
                    self._begin()
                self._file.write(kept.tobytes())
        except BaseException:
            self.discard()  # the last row may be cut off
            raise
        self._digests += digests
        self._checksums += [zlib.crc32(row) for row in kept]
        full = len(self._digests) * self.store.row_bytes >= SEGMENT_BYTES
        if full or time.monotonic() - self._begun > SEGMENT_S * (1 + self._finished):
            self.finish()

    def _rounded(self, rows: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return finite(rows.astype(self.store.dtype, copy=False), rows)

    def _begin(self) -> None:
        self.store.folder.mkdir(parents=True, exist_ok=True)
        about = self.store.folder / "recipe.json"
        if not about.exists():
            files.write_bytes(about, json.dumps(self.store.recipe, indent=1).encode(), flushed=False)  # for people only
        self._begun = time.monotonic()
        self._path = self.store.folder / f"{uuid.uuid4().hex}.tmp"
        self._file = open(self._path, "wb")  # noqa: SIM115, PTH123  closed by finish or discard

    def finish(self) -> None:
        """Make the rows so far a segment."""
        if self._file is None:
            return
        try:
            with writing(self.store.folder, self.store.instead):
                self._file.flush()
                os.fsync(self._file.fileno())
                self._file.close()
                self._path.replace(self._path.with_suffix(".rows"))
                files.write_bytes(self._path.with_suffix(".index"), _index(self._digests, self._checksums))
        except BaseException:
            self.discard()
            raise
        self._file, self._digests, self._checksums = None, [], []
        self._finished += 1

    def discard(self) -> None:
        """Remove what is not whole."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._path.unlink(missing_ok=True)
            self._path.with_suffix(".rows").unlink(missing_ok=True)
            self._file, self._digests, self._checksums = None, [], []


@contextlib.contextmanager
def writing(folder: Path, instead: str = NOT_KEPT) -> Iterator[None]:
    """Say what is wrong with a cache folder that cannot be written to; `instead` ends what a full disk is told with."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
            free = free_bytes(folder)
            raise CacheFull(
                f"The disk under {folder} is full ({free / 1e9:.1f} GB free). "
                f"Free some space, set REGRAFT_CACHE to a folder on a larger disk, or {instead}."
            ) from error
        raise StoreError(
            f"Cannot write into the cache {folder}: {error.strerror}. Set REGRAFT_CACHE to a folder you may write to."
        ) from error


def free_bytes(folder: Path) -> int:
    """Return the free bytes of the disk that `folder` is, or would be, on."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def make_room(
    roots: Sequence[Path], needed: int, limit: int, *, spare: Iterable[Path] = (), instead: str = FEWER
) -> None:
    """Delete what was unused for longest in `roots` until `needed` more bytes fit under `limit`; `spare` stays.

    A run that still reads a deleted store keeps its open files and is not disturbed; on Windows a store with open files
    cannot be deleted, and stays. Nothing is deleted where it would not help.

    Raises:
        CacheFull: even without all that may be deleted there is no room; `instead` says what else would help.
    """
    _sweep(roots)
    sizes = {path: _bytes_of(path) for root in roots for path in _entries(root)}
    spared = set(spare)
    oldest_first = sorted(sizes.keys() - spared, key=_last_used)
    used, free = sum(sizes.values()), free_bytes(roots[0])
    kept = sum(size for path, size in sizes.items() if path in spared)
    if kept + needed <= limit and needed <= free + used - kept:
        while oldest_first and (used + needed > limit or needed > free):
            if _delete(path := oldest_first.pop(0)):
                used, free = used - sizes[path], free_bytes(roots[0])
    else:
        used, free = kept, free + used - kept
    if used + needed > limit or needed > free:
        room = min(limit - used, free)
        raise CacheFull(
            f"The kept activations need {human(needed)}, and {human(max(room, 0))} are free for them in {roots[0]} "
            f"(--cache-limit {limit / 1e9:g}). Raise --cache-limit, {instead}."
        )


# Other runs write and delete in the same folders at the same time: what is gone when it is looked at counts nothing.


def _inside(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _entries(root: Path) -> list[Path]:
    """Return the stores and exports in a folder; what is being written, or deleted, ends in .tmp."""
    return [path for path in _inside(root) if path.suffix != ".tmp"]


def _bytes_of(path: Path) -> int:
    try:
        return sum(map(_bytes_of, _inside(path))) if path.is_dir() else path.stat().st_size
    except FileNotFoundError:
        return 0


def _last_used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _delete(path: Path) -> bool:
    """Delete a store or an export as a whole, or not at all."""
    gone = path.with_name(f"{uuid.uuid4().hex}.tmp")
    try:
        path.rename(gone)  # as one: on Windows this fails while a file in it is open
    except FileNotFoundError:
        return True
    except OSError:
        return False
    _remove(gone)
    return True


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def _sweep(roots: Iterable[Path]) -> None:
    """Remove what runs that died have left: temporary files and folders, and rows without their index."""
    for folder in (*roots, *(entry for root in roots for entry in _entries(root))):
        for path in _inside(folder):
            if (path.suffix == ".tmp" or _is_rest(path)) and time.time() - _last_used(path) > STALE_S:
                _remove(path)


def _is_rest(path: Path) -> bool:
    """Say whether these are rows whose index was never written; of format 1, it was a .json file."""
    return path.suffix == ".rows" and not any(path.with_suffix(suffix).exists() for suffix in (".index", ".json"))
