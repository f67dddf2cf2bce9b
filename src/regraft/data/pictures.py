"""Whatever a person calls a picture -> files with names: a path, a folder, a glob, bytes, an array, a Pillow image …"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from regraft.data.kinds import USUAL_SUFFIXES, by_suffix, left_out
from regraft.data.named import Named, named_in, refuse_unmatched
from regraft.errors import ConfigError, NoImages
from regraft.utils.files import named_path
from regraft.utils.progress import Progress

Picture: TypeAlias = "str | os.PathLike[str] | bytes | Image.Image | NDArray[np.uint8] | IO[bytes]"
"""One picture; a str or path may also be a folder, or a glob such as ``"photos/*.jpg"``."""

Pictures: TypeAlias = "Picture | Iterable[Picture]"

EXPECTED = (
    "a path, a folder, a glob, bytes, a Pillow image, a uint8 array (RGB [h, w, 3] or [h, w]), an open file, or a list "
    "of these"
)
KEPT_BY = {"PNG": ("1", "L", "LA", "I;16", "P", "RGB", "RGBA"), "TIFF": ("I", "F", "I;16B")}
"""Modes of Pillow that a format keeps as they are."""
ORIENTATION = 0x0112  # of EXIF


class Content(NamedTuple):
    """The bytes of a picture that is no file, and what its maker called it."""

    data: bytes
    name: str = ""


@contextmanager
def gathered(pictures: Pictures, progress: Progress | None = None, *, absent_ok: bool = False) -> Iterator[list[Named]]:
    """Make files of all pictures, in the order given; a folder stands for all pictures below it, in natural order.

    So does a list of paths: text with one a line, or a table with a column of them.

    What is in memory lies in a temporary folder as long as the context is open: nothing of it stays on the disk. It is
    called by the name of its file, else by its number among those given. `progress` hears what is left out of folders.
    With `absent_ok`, a path that is not there is a picture that cannot be read.

    Raises:
        DataMissing: a path that is not there, or a glob that no file matches.
        NoImages: nothing that looks like a picture.
        ConfigError: what is no picture: an array of floats, an address in the web.
    """
    found, others, searched = list[Named](), list[str](), list[str]()
    with tempfile.TemporaryDirectory(prefix="regraft-") as folder:
        for number, one in enumerate(each(pictures), start=1):
            if isinstance(one, Content):
                path = Path(folder) / str(number)
                path.write_bytes(one.data)
                found.append(Named(path, one.name or f"picture {number}"))
                continue
            absent = absent_ok and not one.exists()
            found += [Named(one, str(one))] if absent else named_in(one, others.append)
            searched.append(str(one))
        refuse_none(found, searched, others)
        for notice in left_out(others):
            (progress or Progress()).warn(notice)
        yield found


def each(pictures: object) -> Iterator[Path | Content]:
    """Yield paths as they are given, and the content of every picture that is no file.

    Raises:
        ConfigError: what is no picture.
    """
    yield from _reader(pictures)(pictures)


def refuse_absent(pictures: object) -> None:
    """Refuse what costs nothing to look at, before anything heavy is loaded: paths that are not there, no pictures.

    Raises:
        DataMissing, ConfigError: as `gathered`.
    """
    for one in pictures if isinstance(pictures, list | tuple) else [pictures]:
        _reader(one)
        if isinstance(one, str | os.PathLike) and not (path := _path(one)).exists():
            refuse_unmatched(path)


def _reader(pictures: object) -> Callable[[Any], Iterator[Path | Content]]:
    """Return what reads pictures of this kind."""
    if kind := next((read for types, read in _KINDS if isinstance(pictures, types)), None):
        return lambda given: iter([kind(given)])
    if callable(getattr(pictures, "read", None)):
        return lambda given: iter([_of_file(given)])
    if hasattr(pictures, "__array__") and not hasattr(pictures, "columns"):
        return lambda given: _of_array(np.asarray(given))
    if isinstance(pictures, Iterable) and not isinstance(pictures, Mapping) and not hasattr(pictures, "columns"):
        return lambda given: (one for part in given for one in each(part))
    table = " Give one column of it." if hasattr(pictures, "columns") else ""
    raise ConfigError(f"A {type(pictures).__name__} is no picture.{table} Expected {EXPECTED}.")


def _path(given: str | os.PathLike[str]) -> Path:
    text = os.fspath(given)
    if text.lower().startswith(("http://", "https://")):
        raise ConfigError(
            f"{text} is an address: Regraft fetches no pictures. Download it and give the file, or give the bytes: "
            "urllib.request.urlopen(address).read()"
        )
    if not text:
        raise ConfigError(f"An empty path is no picture. Expected {EXPECTED}.")
    return named_path(text)


def _of_file(file: Any) -> Content:
    """Read an open file on from where it is; one that was read to its end, from its start."""
    name = getattr(file, "name", "")
    if getattr(file, "closed", False):
        raise ConfigError(f"{name or 'The file'} is closed. Give it while it is open, or give its path.")
    data = b"" if isinstance(file, io.TextIOBase) else file.read()
    if isinstance(file, io.TextIOBase) or not isinstance(data, bytes):
        raise ConfigError(f"{name or 'The file'} was opened as text; a picture is bytes: open(name, 'rb').")
    if not data and hasattr(file, "seekable") and file.seekable():
        file.seek(0)
        data = file.read()
    return Content(data, name if isinstance(name, str) else "")


def _of_image(image: Image.Image) -> Content:
    """Keep a Pillow image as it is, and how EXIF says that it lies; modes that no file has are shown as RGB."""
    form = next((form for form, modes in KEPT_BY.items() if image.mode in modes), None)
    kept, file, exif = image if form else image.convert("RGB"), io.BytesIO(), Image.Exif()
    if turned := image.getexif().get(ORIENTATION):
        exif[ORIENTATION] = turned
    kept.save(file, form or "PNG", compress_level=1, exif=exif)
    return Content(file.getvalue(), str(getattr(image, "filename", "") or ""))


def _of_array(array: NDArray[Any]) -> Iterator[Path | Content]:
    """Yield the picture that an array is; of an array of paths, or of pictures, each."""
    if array.dtype.kind in "OUS" or (array.ndim == 4 and array.shape[-1] == 3):
        for one in array:
            yield from each(one)
        return
    grey, colour = array.ndim == 2, array.ndim == 3 and array.shape[-1] == 3
    if array.dtype != np.uint8 or not (grey or colour) or not array.size:
        shape = list(array.shape)
        raise ConfigError(
            f"An array of {array.dtype} {shape} is no picture. Expected uint8, RGB [h, w, 3] or [h, w], from 0 to 255."
        )
    yield _of_image(Image.fromarray(np.ascontiguousarray(array)))


_KINDS: tuple[tuple[Any, Any], ...] = (
    ((str, os.PathLike), _path),
    ((bytes, bytearray, memoryview), lambda data: Content(bytes(data))),
    (Image.Image, _of_image),
)


def refuse_none(found: Sequence[Named], searched: Sequence[str], others: Sequence[str]) -> None:
    """Refuse what holds no picture; `others` are the files that are there.

    Raises:
        NoImages: it is so.
    """
    if found:
        return
    where = f" in {', '.join(searched)}" if searched else ": nothing was given"
    there = f"; there are {by_suffix(others)}" if others else ""
    raise NoImages(f"No pictures{where} (looked for {USUAL_SUFFIXES}{there}).")
