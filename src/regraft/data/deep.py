"""Read PNG and PNM of 16 bits -> Numbers: Pillow's own way gives the higher 8 bits of colours alone."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from regraft.data.numbers import Array, Numbers
from regraft.errors import BadImage

_U16 = np.dtype(np.uint16)


def is_deep_png(content: bytes) -> bool:
    """Say whether what begins as a PNG has 16 bits."""
    return content[24:25] == b"\x10"


def read_png(content: bytes, orientation: Callable[[Image.Image], int]) -> Numbers:
    """Return what a PNG of 16 bits holds: grey or colours, with or without alpha."""
    with PngImageFile(BytesIO(content)) as image:
        planes = {0: 1, 2: 3, 4: 2, 6: 4}[content[25]]
        shown = planes - (planes % 2 == 0)
        return Numbers(
            image.width,
            image.height,
            planes,
            _U16,
            functools.partial(_load_png, content, planes),
            usual=tuple(range(shown)),
            alpha=shown if shown < planes else None,
            layout=f"{planes} channels",
            orientation=orientation(image),
        )


def _load_png(content: bytes, planes: int, which: Sequence[int]) -> Array:
    """Return planes [h, w, len(which)] of 16 bits, which Pillow unpacks as if they were of two times 8."""
    if planes == 1:
        return np.asarray(_unpacked(content, "I;16", "I;16B"))[..., None]
    if planes == 2:
        pairs = np.asarray(_unpacked(content, "RGBA", "RGBA")).astype(np.uint16)
        return (pairs[..., ::2] << 8 | pairs[..., 1::2])[..., list(which)]
    mode = {3: "RGB", 4: "RGBA"}[planes]
    values = _chosen(_unpacked(content, mode, f"{mode};16B"), which)
    values <<= 8
    values |= _chosen(_unpacked(content, mode, f"{mode};16L"), which)
    return values


def _chosen(image: Image.Image, which: Sequence[int]) -> NDArray[np.uint16]:
    """Return some bands of a picture [h, w, len(which)], taken one by one: all of a large one take its memory anew."""
    values = np.empty((image.height, image.width, len(which)), _U16)
    for at, band in enumerate(which):
        values[..., at] = np.asarray(image.getchannel(band))
    return values


def _unpacked(content: bytes, mode: str, raw: str) -> Image.Image:
    image = PngImageFile(BytesIO(content))
    image._mode = mode
    image.tile = [tile._replace(args=raw) for tile in image.tile]
    image.load()
    return image


_PNM_HEAD = re.compile(rb"P([56])" + rb"(?:\s|#[^\n]*\n)+(\d{1,9})" * 3 + rb"\s")


def deep_pnm(content: bytes) -> re.Match[bytes] | None:
    """Return the head of a binary PNM of more than 8 bits."""
    found = _PNM_HEAD.match(content[:4096])
    return found if found and 255 < int(found[4]) < 65536 else None


def read_pnm(content: bytes, head: re.Match[bytes]) -> Numbers:
    """Return what a PNM of more than 8 bits holds, in its own numbers."""
    width, height, planes = int(head[2]), int(head[3]), 1 if head[1] == b"5" else 3

    def load(which: Sequence[int]) -> Array:
        if len(content) < head.end() + 2 * width * height * planes:
            raise BadImage("cut off")
        values = np.frombuffer(content, ">u2", width * height * planes, head.end()).reshape(height, width, planes)
        return values[..., list(which)].astype(_U16)

    return Numbers(width, height, planes, _U16, load, usual=tuple(range(planes)), layout=f"{planes} channels")


def refuse_deep_colours(content: bytes) -> None:
    """Refuse JPEG 2000 of more than 8 bits in colour, of which Pillow gives the higher 8 bits: dark where 12 are used.

    Raises:
        BadImage: says what to do.
    """
    at = content.find(b"\xff\x4f\xff\x51")  # image and tile size, ISO/IEC 15444-1 A.5.1
    parts, first = int.from_bytes(content[at + 40 : at + 42], "big"), content[at + 42 : at + 43]
    if at >= 0 and first and parts > 1 and (first[0] & 0x7F) + 1 > 8:
        raise BadImage(f"JPEG 2000 of {parts} channels and {(first[0] & 0x7F) + 1} bits: save it as TIFF or PNG")
