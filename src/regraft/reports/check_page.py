"""An audit of data -> check.html."""

from __future__ import annotations

from regraft.audit.judging import Audit
from regraft.audit.kinds import KINDS
from regraft.data import Manifest, Preprocessing
from regraft.data.reading import read_file
from regraft.reports.pages import ROWS_OF_A_KIND, gallery, render
from regraft.reports.plots import embedding_map


def check_page(
    audit: Audit,
    manifest: Manifest,
    look: Preprocessing,
    proposal: str = "",
) -> str:
    """Return the page of a data audit: counts, a gallery and a table for each kind of finding, the data, a map.

    Pictures are shown on the scale and in the channels of `look`; `proposal` says which groups were not named.
    """
    found = {kind: audit.gathered(kind) for kind in KINDS}
    paths = {item.name: item.path for item in manifest.items}

    def read(name: str) -> bytes | None:
        return read_file(paths[name]) if name in paths else None

    ringed = {remark.filename for kind in ("label-error", "outlier") for remark in audit.of(kind)}
    return render(
        "check.html",
        audit=audit,
        proposal=proposal,
        root=manifest.root.name,
        found=found,
        shown=ROWS_OF_A_KIND,
        galleries={kind: gallery(those, read, look) for kind, those in found.items()},
        map=embedding_map(
            audit.map,
            manifest.labels[audit.mapped],
            manifest.classes,
            ringed=[manifest.items[index].name in ringed for index in audit.mapped],
        ),
    )
