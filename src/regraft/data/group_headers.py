"""List the ways in which headers may tell groups of pictures: patients and studies of DICOM, cameras and days of EXIF.

As with names, whether such groups matter is for the pictures to say: `regraft.grouping` asks them.
"""

from __future__ import annotations

import numpy as np

from regraft.data.group_names import Naming, plausible
from regraft.data.headers import headers
from regraft.data.manifest import Manifest

PATIENT = "PatientID"
"""The one tag that leaves no doubt of what its groups are."""

TAGS = {
    PATIENT: (0, "the patient in their DICOM headers"),
    "StudyInstanceUID": (0, "the study in their DICOM headers"),
    "SeriesInstanceUID": (0, "the series in their DICOM headers"),
    "BodySerialNumber": (4, "the serial number of the camera in their EXIF headers"),
    "DateTimeOriginal:day": (4, "the day in their EXIF headers"),  # of one rank with the day in names
}
"""What `scan` takes as groups -> (rank among the ways that names tell, what it is), the coarser first."""

PROBED = 30  # heads; in a plausible way half of the pictures have the tag, and all 30 would lack it once in 10^9


def header_namings(manifest: Manifest, seed: int = 0) -> list[Naming]:
    """Return the tags that would make plausible groups, as `namings` does of names; a picture without it is one.

    Opens every picture's file, and reads its head; only those of 30 where these have no such tag.
    """
    paths = [item.path for item in manifest.items]
    probed = np.random.default_rng(seed).permutation(len(paths))[:PROBED]
    told = zip(TAGS, zip(*headers([paths[at] for at in probed], *TAGS), strict=True), strict=False)
    known = [tag for tag, texts in told if any(texts)]
    columns = zip(*headers(paths, *known), strict=True) if known else ()
    ways = [_naming(tag, texts, manifest) for tag, texts in zip(known, columns, strict=True)]
    return [way for way in ways if plausible(way.groups, manifest)]


def _naming(tag: str, texts: tuple[str | None, ...], manifest: Manifest) -> Naming:
    rank, said = TAGS[tag]
    if lacking := texts.count(None):
        said = f"{said}, which {lacking} of {len(texts)} lack"
    groups = [text or item.name for text, item in zip(texts, manifest.items, strict=True)]
    return Naming(tag, groups, said, rank, in_headers=True)
