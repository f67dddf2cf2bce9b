"""Findings -> one self-contained HTML file each: no outside address, opens from disk, reads on a phone and on paper."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

from regraft.curves import coverage_accuracy, precision_recall, reliability, roc
from regraft.data import Manifest, Preprocessing, decode
from regraft.data.reading import read_file
from regraft.decision import rounded
from regraft.errors import BadImage
from regraft.plots import (
    accuracy_against_time,
    confusion_drawing,
    coverage_curve,
    embedding_map,
    learning_curves,
    reliability_diagram,
    threshold_curve,
    training_curves,
)
from regraft.streams import printable
from regraft.training import kept_epoch

if TYPE_CHECKING:
    import numpy as np

    from regraft.audit import Audit, Gathered
    from regraft.leaderboard import Control, Findings
    from regraft.reporting import Report, Shown

PICTURES_IN_REPORT = 6  # of a kind of finding: the page of `regraft check` has more
PICTURES_OF_A_SET = 4  # of copies of one picture
PICTURES_OF_A_KIND = 12  # of 2 to 4 kB each: a page with every kind of finding stays below a megabyte
ROWS_OF_A_KIND = 200  # on the page; the table has all
CLASSES_APART = 4  # of more than two, each with its two curves of 20 kB
LARGEST = 160  # pixels, of a picture on a page
THUMBNAIL = 96  # pixels


def comparison_page(findings: Findings) -> str:
    """Return the page of a comparison: the table, which differences are real, accuracy against cost, the control."""
    control = findings.control
    points = [(f"{row.backbone}-{row.method}", row.predict_ms, row.accuracy) for row in findings.done]
    return _page(
        "comparison.html",
        found=findings,
        names=[name for name, *_ in points],
        scatter=accuracy_against_time(points, findings.front),
        curves=_curves_of(control) if control else "",
    )


def _curves_of(control: Control) -> str:
    """Draw the control's curve beside the pretrained one's, or beside what that reached where it has no curve."""
    if len(control.scratch) < 2:
        return ""
    curves = {"pretrained": control.pretrained, "random weights": control.scratch}
    lines = {"always the commonest class": control.commonest, f"pretrained, {control.method}": control.reached}
    if len(control.pretrained) > 1:  # its curve says what it reached
        lines.popitem()
    return learning_curves(
        {name: curve for name, curve in curves.items() if len(curve) > 1},
        {name: height for name, height in lines.items() if height is not None},
    )


def report_page(report: Report) -> str:
    """Return the page of a run: figures in plain words, curves, mistakes, what trained, where the weights are from."""
    answers = report.answers
    look = Preprocessing.from_dict(report.about["preprocessing"])
    covered = coverage_accuracy(answers.probabilities, answers.labels)
    loss, accuracy = training_curves(report.history, kept_epoch(report.history)) if report.history else ("", "")
    return _page(
        "report.html",
        report=report,
        shown=ROWS_OF_A_KIND,
        galleries={
            kind: gallery(remarks, report.files.read, look, PICTURES_IN_REPORT)
            for kind, remarks in report.found.items()
        },
        confusion=confusion_drawing(report.confusion, report.classes),
        reliability=reliability_diagram(reliability(answers.probabilities, answers.labels)),
        coverage=coverage_curve(covered),
        all=covered[-1],
        half=next(point for point in covered if point.coverage >= 0.5),
        apart=[_apart(report, label) for label in _classes_apart(report)],
        loss=loss,
        accuracy=accuracy,
        mistakes=[_with_heat(shown) for shown in report.mistakes],
        hits=[_with_heat(shown) for shown in report.hits],
    )


def _classes_apart(report: Report) -> list[int]:
    """Return the classes that are shown against all others: of two the one looked for, of more those that do worst."""
    tested = [row for row in report.metrics["per_class"] if 0 < row["support"] < report.tested]
    if len(report.classes) > 2:
        worst = sorted(tested, key=lambda row: row["f1"])[:CLASSES_APART]
        return [report.classes.index(row["label"]) for row in worst]
    reached = report.metrics.get("threshold")
    return [report.classes.index(reached["positive"]) if reached else 1] * bool(tested)


def _apart(report: Report, positive: int) -> dict[str, Any]:
    """Return what each threshold for one class against all others would give, drawn."""
    answers, reached = report.answers, report.metrics.get("threshold") or {}
    given = (answers.probabilities, answers.labels, positive, answers.groups)
    seed = report.config["settings"]["seed"]
    found = {"roc": roc(*given, seed=seed), "precision": precision_recall(*given, seed=seed)}
    test = reached.get("test", {})
    specificity, recall, precision = (test.get(name) for name in ("specificity", "recall", "precision"))
    at = {
        "roc": None if specificity is None or recall is None else (1 - specificity, recall),
        "precision": None if precision is None or recall is None else (recall, precision),
    }
    return {
        "positive": report.classes[positive],
        "roc": found["roc"],
        "precision": found["precision"],
        "roc_drawn": threshold_curve(found["roc"], "False alarms: share of the others", "Found (recall)", at["roc"]),
        "precision_drawn": threshold_curve(
            found["precision"], "Found (recall)", "Right among the found (precision)", at["precision"]
        ),
        "reached": reached,
    }


def _with_heat(shown: Shown) -> dict[str, Any]:
    """Return a picture and its heat map, small, with what is said of them."""
    answered = f"{shown.truth}, answered {shown.answer}"
    pictures = [picture(shown.pixels, f"{shown.name}: {answered}")]
    if shown.heat is not None:
        pictures.append(picture(shown.heat, f"Heat map of {shown.name}: where it speaks for {shown.answer}"))
    return {"shown": shown, "pictures": pictures}


def check_page(
    audit: Audit,
    manifest: Manifest,
    kinds: Mapping[str, str],
    names: Mapping[str, tuple[str, str]],
    look: Preprocessing,
    proposal: str = "",
) -> str:
    """Return the page of a data audit: counts, a gallery and a table for each kind of finding, the data, a map.

    Of each kind `kinds` says what it is, and `names` what one and several findings are called. Pictures are shown on
    the scale and in the channels of `look`; `proposal` says which groups were not named.
    """
    found = {kind: audit.gathered(kind) for kind in kinds}
    paths = {item.name: item.path for item in manifest.items}

    def read(name: str) -> bytes | None:
        return read_file(paths[name]) if name in paths else None

    ringed = {remark.filename for kind in ("label-error", "outlier") for remark in audit.of(kind)}
    return _page(
        "check.html",
        audit=audit,
        proposal=proposal,
        root=manifest.root.name,
        found=found,
        kinds=kinds,
        names=names,
        shown=ROWS_OF_A_KIND,
        galleries={kind: gallery(those, read, look) for kind, those in found.items()},
        map=embedding_map(
            audit.map,
            manifest.labels[audit.mapped],
            manifest.classes,
            ringed=[manifest.items[index].name in ringed for index in audit.mapped],
        ),
    )


def gallery(
    found: Sequence[Gathered],
    read: Callable[[str], bytes | None],
    look: Preprocessing,
    most: int = PICTURES_OF_A_KIND,
) -> list[dict[str, Any]]:
    """Return the first findings with their pictures; none for files that cannot be read, or have changed."""
    entries = []
    for remark, members in found[:most]:
        shown = [thumbnail(read, look, name) for name in members[:PICTURES_OF_A_SET]]
        if pictures := [picture for picture in shown if picture]:
            entries.append({"remark": remark, "members": members, "pictures": pictures})
    return entries


def thumbnail(read: Callable[[str], bytes | None], look: Preprocessing, name: str) -> dict[str, Any] | None:
    """Return a small JPEG of a picture as a data URI; None where the file has gone since."""
    try:
        content = read(name)
        return None if content is None else picture(decode(content, look.small(THUMBNAIL)), name)
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


def _page(template: str, **values: Any) -> str:
    import jinja2

    pages = jinja2.Environment(
        loader=jinja2.PackageLoader("regraft", "pages"),
        autoescape=True,
        finalize=_shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= {"figure": _figure, "interval": _interval, "percent": _percent, "rounded": rounded}
    return pages.get_template(template).render(**values)


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
