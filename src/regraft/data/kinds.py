"""Tell files apart by name and first bytes -> pictures that are read, and what is left out, counted by suffix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from regraft.data.rows import name_some
from regraft.data.signatures import HEAD_BYTES, TOO_SHORT, format_of

IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".gif"),
    *(".pgm", ".ppm", ".pbm", ".pnm", ".tga", ".jp2", ".j2k"),
    *(".dcm", ".dicom", ".heic", ".heif", ".avif"),
)
USUAL_SUFFIXES = ".jpg, .png, .tif, .webp, .bmp, .gif, .dcm, .heic and other pictures"
"""For messages that say what was looked for."""

SIDE_SUFFIXES = (
    *(".txt", ".csv", ".tsv", ".json", ".jsonl", ".md", ".rst", ".html", ".htm", ".xml", ".yaml", ".yml", ".toml"),
    *(".ini", ".cfg", ".log", ".pdf", ".db", ".parquet", ".xls", ".xlsx", ".py", ".ipynb", ".sh", ".lnk", ".url"),
)
"""What lies beside pictures and was never meant as one."""


def suffix(name: str) -> str:
    """Return a name's suffix in lower case; nothing of the numbers that DICOM files are called by."""
    found = PurePosixPath(name).suffix.lower()
    return "" if found[1:].isdecimal() else found


def is_picture(folder: Path, name: str) -> bool:
    """Say whether a file is a picture by its suffix; one without, as scanners write DICOM, by its first bytes."""
    return suffix(name) in IMAGE_SUFFIXES or (not suffix(name) and _is_signed(folder / name))


def _is_signed(path: Path) -> bool:
    try:
        if not path.is_file():  # a pipe would wait for a writer
            return False
        with path.open("rb") as file:
            kind = format_of(file.read(HEAD_BYTES))
    except OSError:
        return False
    return kind is not None and kind not in (*TOO_SHORT, "heif")  # phones name their HEIC, and few can read it


def left_out(names: Sequence[str]) -> list[str]:
    """Return a sentence each on the files that are no pictures Regraft reads, and on those that only lie beside."""
    beside = [name for name in names if suffix(name) in SIDE_SUFFIXES]
    others = [name for name in names if suffix(name) not in SIDE_SUFFIXES]
    told = (
        (others, "Left out, since only kinds of pictures that Regraft knows are read"),
        (beside, "Passed over, since they are no pictures"),
    )
    return [f"{text}: {by_suffix(found)} ({name_some(found)})." for found, text in told if found]


def by_suffix(names: Sequence[str]) -> str:
    """Return ``38 .svg, 2 .psd``, the most frequent first."""
    counts = Counter(suffix(name) or "without suffix" for name in names).most_common()
    shown = [f"{count} {name}" for name, count in counts[:6]]
    rest = sum(count for _, count in counts[6:])
    return ", ".join([*shown, f"{rest} of other kinds"] if rest else shown)
