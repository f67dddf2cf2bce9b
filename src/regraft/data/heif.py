"""Open HEIC and AVIF: AVIF with Pillow where it can, both with pillow-heif (an extra)."""

from __future__ import annotations

from io import BytesIO

from PIL.ImageFile import ImageFile

from regraft.errors import BadImage, MissingExtra

_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis")


def is_heif(content: bytes) -> bool:
    """Say whether bytes begin as a HEIC or AVIF file does."""
    return content[4:8] == b"ftyp" and content[8:12] in _BRANDS


def read_heif(content: bytes) -> ImageFile:
    """Open the main picture of a HEIC or AVIF file.

    Raises:
        BadImage: nothing that is installed reads it.
    """
    if content[8:11] == b"avi":
        try:
            from PIL import AvifImagePlugin, features

            if features.check("avif"):
                return AvifImagePlugin.AvifImageFile(BytesIO(content))
        except ImportError:  # a Pillow before 11.3
            pass
    try:
        from pillow_heif.as_plugin import HeifImageFile
    except ImportError as error:
        raise BadImage(str(MissingExtra("pillow-heif", "heif", "Reading HEIC and AVIF"))) from error
    found: ImageFile = HeifImageFile(BytesIO(content))
    return found
