"""Draw stained cells that look like a blood smear: for the demo and the tests, not for medicine."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from regraft.errors import ConfigError, DataError
from regraft.utils import files

CLASSES = ("healthy", "infected")

Canvas = NDArray[np.float64]  # [s, s, 3], 0..255
Mask = NDArray[np.float64]  # [s, s, 1], 0..1


def draw_cells(
    folder: Path,
    *,
    per_class: int = 300,
    patients: int = 12,
    size: int = 128,
    difficulty: float = 0.5,
    seed: int = 0,
) -> Path:
    """Draw `folder`/{healthy,infected}/P03_infected_0017.png, pictures of `size` pixels, and return `folder`.

    An infected cell holds a purple parasite, a ring or a dot; its place is in `folder`/parasites.csv (filename, x, y,
    radius; pixels). Stain and light differ by patient, and specks and platelets lie about in both classes, so that
    neither the mean colour nor a purple spot alone tells them apart. From `difficulty` 0 to 1 the parasites become
    smaller and paler. Equal arguments give equal pixels.

    Raises:
        DataError: The folder exists already; nothing is overwritten.
        ConfigError: A setting outside its range.
    """
    if per_class < 1 or patients < 1 or size < 32 or not 0 <= difficulty <= 1:
        raise ConfigError("Cells need per_class and patients of 1 or more, a size of 32 or more, difficulty in 0 to 1.")
    if folder.exists():
        raise DataError(f"{folder} exists already. Name a folder that does not.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with files.whole(folder, flushed=False) as unfinished:  # thousands of small files, drawn again in seconds
        _write(unfinished, _draw_all(per_class, patients, size, difficulty, seed))
    return folder


@dataclass(frozen=True)
class _Spot:
    """Where something lies, in pixels."""

    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class _Stain:
    """The colours of one patient's slide."""

    ground: Canvas  # [3]
    cell: Canvas
    purple: Canvas


def _write(folder: Path, cells: Iterator[tuple[str, Image.Image, _Spot | None]]) -> None:
    for label in CLASSES:
        (folder / label).mkdir(parents=True)
    with (folder / "parasites.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["filename", "x", "y", "radius"])
        for name, image, parasite in cells:
            image.save(folder / name)
            if parasite:
                writer.writerow([name, *(f"{value:.1f}" for value in (parasite.x, parasite.y, parasite.radius))])


def _draw_all(
    per_class: int, patients: int, size: int, difficulty: float, seed: int
) -> Iterator[tuple[str, Image.Image, _Spot | None]]:
    stains = [_draw_stain(np.random.default_rng([seed, patient])) for patient in range(patients)]
    for infected, label in enumerate(CLASSES):
        for number in range(per_class):
            patient = number % patients
            rng = np.random.default_rng([seed, patients, infected, number])
            image, parasite = _draw_cell(stains[patient], bool(infected), size, difficulty, rng)
            yield f"{label}/P{patient + 1:02}_{label}_{number:04}.png", image, parasite


def _draw_stain(rng: np.random.Generator) -> _Stain:
    def near(colour: tuple[int, int, int], spread: float) -> Canvas:
        return np.array(colour) + rng.normal(0, spread, 3)

    return _Stain(ground=near((232, 224, 224), 5), cell=near((212, 158, 160), 9), purple=near((104, 52, 132), 9))


def _draw_cell(
    stain: _Stain, infected: bool, size: int, difficulty: float, rng: np.random.Generator
) -> tuple[Image.Image, _Spot | None]:
    canvas = np.ones((size, size, 3)) * stain.ground
    x, y = rng.normal(size / 2, 0.02 * size, 2)
    middle = _Spot(x, y, rng.uniform(0.33, 0.40) * size)
    for _ in range(rng.integers(0, 3)):  # neighbours, cut by the edge
        canvas = _draw_body(canvas, _beside(middle, rng.uniform(1.9, 2.1), rng.uniform(0.8, 1.0), rng), stain, rng)
    canvas = _draw_body(canvas, middle, stain, rng)
    canvas = _draw_distractors(canvas, middle, stain, rng)
    parasite = None
    if infected:
        radius = rng.uniform(0.85, 1.15) * (0.10 - 0.04 * difficulty) * size
        distance = rng.uniform(0, 0.8) * (middle.radius - radius) / middle.radius
        parasite = _beside(middle, distance, radius / middle.radius, rng)
        canvas = _draw_parasite(canvas, parasite, stain, 0.95 - 0.4 * difficulty, rng)
    return _photograph(canvas, rng), parasite


def _beside(spot: _Spot, distance: float, radius: float, rng: np.random.Generator) -> _Spot:
    """Return a spot in a random direction; distance and radius are in radii of the first."""
    angle = rng.uniform(0, 2 * np.pi)
    reach = distance * spot.radius
    return _Spot(spot.x + reach * np.cos(angle), spot.y + reach * np.sin(angle), radius * spot.radius)


def _draw_body(canvas: Canvas, spot: _Spot, stain: _Stain, rng: np.random.Generator) -> Canvas:
    """Draw a red blood cell: a darker rim, and a pale middle where the disc is thin."""
    size = len(canvas)
    shade = rng.normal(0, 4)
    canvas = _paint(canvas, _blob(size, spot, 0.04, 0.008 * size, rng), stain.cell + shade - 12)
    inner = _Spot(spot.x, spot.y, 0.88 * spot.radius)
    canvas = _paint(canvas, _blob(size, inner, 0.04, 0.03 * size, rng), stain.cell + shade)
    pale = _beside(spot, rng.uniform(0, 0.15), rng.uniform(0.35, 0.5), rng)
    return _paint(canvas, _blob(size, pale, 0.08, 0.06 * size, rng), stain.cell + shade + 22, rng.uniform(0.3, 0.9))


def _draw_distractors(canvas: Canvas, cell: _Spot, stain: _Stain, rng: np.random.Generator) -> Canvas:
    """Draw what a mean colour mistakes for a parasite: platelets outside and at the rim, crystals of stain anywhere."""
    size = len(canvas)
    for _ in range(rng.poisson(1.2)):
        platelet = _beside(cell, rng.uniform(1.05, 1.35), rng.uniform(0.12, 0.28), rng)
        mask = _blob(size, platelet, 0.15, 0.015 * size, rng)
        canvas = _paint(canvas, mask, stain.purple + 30, rng.uniform(0.4, 0.8))
    for _ in range(rng.poisson(1.5)):
        speck = _beside(cell, rng.uniform(0, 1.3), rng.uniform(0.03, 0.06), rng)
        canvas = _paint(canvas, _blob(size, speck, 0.25, 0.004 * size, rng), stain.purple - 35, 0.9)
    return canvas


def _draw_parasite(canvas: Canvas, spot: _Spot, stain: _Stain, strength: float, rng: np.random.Generator) -> Canvas:
    """Draw a ring with a dark grain of chromatin on it, or a filled body with the grain inside."""
    size, blur = len(canvas), 0.006 * len(canvas)
    body = _blob(size, spot, 0.12, blur, rng)
    is_ring = rng.random() < 0.6
    if is_ring:
        body = body * (1 - _blob(size, _Spot(spot.x, spot.y, 0.55 * spot.radius), 0.12, blur, rng))
    canvas = _paint(canvas, body, stain.purple, strength)
    grain = _beside(spot, 0.8 if is_ring else 0.3, 0.35, rng)
    return _paint(canvas, _blob(size, grain, 0.1, blur, rng), stain.purple - 30, min(1.0, strength + 0.2))


def _blob(size: int, spot: _Spot, roughness: float, blur: float, rng: np.random.Generator) -> Mask:
    """Return the mask of a roundish shape, whose outline waves by `roughness` radii; `blur` is in pixels."""
    angles = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    waves = sum(rng.normal(0, roughness / k) * np.cos(k * angles + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 4))
    reach = spot.radius * (1 + waves)
    outline = np.stack([spot.x + reach * np.cos(angles), spot.y + reach * np.sin(angles)], axis=1)
    drawn = Image.new("L", (2 * size, 2 * size))  # twice as large, so that halving smooths the edge
    ImageDraw.Draw(drawn).polygon((2 * outline).ravel().tolist(), fill=255)
    soft = drawn.reduce(2).filter(ImageFilter.GaussianBlur(blur))
    return np.asarray(soft, np.float64)[..., None] / 255


def _paint(canvas: Canvas, mask: Mask, colour: Canvas, opacity: float = 1.0) -> Canvas:
    return canvas + opacity * mask * (colour - canvas)


def _photograph(canvas: Canvas, rng: np.random.Generator) -> Image.Image:
    """Add uneven light, exposure, a little defocus and the camera's noise."""
    size = len(canvas)
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j][..., None]
    light = rng.normal(1, 0.03) + rng.normal(0, 0.03) * x + rng.normal(0, 0.03) * y
    focused = Image.fromarray(np.clip(canvas * light, 0, 255).astype(np.uint8))
    blurred = focused.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.8)))
    noisy = np.asarray(blurred) + rng.normal(0, 2.5, (size, size, 3))
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
