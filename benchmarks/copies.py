"""What of planted copies does `regraft check` list, and what does it take for copies? What of swapped labels?

    python benchmarks/copies.py ../shared/data              # and pictures of Debian packages, where these are unpacked
    python benchmarks/copies.py ../shared/data --debian DIR --skimage DIR --pages DIR

Each set is written to a folder, copies of a seventh of its pictures are planted with a seed (each kind of change alone,
and all at once), and `regraft check` goes over it, with the default network. A pair of pictures neither of which was
planted, and which are not of one original, counts as false; some are copies all the same, which were there before: the
page of each check shows them, for you to judge. The thresholds were chosen on cells and textures, the rest in view.

Sets: malaria cells, photographs of insects, CIFAR-10 (32 pixels: turned by any angle, little is left), objects on plain
walls in uneven light (`tuxpaint-stamps-default` of Debian), patches of textures and photographs (scikit-image's wheel),
patches of landscapes (`mate-backgrounds`). A set that is not at hand is skipped.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

import regraft

Labelled = tuple[str, Image.Image]
Change = Callable[[Image.Image, np.random.Generator], Image.Image]
MOST = 1000  # pictures of a set


# ---- pictures -------------------------------------------------------------------------------------------------------


def folder(path: Path, rng: np.random.Generator, most: int = MOST) -> list[Labelled]:
    """Return pictures of a folder of class folders."""
    paths = sorted(each for each in path.rglob("*.*") if each.suffix in (".jpg", ".png"))
    chosen = [paths[at] for at in np.sort(rng.permutation(len(paths))[:most])]
    return [(each.parent.name, Image.open(each).convert("RGB")) for each in chosen]


def objects(path: Path, rng: np.random.Generator) -> list[Labelled]:
    """Put photographs of objects, large enough to tell, on walls of 224 pixels in uneven light."""
    found = []
    for each in sorted(path.rglob("*.png")):
        image = Image.open(each).convert("RGBA")
        if {"symbols", "cartoon", "hobbies"} & set(each.parts) or max(image.size) < 150:
            continue
        image.thumbnail((190, 190), Image.Resampling.LANCZOS)
        paper, place = wall(224, rng), [int(rng.integers(0, 224 - side + 1)) for side in image.size]
        paper.paste(image, (place[0], place[1]), image)
        found.append((each.relative_to(path).parts[0], paper))
    return found


def wall(side: int, rng: np.random.Generator) -> Image.Image:
    y, x = np.mgrid[:side, :side] / side - 0.5
    angle = rng.uniform(0, 2 * math.pi)
    light = rng.uniform(165, 225) + rng.uniform(10, 60) * (x * math.cos(angle) + y * math.sin(angle))
    light = light[..., None] - rng.uniform(0, 60) * (x * x + y * y)[..., None] + rng.normal(0, 3, (side, side, 3))
    return Image.fromarray(light.clip(0, 255).astype(np.uint8))


TEXTURES = ("brick", "grass", "gravel", "moon", "ihc", "hubble_deep_field", "retina", "coffee", "chelsea", "astronaut")


def textures(path: Path, rng: np.random.Generator) -> list[Labelled]:
    """Cut pictures into patches that do not overlap."""
    images = [(name, Image.open(next(path.glob(f"{name}.*"))).convert("RGB")) for name in TEXTURES]
    return [(name, patch) for name, image in images for patch in patches(image, 112, 30, rng)]


def scenes(path: Path, rng: np.random.Generator) -> list[Labelled]:
    """Cut photographs into patches that do not overlap."""
    cut = []
    for number, each in enumerate(sorted(path.glob("*.jpg"))):
        image = Image.open(each).convert("RGB")
        image = image.resize((1600, round(1600 * image.height / image.width)), Image.Resampling.LANCZOS)
        cut += [(f"scene{number % 4}", patch) for patch in patches(image, 200, 24, rng)]
    return cut[:MOST]


def patches(image: Image.Image, side: int, most: int, rng: np.random.Generator) -> list[Image.Image]:
    places = [(x, y) for y in range(0, image.height - side + 1, side) for x in range(0, image.width - side + 1, side)]
    return [
        image.crop((x, y, x + side, y + side)) for x, y in (places[at] for at in rng.permutation(len(places))[:most])
    ]


# ---- changes --------------------------------------------------------------------------------------------------------


def turned(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return image.rotate(float(rng.uniform(5, 355)), Image.Resampling.BICUBIC)


def mirrored(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def cropped(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Leave 92 % of each side, from anywhere."""
    width, height = round(0.92 * image.width), round(0.92 * image.height)
    x, y = (int(rng.integers(0, all - part + 1)) for all, part in ((image.width, width), (image.height, height)))
    return image.crop((x, y, x + width, y + height))


def relit(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    factor = float(rng.choice([rng.uniform(0.8, 0.9), rng.uniform(1.1, 1.2)]))
    return image.point(lambda value: min(255, int(factor * value)))


def smaller(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    factor = float(rng.uniform(0.5, 0.9))
    return image.resize((max(8, round(factor * image.width)), max(8, round(factor * image.height))))


def squeezed(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return image.resize((96, 96) if min(image.size) > 40 else (28, 28))


CHANGES: dict[str, tuple[Change, ...]] = {
    "turned": (turned,),
    "mirrored": (mirrored,),
    "cropped": (cropped,),
    "jpeg": (),
    "relit": (relit,),
    "turned mirrored relit jpeg": (turned, mirrored, relit),
    "cropped mirrored relit jpeg": (cropped, mirrored, relit),
    "turned cropped jpeg": (turned, cropped),
    "all at once": (turned, mirrored, cropped, relit),
    "smaller jpeg": (smaller,),
    "squeezed jpeg": (squeezed,),
}
ALONE = ("turned", "mirrored", "cropped", "jpeg", "relit")


def plant(pictures: list[Labelled], place: Path, rng: np.random.Generator, each: int) -> dict[str, str]:
    """Write pictures and copies as files named after the original; returns the kind of change of each copy."""
    for number, (label, image) in enumerate(pictures):
        (place / label).mkdir(parents=True, exist_ok=True)
        image.save(place / label / f"{number:05d}.png")
    chosen = np.concatenate([rng.permutation(len(pictures)) for _ in range(-(-each * len(CHANGES) // len(pictures)))])
    kinds = {}
    for at, kind in enumerate(kind for kind in CHANGES for _ in range(each)):
        label, image = pictures[chosen[at]]
        for change in CHANGES[kind]:
            image = change(image, rng)
        name = f"{label}/{chosen[at]:05d}_{at}.{'jpg' if kind not in ALONE or kind == 'jpeg' else 'png'}"
        image.save(place / name, quality=60)
        kinds[name] = kind
    return kinds


# ---- what is found --------------------------------------------------------------------------------------------------


def measure(name: str, pictures: list[Labelled], place: Path, pages: Path, seed: int, each: int) -> None:
    rng = np.random.default_rng(seed)
    kinds = plant(pictures, place, rng, each)
    began = time.perf_counter()
    found = regraft.check(place, out=pages / name)
    pairs = {
        frozenset((remark.filename, remark.other))
        for kind in ("near-duplicate", "duplicate", "label-conflict")
        for remark in found.audit.of(kind)
    }
    true = {pair for pair in pairs if len({original(picture) for picture in pair}) == 1}
    told = {kind: [] for kind in CHANGES}
    for copy, kind in kinds.items():
        told[kind].append(any(copy in pair for pair in true))
    false = {frozenset(map(original, pair)) for pair in pairs - true}
    listed = len({original(next(iter(pair))) for pair in true}) + len(false)
    alone, everything = (np.mean([hit for kind in those for hit in told[kind]]) for those in (ALONE, CHANGES))
    print(
        f"\n{name}: {len(pictures)} pictures, {len(kinds)} copies, {time.perf_counter() - began:.0f} s\n"
        f"  found of single changes {alone:.3f}, of all {everything:.3f}; "
        f"not planted: {len(false)} of {listed} listed ({len(false) / max(listed, 1):.1%})\n  "
        + ", ".join(f"{kind} {np.mean(hits):.2f}" for kind, hits in told.items()),
        flush=True,
    )


def original(picture: str) -> str:
    return Path(picture).stem[:5]


def swapped(name: str, pictures: list[Labelled], place: Path, pages: Path, seed: int) -> None:
    """Give 1 in 20 pictures another label, and say what of it is listed, and how many were expected."""
    rng = np.random.default_rng(seed)
    classes = sorted({label for label, _ in pictures})
    moved = set(rng.permutation(len(pictures))[: round(0.05 * len(pictures))].tolist())
    for number, (label, image) in enumerate(pictures):
        given = str(rng.choice([each for each in classes if each != label])) if number in moved else label
        (place / given).mkdir(parents=True, exist_ok=True)
        image.save(place / given / f"{number:05d}.png")
    audit = regraft.check(place, out=pages / f"{name}-labels").audit
    listed = {int(original(remark.filename)) for remark in audit.of("label-error")}
    assert audit.label_quality is not None
    print(
        f"{name}, labels: {len(moved)} swapped, {(1 - audit.label_quality).sum():.0f} expected, {len(listed)} listed, "
        f"of which {len(listed & moved)} were swapped: precision {len(listed & moved) / max(len(listed), 1):.2f}, "
        f"recall {len(listed & moved) / len(moved):.2f}",
        flush=True,
    )


def sets(
    given: argparse.Namespace, rng: np.random.Generator
) -> Iterator[tuple[str, Path | None, Callable[[], list[Labelled]]]]:
    shared, share = given.folder, given.debian / "usr/share"
    for name, path, read in (
        ("malaria", shared / "malaria", folder),
        ("all malaria", shared / "malaria", partial(folder, most=6000)),
        ("insects", shared / "hymenoptera", folder),
        ("cifar", shared / "cifar", folder),
        ("objects", share / "tuxpaint/stamps", objects),
        ("textures", given.skimage, textures),
        ("scenes", share / "backgrounds/mate/nature", scenes),
    ):
        yield name, path, lambda path=path, read=read: read(path, rng)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="holds malaria, hymenoptera and cifar")
    parser.add_argument("--debian", type=Path, default=Path("/"), help="where the Debian packages are unpacked")
    parser.add_argument("--skimage", type=Path, default=Path("skimage/data"), help="the pictures of scikit-image")
    parser.add_argument("--pages", type=Path, help="a folder for the pages of the checks")
    parser.add_argument("--each", type=int, default=24, help="copies of each kind of change")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*", help="names of sets")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        place, pages = Path(temporary), given.pages or Path(temporary) / "pages"
        for name, path, read in sets(given, np.random.default_rng(given.seed)):
            if given.only and name not in given.only:
                continue
            if not path.is_dir():
                print(f"\n{name}: skipped, {path} is not there", flush=True)
                continue
            pictures = read()
            measure(name, pictures, place / name, pages, given.seed, given.each)
            if name in ("malaria", "insects", "cifar"):
                swapped(name, pictures, place / f"{name}-labels", pages, given.seed)


if __name__ == "__main__":
    main()
