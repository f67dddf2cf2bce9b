"""Findings -> one self-contained HTML file each: no outside address, opens from disk, reads on a phone and on paper."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from regraft.audit.judging import Gathered
from regraft.audit.kinds import KINDS
from regraft.data import Preprocessing, decode
from regraft.errors import BadImage
from regraft.metrics.thresholds import rounded
from regraft.utils.streams import printable

if TYPE_CHECKING:
    import jinja2

TEMPLATES = [Path(__file__).parent / "templates"]  # folders: in which a page and its parts are looked for
PICTURES_OF_A_SET = 4  # of copies of one picture
PICTURES_OF_A_KIND = 12  # of 2 to 4 kB each: a page with every kind of finding stays below a megabyte
ROWS_OF_A_KIND = 200  # on the page; the table has all
LARGEST = 160  # pixels, of a picture on a page
THUMBNAIL = 96  # pixels


def gallery(
    found: Sequence[Gathered],
    read: Callable[[str], bytes | None],
    preprocessing: Preprocessing,
    labels: Mapping[str, str],
    most: int = PICTURES_OF_A_KIND,
) -> list[dict[str, Any]]:
    """Return the first findings with their pictures; none for files that cannot be read, or have changed.

    `labels` are the classes of the files, by name.
    """
    entries = []
    for remark, members in found[:most]:
        shown = [thumbnail(read, preprocessing, name) for name in members[:PICTURES_OF_A_SET]]
        if pictures := [{**one, "file": one["name"], "label": labels.get(one["name"])} for one in shown if one]:
            entries.append({"remark": remark, "members": members, "pictures": pictures})
    return entries


def thumbnail(read: Callable[[str], bytes | None], preprocessing: Preprocessing, name: str) -> dict[str, Any] | None:
    """Return a small JPEG of a picture as a data URI; None where the file has gone since."""
    try:
        content = read(name)
        return None if content is None else picture(decode(content, preprocessing.small(THUMBNAIL)), name)
    except BadImage:
        return None


def picture(pixels: np.ndarray, says: str) -> dict[str, Any]:
    """Return pixels, uint8 ``[s, s, 3]``, as a JPEG of 160 pixels at most in a data URI, with its text alternative."""
    from PIL import Image

    content, image = BytesIO(), Image.fromarray(pixels)
    image.thumbnail((LARGEST, LARGEST))
    image.save(content, "JPEG", quality=80)
    data = "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode()
    return {"data": data, "name": says, "width": image.width, "height": image.height}


def render(template: str, **values: Any) -> str:
    """Return a page or a part of one; what is not HTML in the values is escaped."""
    return _pages(*TEMPLATES).get_template(template).render(**values)


@cache
def _pages(*folders: Path) -> jinja2.Environment:
    import jinja2

    pages = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        autoescape=True,
        finalize=_shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= {"figure": _figure, "interval": _interval, "percent": _percent, "rounded": rounded}
    pages.globals["KINDS"] = KINDS
    return pages


def _shown(value: Any) -> Any:
    """Write out control characters and marks of direction in names; what is HTML already stays as it is."""
    return printable(value) if type(value) is str else value


def _figure(value: float | None, digits: int = 3) -> str:
    """Return a number for a reader; a dash where there is none."""
    return "–" if value is None or value != value else f"{value:.{digits}f}"


def _interval(bounds: Sequence[float | None]) -> str:
    """Return an interval for a reader; a dash where there is none."""
    low, high = map(_figure, bounds)
    return low if low == high == "–" else f"{low} to {high}"


def _percent(share: float) -> str:
    """Return a share in per cent, never rounded to all: 1,999 of 2,000 pictures are not 100 %."""
    rounded = f"{100 * share:.1f}"
    return "over 99.9" if share < 1 and rounded == "100.0" else rounded
