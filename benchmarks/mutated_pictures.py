"""Decode thousands of damaged pictures and count what becomes of them: read, refused in words, or a fault of Regraft's.

    python benchmarks/mutated_pictures.py 10000

A fault is anything but pixels or a `BadImage`: another exception, a process that dies, a picture that takes more than
5 seconds, or a peak of memory above 1.5 GB. The exit status is 1 where there was one. Every number has a seed, and a
picture that does harm is kept in a folder, so that it can become a test.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

MOST_SECONDS = 5.0
MOST_BYTES = 1.5e9
SHARED = Path(__file__).resolve().parents[2] / "shared"
ODD = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0", b"\0\0\0\1", b"\x80\0\0\0")


@dataclass
class Found:
    """What became of the pictures."""

    tried: int = 0
    read: int = 0
    refused: int = 0
    faults: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    peak_mb: float = 0.0
    reasons: dict[str, int] = field(default_factory=dict)


# ---- pictures, and what befalls them ---------------------------------------------------------------------------------


def sound_pictures(photographs: int = 4) -> list[tuple[str, bytes]]:
    """Return (kind, bytes) of photographs, or drawn ones where none are at hand, in every way that is read."""
    paths = sorted(path for path in SHARED.glob("**/*.jpg"))[
        :: max(1, len(list(SHARED.glob("**/*.jpg"))) // photographs)
    ]
    images = [Image.open(path).convert("RGB") for path in paths[:photographs]] or [_drawn()]
    for image in images:
        image.thumbnail((400, 400))
    return [(kind, content) for image in images for kind, content in _encoded(image)]


def _drawn() -> Image.Image:
    y, x = np.mgrid[:300, :400]
    return Image.fromarray(np.stack([x * y // 500, x // 2, y], -1).astype(np.uint8))


def _encoded(image: Image.Image) -> Iterator[tuple[str, bytes]]:
    grey, deep = image.convert("L"), np.asarray(image).astype(np.uint16) * 16
    ways = (
        *((image, "png", {}), (image.quantize(64), "png", {}), (image.convert("RGBA"), "png", {})),
        *((image, "jpeg", {}), (image, "jpeg", {"progressive": True}), (image.convert("CMYK"), "jpeg", {})),
        *((image, "webp", {}), (image, "webp", {"lossless": True})),
        *((image, "bmp", {}), (image.quantize(16), "bmp", {}), (image, "gif", {}), (grey, "gif", {})),
        *((image, "tiff", {"compression": way}) for way in (None, "tiff_lzw", "jpeg", "tiff_adobe_deflate")),
        *((grey, "ppm", {}), (image, "tga", {"compression": "tga_rle"}), (image, "jpeg2000", {})),
        (Image.fromarray(deep[..., 0]), "png", {}),
    )
    for picture, kind, options in ways:
        buffer = io.BytesIO()
        picture.save(buffer, kind, **{name: value for name, value in options.items() if value is not None})
        yield kind, buffer.getvalue()
    for options in ({"photometric": "rgb"}, {"photometric": "rgb", "compression": "zlib", "tile": (64, 64)}):
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, deep, **options)
        yield "tiff", buffer.getvalue()
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.moveaxis(deep, 2, 0), imagej=True, metadata={"axes": "CYX"})
    yield "tiff", buffer.getvalue()


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Return a picture with one to many faults, half of them in its head."""
    damaged = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        end = min(len(damaged), rng.choice((64, 512, len(damaged))))
        at = rng.randrange(max(1, end))
        rng.choice(_FAULTS)(damaged, at, rng)
    return bytes(damaged)


def _flip(content: bytearray, at: int, rng: random.Random) -> None:
    content[at : at + 1] = bytes([rng.randrange(256)])


def _extreme(content: bytearray, at: int, rng: random.Random) -> None:
    content[at : at + 4] = rng.choice(ODD)


def _cut(content: bytearray, at: int, rng: random.Random) -> None:
    del content[max(at, len(content) // 8) :]


def _drop(content: bytearray, at: int, rng: random.Random) -> None:
    del content[at : at + rng.randrange(1, 64)]


def _double(content: bytearray, at: int, rng: random.Random) -> None:
    content[at:at] = content[at : at + rng.randrange(1, 256)]


def _blank(content: bytearray, at: int, rng: random.Random) -> None:
    size = len(content[at : at + rng.randrange(1, 256)])
    content[at : at + size] = bytes(size)


_FAULTS = (_flip, _flip, _flip, _extreme, _extreme, _cut, _drop, _double, _blank)


def mutants(count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yield (kind, bytes) of so many damaged pictures; the same for the same seed."""
    sound = sound_pictures()
    for number in range(count):
        kind, content = sound[number % len(sound)]
        yield kind, mutated(content, random.Random(f"{seed}/{number}"))


# ---- trying them -----------------------------------------------------------------------------------------------------


def try_all(count: int, seed: int = 0, *, at_once: int = 500, keep: Path | None = None) -> Found:
    """Decode damaged pictures in processes of their own, and say what became of them."""
    found = Found()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = []
        for number, (kind, content) in enumerate(mutants(count, seed)):
            paths.append(folder / f"{number}.{kind}")
            paths[-1].write_bytes(content)
        left = paths
        while left:
            left = left[_try(left[:at_once], found, keep) :]
    if found.peak_mb * 1e6 > MOST_BYTES:
        found.faults.append(f"peak of {found.peak_mb:.0f} MB")
    return found


def _try(paths: list[Path], found: Found, keep: Path | None) -> int:
    """Decode pictures in one process; returns how many were tried, the last of which may have ended it."""
    child = subprocess.Popen(
        [sys.executable, __file__, "--decode", *map(str, paths)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert child.stdout is not None
    tried = 0
    for line in child.stdout:
        outcome = json.loads(line)
        tried += 1
        found.slowest_s = max(found.slowest_s, outcome["seconds"])
        found.peak_mb = max(found.peak_mb, outcome["peak_mb"])
        found.read += outcome["what"] == "read"
        found.refused += outcome["what"] == "refused"
        if outcome["what"] == "refused":
            reason = re.sub(r"\d+", "N", outcome["reason"])[:60]
            found.reasons[reason] = found.reasons.get(reason, 0) + 1
        if outcome["what"] == "fault" or outcome["seconds"] > MOST_SECONDS:
            _note(paths[tried - 1], f"{outcome['reason']} after {outcome['seconds']:.1f} s", found, keep)
    if child.wait() and tried < len(paths):
        _note(paths[tried], f"the process ended with {child.returncode}", found, keep)
        tried += 1
    found.tried += tried
    return tried


def _note(path: Path, what: str, found: Found, keep: Path | None) -> None:
    found.faults.append(f"{path.name}: {what}")
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        (keep / path.name).write_bytes(path.read_bytes())


def decode_here(paths: list[Path]) -> None:
    """Decode pictures as a command does, and print a line of JSON for each; a hang ends the process."""
    import signal

    from regraft.data import decode, survey
    from regraft.data.decode import Preprocessing, measure
    from regraft.data.reading import read_file
    from regraft.errors import BadImage, ConfigError

    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    look = Preprocessing(value_range=(0, 4095))
    for path in paths:
        signal.alarm(60)
        started = time.perf_counter()
        try:
            survey([path])
            content = read_file(path)
            measure(content)
            decode(content, look)
            what, reason = "read", ""
        except (BadImage, ConfigError) as error:
            what, reason = "refused", str(error)
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            what, reason = "fault", f"{type(error).__name__}: {error}"
        seconds = time.perf_counter() - started
        print(json.dumps({"what": what, "reason": reason, "seconds": seconds, "peak_mb": _peak_mb()}), flush=True)


def _peak_mb() -> float:
    """Return the most memory that this program has taken; `resource` counts, on Linux, its parent's as well."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return int(re.findall(r"VmHWM:\s*(\d+)", status)[0]) / 1000


if __name__ == "__main__":
    if "--decode" in sys.argv:
        decode_here([Path(name) for name in sys.argv[2:]])
        sys.exit()
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("count", type=int, nargs="?", default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="A folder for pictures that do harm.")
    options = parser.parse_args()
    result = try_all(options.count, options.seed, keep=options.keep)
    result.reasons = dict(sorted(result.reasons.items(), key=lambda pair: -pair[1])[:20])
    print(json.dumps(asdict(result), indent=1))
    sys.exit(bool(result.faults))
