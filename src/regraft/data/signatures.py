"""Tell what a file is by its first bytes -> the name of its format."""

from __future__ import annotations

SIGNATURES: dict[str, tuple[tuple[int, bytes], ...]] = {
    "dicom": ((128, b"DICM"),),  # first: before it anything may stand, such as the head of a TIFF
    "jpeg": ((0, b"\xff\xd8\xff"),),
    "png": ((0, b"\x89PNG\r\n\x1a\n"),),
    "gif": ((0, b"GIF8"),),
    "webp": ((8, b"WEBP"),),
    "tiff": ((0, b"II*\0"), (0, b"MM\0*"), (0, b"II+\0"), (0, b"MM\0+")),  # the latter two: BigTIFF
    "jpeg2000": ((0, b"\0\0\0\x0cjP  "), (0, b"\xff\x4f\xff\x51")),
    "heif": tuple(
        (4, b"ftyp" + brand)
        for brand in (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis")
    ),
    "bmp": ((0, b"BM"),),
    "pnm": tuple((0, b"P" + kind) for kind in (b"1", b"2", b"3", b"4", b"5", b"6")),
}
"""(offset, bytes) of each format, one of which its files have."""

TOO_SHORT = ("bmp", "pnm")
"""Formats whose signature many a text begins with."""

HEAD_BYTES = max(at + len(bytes_) for those in SIGNATURES.values() for at, bytes_ in those)
"""How many of the first bytes tell what a file is."""


def format_of(start: bytes) -> str | None:
    """Return the format that a file has by its first bytes; None where it is none of these."""
    for name, signatures in SIGNATURES.items():
        if any(start.startswith(signature, at) for at, signature in signatures):
            return name
    return None
