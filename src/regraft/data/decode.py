"""Decode bytes -> pixels [s, s, 3]: every kind of picture becomes the same uint8 RGB square."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b
from io import BytesIO
from typing import Any

import numpy as np
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

from regraft.errors import BadImage, ConfigError, UnknownName

MAX_MEGAPIXELS = 89
"""The size above which Pillow itself warns of a decompression bomb."""

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

    size: int = 224  # side in pixels of the square that the network sees
    resize: int = 256  # the shorter side, before the centre crop
    fit: str = "crop"  # crop: the centre of the picture; stretch: the whole picture, its sides made equal
    interpolation: str = "bilinear"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # on the range 0..scale
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    scale: float = 1.0  # pixel values run from 0 to this before mean and std; 255 for Caffe's networks
    channels: str = "RGB"

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

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values, as `from_dict` reads them."""
        return asdict(self) | {"mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocessing:
        """Read what `as_dict` wrote."""
        return cls(**{**values, "mean": tuple(values["mean"]), "std": tuple(values["std"])})


def digest(content: bytes) -> str:
    """Return the name of a picture's content: BLAKE2b, 16 bytes, as 32 hexadecimal digits."""
    return blake2b(content, digest_size=16).hexdigest()


def decode(content: bytes, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Decode the bytes of one file to the square that the network sees. Safe to call from many threads.

    Returns uint8 [size, size, 3] in RGB, whatever the file holds: transparency lies on white, 16-bit grey is divided
    by 257, the EXIF orientation is followed, of many frames the first is taken. Mean, standard deviation and
    channel order are left to the network.

    Raises:
        BadImage: The reason in plain words. A file that is cut off is refused, never filled up with grey.
    """
    with _plain_reasons():
        return _decode(content, preprocessing)


def measure(content: bytes) -> tuple[int, int, str]:
    """Return width and height in pixels as stored, and Pillow's name of the colour mode, from the file's head.

    Raises:
        BadImage: The reason in plain words.
    """
    with _plain_reasons():
        image = _open(content)
        return (*image.size, image.mode)


def bits_used(content: bytes) -> int | None:
    """Return how many bits the largest value of a grey picture of 16 bits takes; None for any other picture.

    Raises:
        BadImage: The reason in plain words.
    """
    with _plain_reasons():
        image = _open(content)
        if not _is_deep(image) or image.mode == "F":
            return None
        _check_dimensions(*image.size)
        return max(0, int(np.asarray(image).max())).bit_length()


@contextlib.contextmanager
def _plain_reasons() -> Iterator[None]:
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


_READERS: tuple[tuple[bytes, Callable[[BytesIO], ImageFile.ImageFile]], ...] = (
    (b"\xff\xd8\xff", JpegImageFile),
    (b"\x89PNG\r\n\x1a\n", PngImageFile),
    (b"RIFF", WebPImageFile),
    (b"BM", BmpImageFile),
    (b"II*\0", TiffImageFile),
    (b"MM\0*", TiffImageFile),
    (b"II+\0", TiffImageFile),  # BigTIFF
    (b"MM\0+", TiffImageFile),
    (b"GIF8", GifImageFile),
    (b"\0\0\0\x0cjP  ", Jpeg2KImageFile),
    (b"\xff\x4f\xff\x51", Jpeg2KImageFile),
    *((b"P" + kind, PpmImageFile) for kind in (b"1", b"2", b"3", b"4", b"5", b"6")),
)


def _decode(content: bytes, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    image = _open(content)
    _check_dimensions(*image.size)  # from the header: nothing large has been allocated yet
    _check_promise(image, len(content))
    image.draft(None, (preprocessing.resize, preprocessing.resize))  # a large JPEG is decoded at 1/2, 1/4 or 1/8
    image.load()
    square = _to_rgb(image).resize(
        (preprocessing.size, preprocessing.size),
        INTERPOLATIONS[preprocessing.interpolation],
        box=_seen(image.size, preprocessing),
    )
    turn = _TURNS.get(_orientation(image))  # a square about the centre may be turned last, when it is small
    return np.array(square if turn is None else square.transpose(turn))


def _seen(size: tuple[int, int], preprocessing: Preprocessing) -> tuple[float, float, float, float]:
    """Return the part of the picture that becomes the square, so that resizing and cropping are one step."""
    width, height = size
    if preprocessing.fit == "stretch":
        return (0, 0, width, height)
    side = preprocessing.size * min(size) / preprocessing.resize
    x, y = (width - side) / 2, (height - side) / 2
    return (x, y, x + side, y + side)


def _open(content: bytes) -> ImageFile.ImageFile:
    # Not Image.open: it warns about large pictures before they can be refused, and warnings cannot be silenced
    # in one thread alone. It would also try formats that start other programs.
    if not content:
        raise BadImage("0 bytes")
    for signature, reader in _READERS:
        if content.startswith(signature):
            return reader(BytesIO(content))
    if _is_targa(content[:18]):
        return TgaImageFile(BytesIO(content))
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


def _check_dimensions(width: int, height: int) -> None:
    megapixels = width * height / 1e6
    if megapixels > MAX_MEGAPIXELS:
        said = f"{megapixels:.1f}".removesuffix(".0")
        raise BadImage(f"{width}x{height} = {said} megapixels, more than {MAX_MEGAPIXELS}")
    if max(width, height) > MAX_SIDE:
        raise BadImage(f"{width}x{height} pixels, more than {MAX_SIDE:,} on one side")
    if not megapixels:
        raise BadImage(f"{width}x{height} pixels")


def _check_promise(image: ImageFile.ImageFile, size: int) -> None:
    """Refuse a head that declares more than its file can hold, before memory is taken for it."""
    bits = image.width * image.height * _FEWEST_BITS.get(image.format or "", 0)
    if bits > 8 * size * DENSEST:
        raise BadImage(f"cut off: {image.width}x{image.height} pixels do not fit into {size} bytes")


def _to_rgb(image: Image.Image) -> Image.Image:
    if _is_deep(image):
        return Image.fromarray(_to_bytes(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        over = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", over.size, "white"), over).convert("RGB")
    return image.convert("RGB")


def _is_deep(image: Image.Image) -> bool:
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _to_bytes(grey: NDArray[Any]) -> NDArray[np.uint8]:
    """Bring grey values of more than 8 bits to 0..255: integers from 0..65535, reals from 0..1 or 0..255."""
    low, high = float(grey.min()), float(grey.max())
    real = grey.dtype.kind == "f"
    limit = 255 if real else 65535
    if not 0 <= low <= high <= limit:  # also refuses NaN
        raise BadImage(f"grey values from {low:g} to {high:g}, outside 0 to {limit}")
    factor = (255 if high <= 1 else 1) if real else 1 / 257
    return (grey * factor + 0.5).astype(np.uint8)


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
