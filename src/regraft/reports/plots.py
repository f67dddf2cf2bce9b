"""Figures -> pictures: SVG that equal figures give equal bytes of."""

from __future__ import annotations

import io
import math
import re
import textwrap
import unicodedata
import warnings
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from regraft.utils import files
from regraft.utils.streams import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure

    from regraft.metrics.curves import Bin, Covered, Curve

TINTED = 0.75  # square root of a share, up to which a cell is tinted; above, more than half of a row, it is full
BLUE, ORANGE = "#3b82f6", "#d9730d"  # both stand out from white and from black by 3 to 1 and more (WCAG 1.4.11)
FULL = "#2563eb"  # white stands out from it by 5 to 1
LOSS = "Loss"
PANEL = (4.6, 3.2)  # inches: as wide as a phone, so that the letters are not shrunk there
MOST_POINTS = 200  # of a curve; more are not seen
AXIS_COLUMNS = 42  # of the text beside an axis, in one line
LABEL_COLUMNS = 28  # longer class names lose their middle: names of one data set often differ at the end
FEW = 4  # classes: their matrix has large cells, and says 0 as well
NUMBERED_CLASSES = 30  # with more classes numbers are no longer readable: colour only


def confusion_matrix(confusion: npt.NDArray[Any], classes: Sequence[str], path: Path) -> None:
    """Write counts [k, k], rows = truth, as an SVG: count and share of the row in each cell, up to 30 classes.

    Names stay text, drawn in the fonts of whoever looks at them: every script works and can be searched. Equal counts
    and names give equal bytes.
    """
    files.write_bytes(path, _svg(lambda: draw_confusion(confusion, classes)))


def _svg(draw: Callable[[], Figure], *, transparent: bool = False) -> bytes:
    """Return a drawing as SVG with text as text; equal drawings give equal bytes."""
    import matplotlib as mpl

    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "regraft",  # the ids of shapes, otherwise random
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],  # one name: the usual list of ten is repeated at every number
    }
    content = io.BytesIO()
    with mpl.rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # from the fonts here, which do not matter
        draw().savefig(content, format="svg", metadata={"Date": None, "Creator": None}, transparent=transparent)
    return content.getvalue()


def accuracy_against_time(points: Sequence[tuple[str, float, float]], front: Collection[str]) -> str:
    """Return an SVG of (name, milliseconds for one picture, accuracy), numbered; those in `front` filled and joined."""
    return _inline(lambda: _draw_scatter(points, front))


def learning_curves(curves: Mapping[str, Sequence[float]], lines: Mapping[str, float] | None = None) -> str:
    """Return an SVG of validation accuracy after each epoch, one curve for each name, and level lines to read it by."""
    return _inline(lambda: _draw_curves(curves, lines or {}))


def confusion_drawing(confusion: npt.NDArray[Any], classes: Sequence[str]) -> str:
    """Return what `confusion_matrix` writes, as an SVG for a page."""
    return _inline(lambda: draw_confusion(confusion, classes))


def training_curves(rows: Sequence[Mapping[str, Any]], kept: int) -> tuple[str, str]:
    """Return two SVG, loss and accuracy after each epoch, from the rows of history.csv.

    A line marks where a phase begins, a ring the epoch that was kept, counted from 1 (0: none).
    """
    rows = [row for row in rows if int(row["epoch"])]  # epoch 0 is the phase before
    starts = [at + 0.5 for at in range(1, len(rows)) if rows[at]["phase"] != rows[at - 1]["phase"]]
    loss = {"training": _column(rows, "train_loss"), "validation": _column(rows, "val_loss")}
    accuracy = {"validation": _column(rows, "val_accuracy")}
    return (
        _inline(lambda: _draw_epochs(loss, LOSS, starts, kept)),
        _inline(lambda: _draw_epochs(accuracy, "Accuracy", starts, kept)),
    )


def reliability_diagram(bins: Sequence[Bin]) -> str:
    """Return an SVG: how often each confidence is right, beside the line of a model as sure as it is right."""
    return _inline(lambda: _draw_reliability([one for one in bins if one.pictures]))


def coverage_curve(points: Sequence[Covered]) -> str:
    """Return an SVG: how accurate the predictions are when the least sure ones are left to a human."""
    return _inline(lambda: _draw_coverage(points))


def threshold_curve(curve: Curve, x: str, y: str, at: tuple[float, float] | None = None) -> str:
    """Return an SVG of what each threshold gives, with its band, the axes' names, and a dot `at` the one in use."""
    return _inline(lambda: _draw_thresholds(curve, x, y, at))


def embedding_map(
    places: npt.NDArray[Any], labels: npt.NDArray[Any], classes: Sequence[str], ringed: Sequence[bool]
) -> str:
    """Return an SVG of pictures at places [n, 2], coloured by class; the dots are one image, so that it stays small."""
    return _inline(lambda: _draw_map(places, labels, classes, np.asarray(ringed, bool)))


def _draw_map(
    places: npt.NDArray[Any], labels: npt.NDArray[Any], classes: Sequence[str], ringed: npt.NDArray[np.bool_]
) -> Figure:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 5.0), layout="constrained", dpi=160)
    axes = figure.add_subplot()
    colours = mpl.colormaps["tab10" if len(classes) <= 10 else "tab20"].colors  # type: ignore[attr-defined]
    for label, name in enumerate(classes):
        here = places[labels == label]
        colour = colours[label % len(colours)]
        axes.scatter(here[:, 0], here[:, 1], s=9, linewidths=0, color=colour, label=_short(name), rasterized=True)
    axes.scatter(
        places[ringed, 0],
        places[ringed, 1],
        s=42,
        facecolors="none",
        edgecolors="black",
        linewidths=0.8,
        rasterized=True,
    )
    axes.set(xticks=[], yticks=[])
    if len(classes) <= 20:
        axes.legend(frameon=False, fontsize=8, markerscale=2, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _inline(draw: Callable[[], Figure]) -> str:
    """Return a drawing for the inside of a page, in the page's ink: without the head and the addresses of a file."""
    text = _svg(draw, transparent=True).decode()
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r' (xmlns(:\w+)?|version)="[^"]*"', "", text)  # what is inside HTML needs none
    used = set(re.findall(r"#([\w-]+)", text))
    text = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", text)  # one id, one thing
    return text.replace("#000000", "currentColor")


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    return [float(row[name]) if row[name] not in ("", None) else float("nan") for row in rows]


def _panel() -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=PANEL, layout="constrained")
    axes = figure.add_subplot()
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _say_where_it_begins(axes: Axes, digits: int) -> None:
    """Begin the upright axis at a round number, and say at which where it is not 0: differences look larger then."""
    low = math.floor(axes.get_ylim()[0] * 10**digits) / 10**digits
    if low > 0:
        axes.set_ylim(bottom=low)
        axes.set_ylabel(f"{axes.get_ylabel()}\n(axis begins at {low:.{digits}f})")


def _draw_epochs(curves: Mapping[str, Sequence[float]], title: str, starts: Sequence[float], kept: int) -> Figure:
    from matplotlib.ticker import MaxNLocator

    figure, axes = _panel()
    for (name, curve), colour, style in zip(curves.items(), (BLUE, ORANGE), ("-", "--"), strict=False):
        axes.plot(
            range(1, len(curve) + 1), curve, style, color=colour, marker="." if len(curve) < 40 else "", label=name
        )
    if kept:
        validation = curves["validation"][kept - 1]
        axes.plot(kept, validation, "o", color=ORANGE, markersize=11, markerfacecolor="none", markeredgewidth=1.5)
    for start in starts:
        axes.axvline(start, color="#808080", linewidth=1, linestyle=":")
    axes.set(xlabel="Epoch", ylabel=title)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.margins(y=0.12)
    if title != LOSS:  # which has no upper end to be read against
        _say_where_it_begins(axes, 2)
    if len(curves) > 1:
        axes.legend(frameon=False)
    return figure


def _draw_reliability(bins: Sequence[Bin]) -> Figure:
    figure, axes = _panel()
    axes.plot([0, 1], [0, 1], color="#808080", linewidth=1, linestyle="--")
    most = max(one.pictures for one in bins)
    axes.scatter(  # area: how many pictures
        [one.confidence for one in bins],
        [one.accuracy for one in bins],
        s=[12 + 140 * one.pictures / most for one in bins],
        color=BLUE,
        linewidths=0,
        alpha=0.8,
    )
    low = min(0.95, *(min(one.confidence, one.accuracy) for one in bins))
    axes.set(xlabel="How sure the model is", ylabel="How often it is right")
    axes.set(xlim=(max(0, low - 0.05), 1.03), ylim=(low - 0.05, 1.03))
    _say_where_it_begins(axes, 2)
    return figure


def _draw_coverage(points: Sequence[Covered]) -> Figure:
    figure, axes = _panel()
    few = [points[at] for at in np.unique(np.linspace(0, len(points) - 1, MOST_POINTS).round().astype(int))]
    axes.plot(
        [100 * one.coverage for one in few],
        [100 * one.accuracy for one in few],
        color=BLUE,
        marker="." if len(few) < 20 else "",
    )
    axes.set(xlabel="Pictures predicted, % (the surest first)", ylabel="Right, %", xlim=(0, 102))
    low = min(100 * one.accuracy for one in points)
    axes.set_ylim(max(0, low - 0.1 * (100 - low) - 0.5), 100 + 0.05 * (100 - low) + 0.05)
    _say_where_it_begins(axes, 0)
    return figure


def _draw_thresholds(curve: Curve, x: str, y: str, at: tuple[float, float] | None) -> Figure:
    figure, axes = _panel()
    axes.fill_between(curve.grid, curve.low, curve.high, color=BLUE, alpha=0.2, linewidth=0)
    few = np.unique(np.linspace(0, len(curve.x) - 1, 5 * MOST_POINTS).round().astype(int))
    axes.plot(curve.x[few], curve.y[few], color=BLUE)
    if at is not None:
        axes.plot(*at, "o", color=ORANGE, markersize=8)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.04))
    axes.set_xlabel(_wrapped(x), parse_math=False)  # they name classes
    axes.set_ylabel(_wrapped(y), parse_math=False)
    return figure


def _draw_scatter(points: Sequence[tuple[str, float, float]], front: Collection[str]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    on = sorted((milliseconds, accuracy) for name, milliseconds, accuracy in points if name in front)
    axes.plot([x for x, _ in on], [y for _, y in on], color=BLUE, linewidth=1)
    numbers: dict[tuple[float, float], list[str]] = defaultdict(list)  # a network's methods may lie on one place
    for number, (name, milliseconds, accuracy) in enumerate(points, start=1):
        face = BLUE if name in front else "none"
        axes.plot(milliseconds, accuracy, "o", color=BLUE, markerfacecolor=face)
        numbers[milliseconds, accuracy].append(str(number))
    for place, there in numbers.items():
        axes.annotate(", ".join(there), place, xytext=(5, 3), textcoords="offset points", fontsize=8)
    axes.set(xlabel="Time for one picture, ms", ylabel="Accuracy on the test pictures")
    axes.margins(x=0.1, y=0.12)
    _say_where_it_begins(axes, 2)
    axes.grid(alpha=0.3)
    return figure


def _draw_curves(curves: Mapping[str, Sequence[float]], lines: Mapping[str, float]) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(5.6, 3.2), layout="constrained")
    axes = figure.add_subplot()
    for (name, curve), style, colour in zip(curves.items(), ("-", "--", ":", "-."), (BLUE, ORANGE) * 2, strict=False):
        axes.plot(range(1, len(curve) + 1), curve, style, color=colour, marker=".", label=name)
    for (name, height), style in zip(lines.items(), (":", "--"), strict=False):
        axes.axhline(height, color="#808080", linewidth=1, linestyle=style, label=name)
    axes.set(xlabel="Epoch", ylabel="Accuracy on the validation pictures")
    _say_where_it_begins(axes, 2)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    return figure


def draw_confusion(confusion: npt.NDArray[Any], classes: Sequence[str]) -> Figure:
    """Draw counts [k, k], rows = truth, as a figure that belongs to no window."""
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure

    numbered = len(classes) <= NUMBERED_CLASSES
    names = [_short(name) for name in classes]
    cell, points = (0.9, 11) if len(classes) <= FEW else (0.55, 9) if numbered else (0.16, 7)  # inches; type of names
    side, margin = len(classes) * cell, 0.4 + max(map(_columns, names)) * points * 0.64 / 72
    width, height = margin + side + (0.2 if numbered else 1.0), margin + side + 0.4
    figure = Figure(figsize=(width, height))
    # placed by hand, in inches: the layout must not depend on the fonts of this machine
    axes = figure.add_axes((margin / width, margin / height, side / width, side / height))

    shares = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)  # a class without pictures: an empty row
    norm = PowerNorm(0.5, vmin=0, vmax=1)  # the square root: 2 % of confusions are seen too
    # many cells become one image: 100 classes as shapes are 2 MB
    mesh = axes.pcolormesh(
        shares, cmap=_tints(), norm=norm, edgecolors="#80808080", linewidth=0.4, rasterized=not numbered
    )
    axes.invert_yaxis()
    axes.set(xlabel="Predicted", ylabel="True")
    axes.tick_params(length=0)
    ticks = np.arange(len(classes)) + 0.5
    style: dict[str, Any] = {
        "fontsize": points,
        "ha": "right",
        "va": "center",
        "rotation_mode": "anchor",
        "parse_math": False,
    }
    axes.set_xticks(ticks, names, rotation=90, **style)  # parse_math: a "$" in a name is a dollar, not a formula
    axes.set_yticks(ticks, names, **style)
    if numbered:  # each cell says its share: no need of a scale
        _write_numbers(axes, confusion, shares, full=norm(shares) > TINTED)
        return figure
    bar = figure.add_axes(((margin + side + 0.2) / width, margin / height, 0.15 / width, side / height))
    figure.colorbar(mesh, cax=bar, ticks=[0, 0.05, 0.25, 0.5, 1], format=lambda share, _: f"{share:.0%}")
    bar.tick_params(labelsize=7)
    bar.set_title("of row", fontsize=7)
    return figure


def _write_numbers(axes: Axes, confusion: npt.NDArray[Any], shares: npt.NDArray[Any], full: npt.NDArray[Any]) -> None:
    """Count and share in every cell that holds pictures, and on the whole diagonal; of few classes in every cell."""
    few = len(confusion) <= FEW
    for row, column in np.argwhere((confusion > 0) | np.eye(len(confusion), dtype=bool) | few):
        count = confusion[row, column]
        text = f"{count}\n{_percent(shares[row, column])}" if count else "0"
        colour = "white" if full[row, column] else "black"  # black is the ink of whatever page it is on
        axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=11 if few else 7, color=colour)


def _tints() -> ListedColormap:
    """Return the colours of shares: from nothing, so that a dark page stays dark, over tints to one full colour."""
    from matplotlib.colors import ListedColormap, to_rgb

    steps = np.linspace(0, 1, 256)
    strength = np.where(steps > TINTED, 1.0, steps)
    return ListedColormap([(*to_rgb(FULL), one) for one in strength.tolist()])


def _percent(share: float) -> str:
    """A share in whole percent, never rounded to nothing or to everything: one picture in 300 is not 0 %."""
    return "<1%" if 0 < share < 0.01 else ">99%" if 0.99 < share < 1 else f"{share:.0%}"


def _wrapped(text: str) -> str:
    """A text that may name classes, in lines that fit beside an axis."""
    return textwrap.fill(_clean(text), AXIS_COLUMNS, max_lines=2, placeholder="…")


def _clean(name: str) -> str:
    """A name without characters that an XML file cannot hold."""
    return "".join("\ufffd" if unicodedata.category(c) in ("Cc", "Cs") else c for c in one_line(name))


def _short(name: str) -> str:
    """A name of at most LABEL_COLUMNS columns, without characters that an XML file cannot hold."""
    clean = _clean(name)
    if _columns(clean) <= LABEL_COLUMNS:
        return clean
    start, end = clean, clean
    while _columns(start) > LABEL_COLUMNS // 2:
        start = start[:-1]
    while _columns(end) >= LABEL_COLUMNS // 2:
        end = end[1:]
    return f"{start}…{end}"


def _columns(text: str) -> int:
    """Width in columns: Chinese, Japanese and Korean characters take two, combining marks none."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
