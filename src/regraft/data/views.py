"""Draw plain pixels -> the stored views of a picture: view 0 is plain, the others are augmented with a seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from regraft.errors import UnknownName

Augmentation = Callable[[Image.Image, np.random.Generator], Image.Image]


def draw_view(
    pixels: NDArray[np.uint8], *, view: int, digest: str, augment: Sequence[str], seed: int
) -> NDArray[np.uint8]:
    """Return one view of a picture: uint8 [s, s, 3] -> uint8 [s, s, 3].

    View 0 is `pixels` itself. Every other view depends only on the arguments, never on the order or the thread in
    which views are drawn; `digest` names the picture's content, so that each picture has its own draws. The
    augmentations of `augment` are applied in the order given.

    Raises:
        UnknownName: An augmentation that is not in `AUGMENTATIONS`.
    """
    _check(augment)
    if view == 0:
        return pixels
    rng = generator(seed, view, digest, *augment)
    image = Image.fromarray(pixels)
    for name in augment:
        image = AUGMENTATIONS[name](image, rng)
    return np.array(image)


def augmentations(text: str) -> tuple[str, ...]:
    """Read names joined by commas.

    Raises:
        UnknownName: One that is not in `AUGMENTATIONS`.
    """
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    _check(names)
    return names


def _check(names: Sequence[str]) -> None:
    for name in names:
        if name not in AUGMENTATIONS:
            raise UnknownName("augmentation", name, AUGMENTATIONS)


def generator(*key: object) -> np.random.Generator:
    """Return what draws the same numbers for the same key, on every machine."""
    entropy = blake2b("/".join(map(str, key)).encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(entropy, "big"))


def flip(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Mirror left and right, every second time."""
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else image


def vflip(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Mirror top and bottom, every second time: for pictures without an up and down, as under a microscope."""
    return image.transpose(Image.Transpose.FLIP_TOP_BOTTOM) if rng.random() < 0.5 else image


def turn(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Turn by 0, 90, 180 or 270 degrees; no pixel is resampled."""
    return Image.fromarray(np.rot90(np.asarray(image), int(rng.integers(4))))


def rotate(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Rotate by up to 15 degrees either way; the picture is mirrored at its edges, so that no black corner appears."""
    side = image.width
    # A corner of a square turned by 15° lies 0.5 (cos 15° + sin 15°) = 0.612 sides from the middle, 0.112 outside;
    # two more pixels for the interpolation.
    margin = int(0.1125 * side) + 2
    wide = np.pad(np.asarray(image), ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")
    turned = Image.fromarray(wide).rotate(rng.uniform(-15, 15), Image.Resampling.BILINEAR)
    return turned.crop((margin, margin, margin + side, margin + side))


def crop(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Cut out 70 to 100 % of the area, with sides of 3:4 to 4:3, and bring it back to full size."""
    side = image.width
    area, ratio = rng.uniform(0.7, 1.0), np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
    width, height = (side * min(1.0, float(np.sqrt(area * r))) for r in (ratio, 1 / ratio))
    x, y = rng.uniform(0, side - width), rng.uniform(0, side - height)
    return image.resize((side, side), Image.Resampling.BICUBIC, box=(x, y, x + width, y + height))


def color(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Change brightness, contrast and saturation by up to 20 % each."""
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhance(image).enhance(rng.uniform(0.8, 1.2))
    return image


AUGMENTATIONS: dict[str, Augmentation] = {
    augmentation.__name__: augmentation for augmentation in (flip, vflip, turn, rotate, crop, color)
}
