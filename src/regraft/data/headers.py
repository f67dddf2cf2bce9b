"""Read the heads of picture files -> what DICOM or EXIF says there of each: its patient, its camera, its day."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from PIL import ExifTags, Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from regraft.data import heif
from regraft.data.columns import NOBODY
from regraft.data.decode import plain_reasons
from regraft.data.reading import ahead_of, opened
from regraft.data.signatures import HEAD_BYTES, format_of
from regraft.errors import BadImage

DAY = ":day"
"""Behind the name of a date: of that only the day, such as 2024-05-03, whatever the hour."""

_READERS: dict[str, Callable[[BinaryIO], Image.Image]] = {
    "jpeg": JpegImageFile,
    "png": PngImageFile,
    "webp": WebPImageFile,
    "tiff": TiffImageFile,
}
"""Of the formats that hold EXIF, beside HEIC and AVIF."""


def is_tag(text: str) -> bool:
    """Say whether a text names what headers tell: a keyword of DICOM or a tag of EXIF; ``:day`` may follow it."""
    name = text.removesuffix(DAY)
    return name in _exif_tags() or _is_keyword(name)


def _is_keyword(name: str) -> bool:
    try:
        from pydicom.datadict import tag_for_keyword
    except ImportError:
        return False
    return bool(name) and tag_for_keyword(name) is not None  # some of DICOM's elements have no keyword


@functools.cache
def _exif_tags() -> dict[str, list[int]]:
    """Return the tags of each standard name; a few names have had two."""
    found: dict[str, list[int]] = {}
    for tag, name in ExifTags.TAGS.items():
        found.setdefault(name, []).append(tag)
    return found


def headers(paths: Sequence[Path], *names: str) -> list[tuple[str | None, ...]]:
    """Return what the head of each file says under some names, such as PatientID or DateTimeOriginal:day.

    None where it says nothing: no such tag, an empty one or `Anonymous`, another format, a file that cannot be read.
    Only the head of a file is read (of WebP, HEIC and AVIF all of it), once for all names.
    """
    nothing = (None,) * len(names)
    return [nothing if isinstance(found, BadImage) else found for _, found in ahead_of(partial(_told, names), paths)]


def _told(names: Sequence[str], path: Path) -> tuple[str | None, ...]:
    with plain_reasons(), opened(path) as file:
        kind = format_of(file.read(HEAD_BYTES))
        file.seek(0)
        plain = [name.removesuffix(DAY) for name in names]
        found = _from_dicom(file, plain) if kind == "dicom" else _from_exif(file, kind, plain)
        dated = zip(names, found, strict=True)
        return tuple(_day(text) if text and name.endswith(DAY) else text for name, text in dated)


def _day(text: str) -> str | None:
    """Return the day of a date of EXIF (2024:05:03 10:11:12) or DICOM (20240503), as 2024-05-03."""
    date = re.match(r"(\d{4})([:./-]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])", text)
    return f"{date[1]}-{date[3]}-{date[4]}" if date else None


def _from_dicom(file: BinaryIO, names: Sequence[str]) -> list[str | None]:
    import pydicom

    known = [name for name in names if _is_keyword(name)]
    head = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=known)
    return [_as_text(head.get(name)) if name in known else None for name in names]


def _from_exif(file: BinaryIO, kind: str | None, names: Sequence[str]) -> list[str | None]:
    exif = _exif(file, kind)
    values = {**exif, **exif.get_ifd(ExifTags.IFD.Exif)}
    found = [[values[tag] for tag in _exif_tags().get(name, []) if tag in values] for name in names]
    return [_as_text(told[0]) if told and not _unset(told[0]) else None for told in found]


def _exif(file: BinaryIO, kind: str | None) -> Image.Exif:
    if kind == "heif":
        return heif.read_heif(file.read()).getexif()
    reader = _READERS.get(kind or "")
    # the base class's: that of PNG decodes the whole picture, in search of EXIF behind it
    return Image.Image.getexif(reader(file)) if reader else Image.Exif()


def _unset(value: Any) -> bool:
    """Say whether a text is what cameras write that have no number, or no time: ``0000:00:00 00:00:00``."""
    return isinstance(value, str) and not value.strip("\0 0:./-")


def _as_text(value: Any) -> str | None:
    """Return a value as people read it; None where it is empty or a word for nothing."""
    text = value.decode("latin-1") if isinstance(value, bytes) else str("" if value is None else value)
    text = text.strip("\0 \t\r\n")
    return None if text.casefold() in NOBODY else text
