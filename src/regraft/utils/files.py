"""Write a file whole or not at all: under a temporary name first, renamed when it is complete."""

from __future__ import annotations

import contextlib
import csv
import errno
import functools
import hashlib
import itertools
import os
import platform
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit
from urllib.request import url2pathname

from regraft.errors import NotWritten, RunError, reason_of

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the system answers where there is no room: the disk is full, a quota is used up, a file may not be so large."""
STALE_S = 24 * 3600  # a temporary file this old is nobody's, wherever it was written


def named_path(given: str | os.PathLike[str]) -> Path:
    """Return the path that a user has named: ``~`` is the home folder, as in a shell, and ``file:///…`` a file."""
    text = os.fspath(given)
    if text.startswith("file:"):
        return Path(url2pathname(urlsplit(text).path))
    return Path(os.path.expanduser(text))  # noqa: PTH111  Path's own raises where there is no home


def named_text(given: str | os.PathLike[str]) -> str:
    """Return what a user has named, which may be a path or another name, as text; see `named_path`."""
    text = os.fspath(given)
    return str(named_path(text)) if text.startswith(("~", "file:/")) else text


def in_use(path: Path) -> None:
    """Mark what a cache keeps as used now: where room is made, what was unused for longest goes first."""
    with contextlib.suppress(OSError):
        os.utime(path)


def read_kept(
    path: Path, sound: Callable[[bytes], bytes | None], warn: Callable[[str], None], then: str
) -> bytes | None:
    """Return what is kept in a file; None where there is none, or it is not as it was written.

    A damaged file would load and answer wrongly: it is deleted, and the user is told, with what happens `then`.
    `sound` returns the content of a file that is as it was written, and None of any other.
    """
    try:
        content = path.read_bytes()
    except OSError:  # not there; why none can be written either, writing it will tell
        return None
    found = sound(content)
    if found is None:
        path.unlink(missing_ok=True)
        warn(f"{path} had been damaged, as by a loss of power or a failing disk, and was deleted; {then}.")
    return found


@contextlib.contextmanager
def whole(path: Path, *, instead: bool = False, flushed: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; renamed to it when the block ends well, removed when it fails (Ctrl-C too).

    The block writes a file there, or makes a folder. A file takes the place of an earlier one; a folder is not renamed
    onto one that holds something, unless it comes `instead`: the earlier one goes when the new one has its name. What a
    killed process leaves behind ends in ``.tmp``, as nothing finished does, and goes when the folder is written again.

    Content is on the disk itself before it gets its name, and the name when the block is left: after a loss of power a
    file is there whole or not at all, and none that was written later is there without it. That takes 5 to 10 ms a
    file; not `flushed`, a killed process is all that it survives.

    Raises:
        NotWritten: the disk is full.
    """
    with temporary_beside(path) as temporary, told_of(path, temporary):
        yield temporary
        if flushed:
            _flush_all(temporary)
        if instead and path.is_dir():
            _swap(temporary, path)
        else:
            temporary.replace(path)
        if flushed:
            _flush_names(path.parent)


@contextlib.contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """Yield a free name beside `path`; what is there when the block ends is removed, and so are folders made for it."""
    _sweep_once(path.absolute().parent)
    temporary = _beside(path)
    made = [folder for folder in path.parents if not folder.exists()]
    try:
        yield temporary
    finally:
        _remove(temporary)
        for folder in made:
            with contextlib.suppress(OSError):  # it holds something, or was never made
                folder.rmdir()


@contextlib.contextmanager
def told_of(path: Path, temporary: Path) -> Iterator[None]:
    """Let errors name the file that is wanted instead of the temporary one, and say what helps on a full disk."""
    try:
        yield
    except Exception as error:
        named = getattr(error, "filename", None)
        ours = isinstance(named, str) and Path(named).is_relative_to(temporary)
        if (number := _no_room(error)) and (ours or not isinstance(error, NotWritten)):
            raise NotWritten(path, number) from error
        if ours:
            error.filename = str(path)  # type: ignore[attr-defined]
        raise


def _no_room(error: BaseException | None) -> int | None:
    """Return the system's number where an error, or what it came from, is that of a full disk."""
    while error is not None:
        rust = re.search(r"\(os error (\d+)\)", str(error))  # as safetensors puts it
        if (number := getattr(error, "errno", None) or (rust and int(rust[1]))) in FULL:
            return number
        error = error.__context__  # PyTorch stumbles over the end that it could not write
    return None


# ---- temporary names ------------------------------------------------------------------------------------------------


def _beside(path: Path) -> Path:
    # the target's name may be as long as names can be; the process says whether anyone still writes there
    return path.with_name(f".{_machine()}-{os.getpid()}-{uuid.uuid4().hex}.tmp")


OURS = re.compile(r"\.(?:(?P<machine>[0-9a-f]{8})-(?P<process>\d+)-)?[0-9a-f]{32}\.tmp")
_swept: set[Path] = set()


@functools.cache
def _machine() -> str:
    """Return what a process number belongs to: this machine since its start; a container counts on its own."""
    known = [platform.node()]
    for about in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        with contextlib.suppress(OSError):
            known.append(os.readlink(about) if os.path.islink(about) else Path(about).read_text())  # noqa: PTH114, PTH115
    return hashlib.sha256(repr(known).encode()).hexdigest()[:8]


def _sweep_once(folder: Path) -> None:
    """Sweep a folder that may hold many files: not for each one that is written there."""
    if folder not in _swept:
        _swept.add(folder)
        sweep(folder)


def sweep(folder: Path, *, below: bool = False) -> None:
    """Remove what killed processes have left in a folder, and in those `below` it."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if (name := OURS.fullmatch(path.name)) and _is_nobodys(path, name):
                _remove(path)
            elif below and path.is_dir() and not path.is_symlink():
                sweep(path, below=True)


def _is_nobodys(path: Path, name: re.Match[str]) -> bool:
    if name["machine"] == _machine() and not _is_alive(int(name["process"])):
        return True
    try:
        return time.time() - path.lstat().st_mtime > STALE_S
    except OSError:
        return False


def _is_alive(process: int) -> bool:
    """Say whether a process of this machine runs; also where that cannot be told."""
    if os.name == "nt":  # asking would end it
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):  # the block's own error counts
            path.unlink()


def name_folder(made: Path, folder: Path) -> bool:
    """Bring a folder to the disk and give it a name that nothing has; False where something has it by now."""
    _flush_all(made)
    try:
        made.rename(folder)
    except OSError:
        if os.path.lexists(folder):
            return False
        raise
    _flush_names(folder.parent)
    return True


@contextlib.contextmanager
def held(folder: Path) -> Iterator[bool]:
    """Hold a folder for this process, so that no other one holds it; yields False where another one does.

    The system lets go when the process ends, however it ends. Where it knows no such lock (Windows, some network
    disks), everyone may.
    """
    try:
        import fcntl

        opened = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        yield True
        return
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        free = True
    except OSError as error:
        free = error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    try:
        yield free
    finally:
        os.close(opened)


def _swap(new: Path, folder: Path) -> None:
    earlier = _beside(folder)
    folder.rename(earlier)
    try:
        new.rename(folder)
    except OSError:
        earlier.rename(folder)
        raise
    shutil.rmtree(earlier, ignore_errors=True)


def remove_folder(folder: Path) -> None:
    """Remove a folder: under its own name it is there as a whole, or not at all."""
    if folder.is_dir():
        shutil.rmtree(folder.rename(_beside(folder)), ignore_errors=True)


def obstacle(folder: Path) -> str:
    """Say why no file can be written into `folder`, which may be yet to be made; nothing where one can.

    It is tried, and leaves nothing behind: what permissions say does not bind root, and does not know a file in the
    way, /proc, or a disk that can only be read.
    """
    folder = folder.absolute()
    nearest = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    try:
        with temporary_beside(nearest / "trial") as trial:
            (trial / folder.relative_to(nearest)).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return f"{nearest} is not writable ({error.strerror})"
    return ""


def _flush_all(path: Path) -> None:
    """Bring the content of a file, or of all files of a folder, to the disk itself."""
    if not path.is_dir():
        with path.open("r+b") as file:
            os.fsync(file.fileno())
        return
    for inside in path.iterdir():
        _flush_all(inside)
    _flush_names(path)


def _flush_names(folder: Path) -> None:
    """Bring the names in a folder to the disk; Windows and some network disks do that by themselves, or not at all."""
    with contextlib.suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def sha256(path: Path) -> bytes:
    """Return the SHA-256 of a file, read piece by piece: a network's tensors need not be in memory once more."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            total.update(piece)
    return total.digest()


def write_bytes(path: Path, content: bytes, *, flushed: bool = True) -> None:
    """Write a file, whole or not at all."""
    with whole(path, flushed=flushed) as temporary:
        temporary.write_bytes(content)


# ---- CSV ------------------------------------------------------------------------------------------------------------

_FORMULA = re.compile(r"'*[=+\-@\t\r]")  # what a spreadsheet computes, if need be by asking another computer
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def no_formulas(row: Iterable[object]) -> list[object]:
    """Return cells of which no spreadsheet takes one for a formula: with a ``'`` before it. Numbers stay numbers."""
    return [f"'{cell}" if isinstance(cell, str) and _is_formula(cell) else cell for cell in row]


def without_quotes(cell: str) -> str:
    """Return a cell without what `no_formulas` has put before it."""
    return cell[1:] if cell.startswith("'") and _is_formula(cell) else cell


def _is_formula(cell: str) -> bool:
    """Say whether it is one behind its quotes: so each quote that is put before it can be told from its own."""
    return bool(_FORMULA.match(cell)) and not _NUMBER.fullmatch(cell.lstrip("'"))


def read_csv(path: Path, needed: Sequence[str] = ()) -> list[dict[str, str]]:
    """Read a CSV file with a header, exactly as `write_csv` writes it; an absent one has no rows.

    Raises:
        RunError: it is damaged, or lacks one of the columns that are `needed`.
    """
    if not path.exists():
        return []
    try:
        if not path.is_file():
            raise ValueError("it is no file")
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            header, *rows = list(csv.reader(file, strict=True)) or [[]]
        if odd := next((row for row in rows if len(row) != len(header)), None):
            raise ValueError(f"{len(header)} columns, but {len(odd)} cells in the row that starts with {odd[:1]}")
        if absent := [name for name in needed if name not in header]:
            raise ValueError(f"it has no column {absent[0]!r}")
    except (OSError, ValueError, csv.Error) as error:
        raise RunError(
            f"{path} cannot be read ({reason_of(error)}). It was edited or damaged: copy it from where it was made."
        ) from error
    return [dict(zip(header, map(without_quotes, row), strict=True)) for row in rows]


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]], *, flushed: bool = True) -> None:
    """Write a CSV file in UTF-8, whole or not at all. A file name that is not valid UTF-8 keeps its bytes.

    What a spreadsheet would take for a formula has a quote before it, which `read_csv` takes off again.
    """
    with (
        whole(path, flushed=flushed) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        write_rows(file, header, rows)


def write_rows(file: TextIO, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write CSV that every reader cuts into the same rows, and in which no spreadsheet finds a formula."""
    plain = csv.writer(file, lineterminator="\n")
    quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in itertools.chain([header], map(no_formulas, rows)):  # there may be any number
        # a carriage return ends a row for every reader, and Python quotes it from 3.13 on only
        (quoted if any("\r" in str(cell) for cell in row) else plain).writerow(row)
