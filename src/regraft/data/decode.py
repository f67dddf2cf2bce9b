"""Decode bytes -> pixels [s, s, 3]: every kind of picture becomes the same uint8 RGB square."""

from __future__ import annotations

import contextlib
import logging
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from io import BytesIO
from typing import Annotated, Any, NamedTuple, TypeAlias

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TgaImagePlugin import TgaImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from regraft.data import deep, dicom, heif, tiff
from regraft.data.numbers import ROOM, Numbers, Range, checked, coloured, shown_planes, to_rgb
from regraft.data.signatures import format_of
from regraft.errors import BadImage, ConfigError, UnknownName
from regraft.utils.records import Above0, fitted

logging.getLogger("PIL").addHandler(logging.NullHandler())  # what it finds odd is in the picture's reason

# glibc gives memory back at once in pieces above 32 MB only: with Pillow's blocks of 16 MB each of eight threads kept
# the 700 MB of the largest picture that it had ever decoded, 5.6 GB together; with these it is 1.0 GB
Image.core.set_block_size(1 << 26)  # type: ignore[attr-defined]

MAX_MEGAPIXELS = 89
"""The size above which Pillow itself warns of a decompression bomb; --max-megapixels sets another."""

DECODER = 4
"""Part of the name under which what was made of pictures is kept; 1 showed the first page of a file alone, 2 stretched
DICOM of 8 bits to the scale of more, 3 left it to Pillow's version which way a tall picture is resampled first."""

MAX_SIDE = 1_000_000
"""Pixels: resampling takes memory in proportion to the longest side. JPEG ends at 65,535; line scans are longer."""

DENSEST = 1032
"""How many bytes one byte of the deflate format can stand for at most (zlib's technical notes)."""

_FEWEST_BITS = {"PNG": 1}
"""Of one pixel, in formats that pack with deflate and nothing else."""

INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
CHANNEL_ORDERS = ("RGB", "BGR")
FITS = ("stretch", "crop")


@dataclass(frozen=True)
class Preprocessing:
    """What a network expects of its input: the geometry is applied by `decode`, the numbers inside the network.

    The defaults are those of torchvision's ImageNet weights.
    """

    size: Annotated[int, Meta(ge=1, le=2048)] = 224  # side in pixels of the square that the network sees
    resize: Annotated[int, Meta(ge=1, le=16384)] = 256  # the shorter side, before the centre crop
    fit: str = "crop"  # crop: the centre of the picture; stretch: the whole picture, its sides made equal
    interpolation: str = "bilinear"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # on the range 0..scale
    std: tuple[Above0, Above0, Above0] = (0.229, 0.224, 0.225)
    scale: Above0 = 1.0  # pixel values run from 0 to this before mean and std; 255 for Caffe's networks
    channels: str = "RGB"
    # how files that hold more than 8 bits of grey or colour are shown, the same for all pictures of a data set
    file_channels: tuple[Annotated[int, Meta(ge=0, le=65535)], ...] | None = (
        None  # which become red, green and blue, or grey; None: the usual ones
    )
    value_range: Range | None = None  # which values become black and white; None: as full as their type
    max_megapixels: Annotated[int, Meta(ge=1, le=10_000)] | None = None  # None: MAX_MEGAPIXELS

    def __post_init__(self) -> None:
        """Refuse what no decoder could follow.

        Raises:
            ConfigError: The crop is empty or larger than the resized picture.
            UnknownName: An interpolation, fit or channel order that does not exist.
        """
        if not 1 <= self.size <= self.resize:
            raise ConfigError(f"A crop of {self.size} pixels does not fit a shorter side of {self.resize} pixels.")
        if self.interpolation not in INTERPOLATIONS:
            raise UnknownName("interpolation", self.interpolation, INTERPOLATIONS)
        if self.fit not in FITS:
            raise UnknownName("fit", self.fit, FITS)
        if self.channels not in CHANNEL_ORDERS:
            raise UnknownName("channel order", self.channels, CHANNEL_ORDERS)
        if self.file_channels is not None and not (
            1 <= len(self.file_channels) <= 3 and all(isinstance(at, int) and at >= 0 for at in self.file_channels)
        ):
            raise ConfigError(f"Channels {self.file_channels}; expected one to three numbers from 0, such as 0,2,1.")
        if self.value_range is not None and not -math.inf < self.value_range[0] < self.value_range[1] < math.inf:
            raise ConfigError(f"A range of {self.value_range}; expected a lower and a higher number, such as 0:4095.")

    def showing(
        self,
        channels: Sequence[int] | None = None,
        value_range: Range | None = None,
        max_megapixels: int | None = None,
    ) -> Preprocessing:
        """Return the same, but for what is given of how files are shown."""
        return replace(
            self,
            file_channels=self.file_channels if channels is None else tuple(channels),
            value_range=value_range or self.value_range,
            max_megapixels=max_megapixels or self.max_megapixels,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values, as `from_dict` reads them; what concerns files of more than 8 bits where it is set.

        So the name under which pictures of 8 bits are kept is the same, whatever is known of others.
        """
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocessing:
        """Read what `as_dict` wrote.

        Raises:
            ValueError: A value of another type, or outside its range.
            ConfigError, UnknownName: As when one is made.
        """
        return fitted(values, cls, "preprocessing")

    def small(self, side: int) -> Preprocessing:
        """Return how the same files become small pictures for people: all of each, on the same scale."""
        return replace(self, size=side, resize=side, fit="stretch", interpolation="bilinear")

    @property
    def most_pixels(self) -> int:
        """How many pixels a picture may have."""
        return 10**6 * (self.max_megapixels or MAX_MEGAPIXELS)


def digest(content: bytes) -> str:
    """Return the name of a picture's content: BLAKE2b, 16 bytes, as 32 hexadecimal digits."""
    return blake2b(content, digest_size=16).hexdigest()


def decode(content: bytes, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Decode the bytes of one file to the square that the network sees. Safe to call from many threads.

    Returns uint8 [size, size, 3] in RGB, whatever the file holds: transparency lies on white, values of more than 8
    bits are shown on the scale of the preprocessing, the EXIF orientation is followed, of many frames the first is
    taken. Mean, standard deviation and channel order are left to the network.

    Raises:
        BadImage: The reason in plain words. A file that is cut off is refused, never filled up with grey.
    """
    return _decoded(content, preprocessing, _square)


def decode_whole(content: bytes, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Decode a file as `decode` does, but for the geometry: all of its pixels, upright, uint8 [h, w, 3] in RGB.

    Raises:
        BadImage: as `decode`.
    """
    return _decoded(content, preprocessing, _upright)


def _decoded(content: bytes, preprocessing: Preprocessing, shaped: Shaped) -> NDArray[np.uint8]:
    with plain_reasons():
        opened = _opened(content, preprocessing.most_pixels)
        if isinstance(opened, Numbers):
            return _from_numbers(opened, preprocessing, shaped)
        return _from_image(opened, preprocessing, len(content), shaped)


class Measured(NamedTuple):
    """What the head of a file says of its picture."""

    width: int  # pixels, as stored
    height: int
    mode: str  # Pillow's name of the colours: RGB, L, P, CMYK …; of others the type and number of their planes
    shape: float  # width divided by height as it is shown: the EXIF orientation is followed


def measure(content: bytes) -> Measured:
    """Return the size, colours and shape of a picture from the file's head.

    Raises:
        BadImage: The reason in plain words.
    """
    with plain_reasons():
        opened = _opened(content, sys.maxsize)
        if isinstance(opened, Numbers):
            width, height, mode = opened.width, opened.height, f"{opened.dtype.name} x {opened.planes}"
            return Measured(width, height, mode, width / height)
        width, height = opened.size
        on_its_side = _orientation(opened) >= 5
        return Measured(width, height, opened.mode, height / width if on_its_side else width / height)


def numbers_of(content: bytes, most_pixels: int) -> Numbers | None:
    """Return what a file holds that needs a scale or a choice of channels; None for the usual 8 bits, found quickly.

    Raises:
        BadImage: The reason in plain words.
    """
    kind = format_of(content)
    if kind in _ALWAYS_8_BITS or (kind == "png" and not deep.is_deep_png(content)):
        return None
    with plain_reasons():
        opened = _opened(content, most_pixels)
        if not isinstance(opened, Numbers):
            return None
        _check_dimensions(opened.width, opened.height, most_pixels)
        return opened


_ALWAYS_8_BITS = ("jpeg", "gif", "webp", "bmp")


@contextlib.contextmanager
def plain_reasons() -> Iterator[None]:
    """Turn whatever goes wrong inside into that picture's reason: no one picture ends a command.

    A list of exceptions was never complete: readers of other people's formats raise what they like.
    """
    try:
        yield
    except BadImage:
        raise
    except MemoryError as error:
        raise BadImage("takes more memory than there is") from error
    except Exception as error:
        said = str(error).split("\n")[0] or type(error).__name__
        cut_off = isinstance(error, EOFError) or "truncated" in said.lower()
        raise BadImage("cut off" if cut_off else f"cut off or damaged ({said})") from error


_READERS: dict[str, Callable[[BytesIO], ImageFile.ImageFile]] = {
    "jpeg": JpegImageFile,
    "png": PngImageFile,
    "webp": WebPImageFile,
    "bmp": BmpImageFile,
    "gif": GifImageFile,
    "jpeg2000": Jpeg2KImageFile,
    "pnm": PpmImageFile,
}


def _opened(content: bytes, most_pixels: int) -> ImageFile.ImageFile | Numbers:
    """Return what a file holds, of which only the head has been read."""
    kind = format_of(content)
    if kind == "dicom":
        return dicom.read_dicom(content)
    if kind == "png" and deep.is_deep_png(content):
        return deep.read_png(content, _orientation)
    if kind == "pnm" and (head := deep.deep_pnm(content)):
        return deep.read_pnm(content, head)
    if kind == "tiff":
        return _opened_tiff(content, most_pixels)
    image = _open(content, kind)
    return _as_numbers(image) if image.mode in _DEEP_MODES else image


_DEEP_MODES = {"I;16": np.uint16, "I;16B": np.uint16, "I": np.int32, "F": np.float32}
"""Pillow's names for grey of more than 8 bits."""


def _as_numbers(image: ImageFile.ImageFile) -> Numbers:
    kind = np.dtype(_DEEP_MODES[image.mode])
    return Numbers(
        *image.size,
        planes=1,
        dtype=kind,
        load=lambda which: np.asarray(image).astype(kind)[..., None][..., list(which)],
        usual=(0,),
        orientation=_orientation(image),
    )


def _opened_tiff(content: bytes, most_pixels: int) -> ImageFile.ImageFile | Numbers:
    try:
        image = TiffImageFile(BytesIO(content))
        if tiff.is_plain(image) and image.width * image.height <= min(most_pixels, tiff.MOST_OF_PILLOW):
            return image
    except SyntaxError:  # Pillow's word for a kind of pixels that it does not know
        image = None
    return tiff.read_tiff(content, most_pixels) or image or TiffImageFile(BytesIO(content))


Rows: TypeAlias = Callable[[int, int], Image.Image]
"""Some rows of a picture, in RGB."""

Shaped: TypeAlias = Callable[[tuple[int, int], Rows, int, Preprocessing], NDArray[np.uint8]]
"""What becomes of a picture of that size and EXIF orientation."""


def _from_numbers(numbers: Numbers, preprocessing: Preprocessing, shaped: Shaped) -> NDArray[np.uint8]:
    _check_dimensions(numbers.width, numbers.height, preprocessing.most_pixels)
    which = shown_planes(numbers, preprocessing.file_channels)
    with ROOM.hold(numbers.width * numbers.height * len(which) * numbers.dtype.itemsize):
        values = numbers.load(which)

        def rows(top: int, bottom: int) -> Image.Image:
            return to_rgb(numbers, values[top:bottom], preprocessing.file_channels, preprocessing.value_range)

        return shaped((values.shape[1], values.shape[0]), rows, numbers.orientation, preprocessing)


def _from_image(
    image: ImageFile.ImageFile, preprocessing: Preprocessing, size: int, shaped: Shaped
) -> NDArray[np.uint8]:
    stored, drafted = image.size, shaped is _square
    if stored[0] * stored[1] > preprocessing.most_pixels and drafted and _is_baseline(image):
        _check_dimensions(*stored, preprocessing.most_pixels * MOST_DRAFTED)
    else:
        _check_dimensions(*stored, preprocessing.most_pixels)  # from the header: nothing large has been allocated yet
    _check_promise(image, size)
    if drafted:
        image.draft(None, (preprocessing.resize, preprocessing.resize))  # a large JPEG is decoded at 1/2, 1/4 or 1/8

    def rows(top: int, bottom: int) -> Image.Image:
        part = image if bottom - top == image.height else image.crop((0, top, image.width, bottom))
        return _to_rgb(part, preprocessing.file_channels)

    with ROOM.hold(image.width * image.height * _BYTES_OF_A_PIXEL):
        image.load()
        return shaped(image.size, rows, _orientation(image), preprocessing)


MOST_DRAFTED = 8
"""How many times more pixels a JPEG may have, which is decoded at 1/8 of its sides, row by row."""

_BYTES_OF_A_PIXEL = 4
"""As Pillow holds it."""

AT_ONCE = 1 << 20
"""Pixels that are brought into colours and made narrow at once: a copy of all of them takes their memory anew."""


def _is_baseline(image: ImageFile.ImageFile) -> bool:
    """Say whether a picture is a JPEG that is decoded row by row; a progressive one is held as a whole first."""
    return image.format in ("JPEG", "MPO") and not image.info.get("progressive")


def _square(size: tuple[int, int], rows: Rows, orientation: int, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Make a picture the square that is seen: narrow first, in strips, and then low.

    Which way comes first changes pixels by some levels. Pillow 13 begins with the other one where a picture is tall.
    """
    (width, height), way = size, INTERPOLATIONS[preprocessing.interpolation]
    left, upper, right, lower = _seen(size, preprocessing)
    strip = max(1, AT_ONCE // width)
    narrow = Image.new("RGB", (preprocessing.size, height))
    for top in range(0, height, strip):
        part = rows(top, min(top + strip, height))
        narrow.paste(part.resize((preprocessing.size, part.height), way, box=(left, 0, right, part.height)), (0, top))
    square = narrow.resize((preprocessing.size, preprocessing.size), way, box=(0, upper, preprocessing.size, lower))
    turn = _TURNS.get(orientation)  # a square about the centre may be turned last, when it is small
    return np.array(square if turn is None else square.transpose(turn))


def _upright(size: tuple[int, int], rows: Rows, orientation: int, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Keep a picture's own size."""
    image, turn = rows(0, size[1]), _TURNS.get(orientation)
    return np.array(image if turn is None else image.transpose(turn))


def _seen(size: tuple[int, int], preprocessing: Preprocessing) -> tuple[float, float, float, float]:
    """Return the part of the picture that becomes the square, so that resizing and cropping are one step."""
    width, height = size
    if preprocessing.fit == "stretch":
        return (0, 0, width, height)
    side = preprocessing.size * min(size) / preprocessing.resize
    x, y = (width - side) / 2, (height - side) / 2
    return (x, y, x + side, y + side)


def _open(content: bytes, kind: str | None) -> ImageFile.ImageFile:
    # Not Image.open: it warns about large pictures before they can be refused, and warnings cannot be silenced
    # in one thread alone. It would also try formats that start other programs.
    if kind == "jpeg2000":
        deep.refuse_deep_colours(content)
    if kind == "heif":
        return heif.read_heif(content)
    if kind is not None:
        return _READERS[kind](BytesIO(content))
    if _is_targa(content[:18]):
        return TgaImageFile(BytesIO(content))
    if not content:
        raise BadImage("0 bytes")
    raise BadImage("not a picture (text file?)" if _is_text(content[:512]) else "not a picture")


def _is_targa(head: bytes) -> bool:
    """Say whether a head makes sense as that of a Targa picture, the one format here without a signature."""
    if len(head) < 18:
        return False
    kind, depth = head[2] & 0b111, head[16]  # 1: with a palette, 2: colours, 3: grey; 8 more when packed
    palette = head[1] == 1 and head[7] in (15, 16, 24, 32)
    depths = {1: (8,), 2: (16, 24, 32), 3: (1, 8, 16)}
    no_palette = head[1] == 0 and not any(head[3:8])
    return not head[2] & 0b11110000 and depth in depths.get(kind, ()) and (palette or (no_palette and kind != 1))


def _is_text(start: bytes) -> bool:
    return all(byte >= 32 or byte in b"\t\n\r\f" for byte in start)


def _check_dimensions(width: int, height: int, most_pixels: int) -> None:
    if max(width, height) > MAX_SIDE:
        raise BadImage(f"{width}x{height} pixels, more than {MAX_SIDE:,} on one side")
    if width * height > most_pixels:
        megapixels = width * height / 1e6
        raise BadImage(
            f"{width}x{height} = {megapixels:.1f}".removesuffix(".0")
            + f" megapixels, more than {most_pixels // 10**6}: --max-megapixels {math.ceil(megapixels)} reads it"
        )
    if not (width and height):
        raise BadImage(f"{width}x{height} pixels")


def _check_promise(image: ImageFile.ImageFile, size: int) -> None:
    """Refuse a head that declares more than its file can hold, before memory is taken for it."""
    bits = image.width * image.height * _FEWEST_BITS.get(image.format or "", 0)
    if bits > 8 * size * DENSEST:
        raise BadImage(f"cut off: {image.width}x{image.height} pixels do not fit into {size} bytes")


def _to_rgb(image: Image.Image, channels: Sequence[int] | None) -> Image.Image:
    if channels is not None:
        return _chosen(image, channels)
    if image.has_transparency_data:
        over = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", over.size, "white"), over).convert("RGB")
    return image.convert("RGB")


def _chosen(image: Image.Image, channels: Sequence[int]) -> Image.Image:
    """Return the channels that were asked for, of a picture of 8 bits: of a palette those of its colours."""
    mode = image.mode if image.mode in ("L", "LA", "RGB", "RGBA") else "L" if image.mode == "1" else "RGB"
    values = np.asarray(image.convert(mode))
    values = values.reshape(*values.shape[:2], -1)
    return coloured(values[..., list(checked(channels, values.shape[2]))])


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # noqa: BLE001 - damaged metadata beside sound pixels, and readers raise what they like
        return 1
