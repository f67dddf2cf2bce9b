"""Read DICOM headers -> what they say of each picture, such as its patient."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from regraft.data.decode import plain_reasons
from regraft.data.dicom import OFFSET, SIGNATURE, is_dicom
from regraft.data.reading import ahead_of, opened
from regraft.errors import BadImage


def is_keyword(text: str) -> bool:
    """Say whether a text is DICOM's name of something that headers tell, such as PatientID."""
    try:
        from pydicom.datadict import tag_for_keyword
    except ImportError:
        return False
    return tag_for_keyword(text) is not None


def headers(paths: Sequence[Path], keyword: str) -> list[str | None]:
    """Return what the header of each file says under a keyword, such as PatientID; None where it says nothing."""
    return [None if isinstance(found, BadImage) else found for _, found in ahead_of(partial(_header, keyword), paths)]


def _header(keyword: str, path: Path) -> str | None:
    import pydicom

    with plain_reasons(), opened(path) as file:
        if not is_dicom(file.read(OFFSET + len(SIGNATURE))):
            return None
        file.seek(0)
        found = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=[keyword]).get(keyword)
        return str(found).strip() or None if found is not None else None
