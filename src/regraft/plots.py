"""Figures -> pictures: SVG that equal figures give equal bytes of."""

from __future__ import annotations

import io
import unicodedata
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from regraft import files

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABEL_COLUMNS = 28  # longer class names lose their middle: names of one data set often differ at the end
NUMBERED_CLASSES = 30  # with more classes numbers are no longer readable: colour only


def confusion_matrix(confusion: npt.NDArray[Any], classes: Sequence[str], path: Path) -> None:
    """Write counts [k, k], rows = truth, as an SVG: count and share of the row in each cell, up to 30 classes.

    Names stay text, drawn in the fonts of whoever looks at them: every script works and can be searched. Equal counts
    and names give equal bytes.
    """
    files.write_bytes(path, _svg(lambda: draw_confusion(confusion, classes)))


def _svg(draw: Callable[[], Figure]) -> bytes:
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
        draw().savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    return content.getvalue()


def accuracy_against_time(points: Sequence[tuple[str, float, float]], front: Collection[str]) -> str:
    """Return an SVG of (name, milliseconds for one picture, accuracy), the names in `front` filled and joined."""
    return _inline(lambda: _draw_scatter(points, front))


def learning_curves(curves: Mapping[str, Sequence[float]]) -> str:
    """Return an SVG of validation accuracy after each epoch, one line for each name."""
    return _inline(lambda: _draw_curves(curves))


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
    """Return a drawing for the inside of a page: without the head of a file."""
    text = _svg(draw).decode()
    return text[text.index("<svg") :]


def _draw_scatter(points: Sequence[tuple[str, float, float]], front: Collection[str]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.add_subplot()
    on = sorted((milliseconds, accuracy) for name, milliseconds, accuracy in points if name in front)
    axes.plot([x for x, _ in on], [y for _, y in on], color="#0a58ca", linewidth=1)
    for name, milliseconds, accuracy in points:
        face = "#0a58ca" if name in front else "white"
        axes.plot(milliseconds, accuracy, "o", color="#0a58ca", markerfacecolor=face)
        axes.annotate(_short(name), (milliseconds, accuracy), xytext=(5, 4), textcoords="offset points", fontsize=7)
    axes.set(xlabel="Time for one picture, ms", ylabel="Accuracy on the test pictures")
    axes.margins(x=0.2, y=0.12)
    axes.grid(alpha=0.3)
    return figure


def _draw_curves(curves: Mapping[str, Sequence[float]]) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for (name, curve), style in zip(curves.items(), ("-", "--", ":", "-."), strict=False):
        axes.plot(range(1, len(curve) + 1), curve, style, marker=".", label=name)
    axes.set(xlabel="Epoch", ylabel="Accuracy on the validation pictures")
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
    cell, points = (0.55, 9) if numbered else (0.16, 7)  # inches; type size of the names
    side, margin = len(classes) * cell, 0.4 + max(map(_columns, names)) * points * 0.64 / 72
    width, height = margin + side + (0.2 if numbered else 1.0), margin + side + 0.4
    figure = Figure(figsize=(width, height))
    # placed by hand, in inches: the layout must not depend on the fonts of this machine
    axes = figure.add_axes((margin / width, margin / height, side / width, side / height))

    shares = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)  # a class without pictures: an empty row
    norm = PowerNorm(0.5, vmin=0, vmax=1)  # the square root: 2 % of confusions are seen too
    # many cells become one image: 100 classes as shapes are 2 MB
    mesh = axes.pcolormesh(shares, cmap="Blues", norm=norm, edgecolors="white", linewidth=0.4, rasterized=not numbered)
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
        _write_numbers(axes, confusion, shares, dark=norm(shares) > 0.6)
        return figure
    bar = figure.add_axes(((margin + side + 0.2) / width, margin / height, 0.15 / width, side / height))
    figure.colorbar(mesh, cax=bar, ticks=[0, 0.05, 0.25, 0.5, 1], format=lambda share, _: f"{share:.0%}")
    bar.tick_params(labelsize=7)
    bar.set_title("of row", fontsize=7)
    return figure


def _write_numbers(axes: Axes, confusion: npt.NDArray[Any], shares: npt.NDArray[Any], dark: npt.NDArray[Any]) -> None:
    """Count and share in every cell that holds pictures, and on the whole diagonal."""
    for row, column in np.argwhere((confusion > 0) | np.eye(len(confusion), dtype=bool)):
        count = confusion[row, column]
        text = f"{count}\n{_percent(shares[row, column])}" if count else "0"
        colour = "white" if dark[row, column] else "black"
        axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=7, color=colour)


def _percent(share: float) -> str:
    """A share in whole percent, never rounded to nothing or to everything: one picture in 300 is not 0 %."""
    return "<1%" if 0 < share < 0.01 else ">99%" if 0.99 < share < 1 else f"{share:.0%}"


def _short(name: str) -> str:
    """A name of at most LABEL_COLUMNS columns, without characters that an XML file cannot hold."""
    clean = "".join("\ufffd" if unicodedata.category(c) in ("Cc", "Cs") else c for c in name)
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
