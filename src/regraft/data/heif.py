"""Open HEIC and AVIF: AVIF with Pillow where it can, both with pillow-heif (an extra)."""

from __future__ import annotations

from io import BytesIO

from PIL.ImageFile import ImageFile

from regraft.errors import BadImage, MissingExtra


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
