"""Read a TIFF that Pillow cannot give faithfully -> Numbers: several channels or pages, more than 8 bits, signs, reals.

tifffile knows the layouts of ImageJ, OME, MetaMorph and others. What it leaves to compiled packages that Regraft does
not ask for, such as LZW, is unpacked by Pillow's libtiff, strip by strip.
"""

from __future__ import annotations

import functools
import logging
import math
import struct
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.TiffImagePlugin import TiffImageFile

from regraft.data.numbers import Array, Numbers
from regraft.errors import BadImage

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what it finds odd in a file is no line of Regraft's

AXES = {"C": "channels", "S": "channels", "Z": "slices", "T": "moments", "I": "pages", "Q": "pages"}
"""tifffile's letters for what the planes of a file are."""

_COLOURS = {"RGB": 3, "YCBCR": 3, "CIELAB": 3, "SEPARATED": 4}
_COLOURS_BY_TAG = {2: 3, 6: 3, 8: 3, 5: 4}
"""How many samples of a pixel make its colour, if not one; the others are alpha or more channels."""

_OF_LIBTIFF = (5, 32773, 50000, 34925)
"""Compressions that pack bytes, whatever these mean: LZW, PackBits, Zstandard, LZMA."""


def is_plain(image: TiffImageFile) -> bool:
    """Say whether Pillow gives all that is in a file: one page of grey or colour in 8 bits without a sign."""
    tags: Any = image.tag_v2
    extra = tags.get(338, ())
    colours = tags.get(277, 1) - len(extra)
    return (
        max(tags.get(258, (1,))) <= 8
        and set(tags.get(339, (1,))) == {1}
        and colours == _COLOURS_BY_TAG.get(tags.get(262), 1)
        and extra in ((), (1,), (2,))  # more samples than colours: these are alpha
        and not getattr(image, "is_animated", False)
        and not _counts_planes(tags)
    )


def _counts_planes(tags: Any) -> bool:
    """Say whether more planes than pages may follow each other, which programs of microscopy tell in their own tags."""
    told = str(tags.get(270, ""))
    return told.startswith(("ImageJ=", '{"shape"', "SCANIMAGE")) or "OME" in told or 33628 <= max(tags) <= 50839


def read_tiff(content: bytes, most_pixels: int) -> Numbers | None:
    """Return what a TIFF holds; None where its first page alone is meant and Pillow may read it.

    A picture of more than `most_pixels` is given at a half, a quarter … of its width and height, from a level of its
    own where the file has one.

    Raises:
        BadImage: the reason in plain words.
    """
    import tifffile

    file = tifffile.TiffFile(BytesIO(content))  # not closed: pages are read when they are wanted
    _refuse_many_pages(file)
    if not file.series:
        raise BadImage("a TIFF without a picture")
    series = _fitting(file.series[0], most_pixels)
    page = series.keyframe
    plain = (
        page.dtype == np.uint8
        and page.bitspersample in (2, 4, 8)
        and page.imagewidth * page.imagelength <= min(most_pixels, MOST_OF_PILLOW)
    )
    pages = math.prod(size for size, axis in zip(series.shape, series.axes, strict=True) if axis not in "YXS")
    own = _COLOURS.get(_colours_of(page), 1)
    turned = pages > 1 and own == page.samplesperpixel == 3 and set(series.axes) <= set("IQYXS")
    if plain and page.samplesperpixel == own and (pages == 1 or turned):
        return None
    return _numbers(content, series, own, pages, turned, most_pixels)


MOST_OF_PILLOW = 89 * 10**6
"""Pixels: Pillow warns of a TIFF with more, and refuses twice as many, whatever a user allows."""

DENSEST = 3000
"""How many bytes one byte can stand for at most: 2,731 in LZW (codes of 12 bits for up to 4,096), 1,032 in deflate."""

MOST_PAGES = 5_000
"""Of one file: finding out what each is takes a fifth of a millisecond."""


def _refuse_many_pages(file: Any) -> None:
    try:
        file.pages[MOST_PAGES]
    except IndexError:
        return
    raise BadImage(f"a TIFF of more than {MOST_PAGES:,} pages")


def _colours_of(page: Any) -> str:
    return getattr(page.photometric, "name", "")  # a number that is not known stays one


def _fitting(series: Any, most_pixels: int) -> Any:
    """Return the largest level of a picture that is not too large."""
    fitting = [
        level for level in series.levels if level.keyframe.imagewidth * level.keyframe.imagelength <= most_pixels
    ]
    return fitting[0] if fitting else series


def _numbers(content: bytes, series: Any, own: int, pages: int, turned: bool, most_pixels: int) -> Numbers:
    """Name what a series holds; `turned`: its pages are pictures in colour, as of a document: the first is shown."""
    page = series.keyframe
    if page.dtype is None or page.dtype.kind not in "buif":
        raise BadImage(f"a TIFF with values of a type that is not read ({page.bitspersample} bits)")
    if _colours_of(page) in ("PALETTE", "CIELAB", "YCBCR", "CFA"):
        raise BadImage(f"a TIFF of {_colours_of(page).lower()} colours in a form that is not read")
    samples, planes = page.samplesperpixel, pages * page.samplesperpixel
    alpha = own if pages == 1 and tuple(map(int, page.extrasamples)) in ((1,), (2,)) else None
    shown = own if turned else planes - (alpha is not None)
    usual = tuple(range(shown)) if shown == own or (own, shown) == (1, 3) else None
    step = _step(page.imagewidth * page.imagelength, most_pixels)
    return Numbers(
        -(-page.imagewidth // step),
        -(-page.imagelength // step),
        planes,
        _type_of(page),
        functools.partial(_load, content, series, samples, pages, step),
        usual=usual,
        layout=_layout(series, planes),
        alpha=alpha,
        inks=own == 4,
        inverted=_colours_of(page) == "MINISWHITE",
        orientation=int(page.tags.valueof(274, 1)),
        says=_says(series, pages, usual, turned),
    )


def _type_of(page: Any) -> np.dtype[Any]:
    return np.dtype(np.uint8 if page.dtype.kind == "b" else page.dtype)


def _says(series: Any, pages: int, usual: tuple[int, ...] | None, turned: bool) -> str:
    if turned:
        return f"show the first of their {pages} pages"
    if usual and pages == len(usual) == 3:
        return f"show their {_layout(series, 3)} as red, green and blue"
    return ""


def _layout(series: Any, planes: int) -> str:
    """Return what the planes of a picture are: ``8 planes (4 slices x 2 channels)``."""
    parts = [(size, AXES.get(axis, "planes")) for size, axis in zip(series.shape, series.axes, strict=True)]
    named = [f"{size} {name}" for (size, name), axis in zip(parts, series.axes, strict=True) if axis not in "YX"]
    return named[0] if len(named) == 1 else f"{planes} planes ({' x '.join(named)})"


def _step(pixels: int, most_pixels: int) -> int:
    """Return by how much a picture is made smaller: a power of two up to 16, which divides the sides of all tiles."""
    return next((step for step in (1, 2, 4, 8, 16) if pixels <= most_pixels * step * step), 1)


# ---- planes -> values ------------------------------------------------------------------------------------------------


def _load(content: bytes, series: Any, samples: int, pages: int, step: int, which: Sequence[int]) -> Array:
    """Return planes [h, w, len(which)] of a series; only the pages that hold them are read."""
    page = series.keyframe
    if len(series.pages) < pages:  # ImageJ writes one page for many planes that follow each other
        return _follow(content, series, samples, pages, step, which)
    unpack = _unpacker(page)  # once: it tells the page, which describes all others, how they are unpacked
    read = functools.cache(lambda number: _page(content, series.pages[number], page, step, unpack))
    if pages == 1 and tuple(which) == tuple(range(samples)):
        return read(0)
    return np.stack([read(plane // samples)[..., plane % samples] for plane in which], axis=2)


def _follow(content: bytes, series: Any, samples: int, pages: int, step: int, which: Sequence[int]) -> Array:
    page = series.keyframe
    if series.dataoffset is None or page.compression != 1 or page.planarconfig == 2:
        raise BadImage("a TIFF whose pages do not tell where they are")
    shape = (pages, page.imagelength, page.imagewidth, samples)
    dtype = np.dtype(series.dtype).newbyteorder(page.parent.byteorder)
    if len(content) < series.dataoffset + math.prod(shape) * dtype.itemsize:
        raise BadImage("cut off")
    values = np.frombuffer(content, dtype, math.prod(shape), series.dataoffset).reshape(shape)
    chosen = np.stack([values[plane // samples, ::step, ::step, plane % samples] for plane in which], axis=2)
    return np.asarray(chosen.astype(dtype.newbyteorder("=")))


def _page(content: bytes, page: Any, keyframe: Any, step: int, unpack: Callable[[bytes, int], bytes]) -> Array:
    """Return one page [h, w, samples]; with a step, the mean over squares of so many pixels."""
    separate, depth, length, width, contiguous = keyframe.shaped
    if depth != 1:
        raise BadImage("a TIFF of volumes")
    _check_promise(content, page, keyframe)
    height, kind = -(-length // step), _type_of(keyframe)
    out = np.zeros((height, -(-width // step), separate * contiguous), "f8" if step > 1 else kind)
    for index, (offset, count) in enumerate(zip(page.dataoffsets, page.databytecounts, strict=True)):
        if not count:  # a strip or tile that was never written: empty by the standard
            continue
        values, (plane, _, y, x, _), shape = keyframe.decode(unpack(content[offset : offset + count], index), index)
        part = values[0, : length - y, : width - x]  # [h, w, samples]; a tile may reach over the edge
        part = part if part.dtype != np.bool_ else part * np.uint8(255)
        if len(part) < min(shape[1], length - y):
            raise BadImage("cut off")
        planes = slice(plane * contiguous, (plane + 1) * contiguous)
        if step == 1:
            out[y : y + len(part), x : x + part.shape[1], planes] = part
        else:
            _add_squares(out[:, x // step :, planes], part, y, step)
    return out if step == 1 else _means(out, length, width, step).astype(kind)


def _check_promise(content: bytes, page: Any, keyframe: Any) -> None:
    """Refuse a page that declares more than its file holds, before memory is taken for it."""
    ends = [offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)]
    if not len(page.dataoffsets) == len(page.databytecounts) == math.prod(keyframe.chunked):
        raise BadImage("cut off: it does not tell where all of its strips or tiles are")
    if max(ends) > len(content) or (all(page.databytecounts) and keyframe.nbytes > DENSEST * sum(page.databytecounts)):
        raise BadImage("cut off")


def _add_squares(out: NDArray[np.float64], part: Array, y: int, step: int) -> None:
    """Add the sums over squares of a strip or tile that begins at row `y`."""
    columns = np.add.reduceat(part, np.arange(0, part.shape[1], step), axis=1, dtype=np.float64)
    starts = np.unique(np.maximum(np.arange(-(y % step), len(part), step), 0))  # where a new row of squares begins
    sums = np.add.reduceat(columns, starts, axis=0)
    out[y // step : y // step + len(sums), : sums.shape[1]] += sums


def _means(sums: NDArray[np.float64], length: int, width: int, step: int) -> NDArray[np.float64]:
    """Divide sums by the pixels of each square: fewer at the edges."""
    rows, columns = (np.minimum(step, size - np.arange(0, size, step)) for size in (length, width))
    means: NDArray[np.float64] = sums / (rows[:, None, None] * columns[:, None])
    return means


# ---- bytes of a strip or tile ----------------------------------------------------------------------------------------


def _unpacker(page: Any) -> Callable[[bytes, int], bytes]:
    """Return what unpacks one strip or tile as far as tifffile cannot by itself; the page is then told that it is."""
    import tifffile

    unpack = _decompressor(page)
    if page.predictor == 3 and 3 not in tifffile.TIFF.UNPREDICTORS:
        page.compression, page.predictor = 1, 1
        return lambda data, index: _add_up(page, unpack(data, index))
    bits = page.bitspersample
    if 1 < bits < 16 and bits != 8 and page.dtype.kind == "u" and page.fillorder == 1:
        page.compression, page.bitspersample = 1, 8 * page.dtype.itemsize
        return lambda data, index: _widened(page, bits, unpack(data, index))
    if page.compression in _OF_LIBTIFF:
        page.compression = 1
        return unpack
    return lambda data, _: data


def _decompressor(page: Any) -> Callable[[bytes, int], bytes]:
    import tifffile

    compression = int(page.compression)
    if compression in _OF_LIBTIFF:
        return lambda data, index: _with_libtiff(data, compression, *_segment(page, index))
    if compression in tifffile.TIFF.DECOMPRESSORS:
        own = tifffile.TIFF.DECOMPRESSORS[compression]
        return lambda data, _: own(data)
    name = getattr(page.compression, "name", str(compression)).lower()
    raise BadImage(f"a TIFF packed as {name}: save it in another way, or pip install imagecodecs")


def _segment(page: Any, index: int) -> tuple[int, int]:
    """Return the bytes of a row and the rows of one strip or tile."""
    rows = page.tilelength
    if not page.is_tiled:
        strips = -(-page.imagelength // page.rowsperstrip)
        rows = min(page.rowsperstrip, page.imagelength - index % strips * page.rowsperstrip)
    return -(-_values_across(page) * page.bitspersample // 8), rows


def _with_libtiff(data: bytes, compression: int, row_bytes: int, rows: int) -> bytes:
    """Unpack bytes as a grey picture of 8 bits, in a TIFF made around them: libtiff does not ask what they mean."""
    fields = {256: row_bytes, 257: rows, 258: 8, 259: compression, 262: 1, 273: 0, 277: 1, 278: rows, 279: len(data)}
    fields[273] = 8 + 2 + 12 * len(fields) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(fields.items()))
    head = struct.pack("<2sHIH", b"II", 42, 8, len(fields)) + entries + bytes(4)
    with TiffImageFile(BytesIO(head + data)) as image:
        return bytes(image.tobytes())


def _widened(page: Any, bits: int, data: bytes) -> bytes:
    """Return whole numbers of 2 to 15 bits, whose rows begin with a byte, as such of 8 that are full, or of 16."""
    across = _values_across(page)
    row_bytes = -(-across * bits // 8)
    rows = np.frombuffer(data, np.uint8)[: len(data) // row_bytes * row_bytes].reshape(-1, row_bytes)
    weights = 1 << np.arange(bits - 1, -1, -1)
    times = 255 / (2**bits - 1) if bits < 8 else 1
    out = np.empty((len(rows), across), page.dtype.newbyteorder(page.parent.byteorder))
    for row, packed in zip(out, rows, strict=True):  # one by one: its bits take many times its memory
        row[:] = np.unpackbits(packed)[: across * bits].reshape(across, bits) @ weights * times
    return out.tobytes()


def _values_across(page: Any) -> int:
    """Return how many values a row of a strip or tile holds."""
    samples = page.samplesperpixel if page.planarconfig == 1 else 1
    return int((page.tilewidth if page.is_tiled else page.imagewidth) * samples)


def _add_up(page: Any, data: bytes) -> bytes:
    """Undo the predictor for reals (Adobe's technical note 3): bytes of equal weight lie together, as differences."""
    size, samples, width = (
        page.dtype.itemsize,
        page.samplesperpixel if page.planarconfig == 1 else 1,
        _values_across(page),
    )
    rows = np.frombuffer(data, np.uint8)[: len(data) // (width * size) * width * size].reshape(-1, width * size)
    summed = np.add.accumulate(rows.reshape(len(rows), -1, samples), axis=1, dtype=np.uint8)
    values = summed.reshape(-1, size, width).transpose(0, 2, 1)  # the weightiest byte first
    return bytes((values if page.parent.byteorder == ">" else values[..., ::-1]).tobytes())
