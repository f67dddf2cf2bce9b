"""An audit of data -> check.html."""

from __future__ import annotations

from typing import NamedTuple

from regraft.audit.judging import Audit, Map
from regraft.audit.kinds import KINDS
from regraft.data import Manifest, Preprocessing, read_corrections
from regraft.data.reading import read_file
from regraft.reports.pages import ROWS_OF_A_KIND, gallery, render
from regraft.reports.plots import embedding_map


class Shown(NamedTuple):
    """The pictures on the page."""

    manifest: Manifest
    preprocessing: Preprocessing  # the scale and the channels on which they are shown
    map: Map
    corrections: str | None = None  # the table that the data were corrected by, if any
    again: str = ""  # the command that obeys another one


def check_page(audit: Audit, shown: Shown, proposal: str = "") -> str:
    """Return the page of a data audit: counts, a gallery and a table for each kind of finding, the data, a map.

    `proposal` says which groups were not named.
    """
    manifest, preprocessing, mapped = shown[:3]
    found = {kind: audit.gathered(kind) for kind in KINDS}
    paths = {item.name: item.path for item in manifest.items}

    def read(name: str) -> bytes | None:
        return read_file(paths[name]) if name in paths else None

    labels = {item.name: manifest.classes[item.label] for item in manifest.items}
    ringed = {remark.filename for kind in ("label-error", "outlier") for remark in audit.of(kind)}
    return render(
        "check.html",
        audit=audit,
        proposal=proposal,
        root=manifest.root.name,
        found=found,
        shown=ROWS_OF_A_KIND,
        galleries={kind: gallery(those, read, preprocessing, labels) for kind, those in found.items()},
        classes=manifest.classes,
        earlier=read_corrections(shown.corrections),
        again=shown.again,
        mapped=len(mapped.pictures),
        map=embedding_map(
            mapped.positions,
            manifest.labels[mapped.pictures],
            manifest.classes,
            ringed=[manifest.items[index].name in ringed for index in mapped.pictures],
        ),
    )
