"""What tests share: drawn pictures, a cache of their own, real weights and pictures where they are at hand."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

SHARED = Path(__file__).resolve().parents[2] / "shared"

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the suite runs in as many processes as there are cores


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep activations in a folder of the test session, and look for weights where no user's folder interferes."""
    os.environ["REGRAFT_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    os.environ.pop("REGRAFT_WEIGHTS", None)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real weights and pictures beside the project."""
    if not SHARED.is_dir():
        pytest.skip("../shared with real weights and pictures is not at hand")
    return SHARED


COLOURS = {"blue": (40, 60, 220), "green": (30, 170, 60), "red": (210, 40, 40), "yellow": (230, 210, 40)}


def draw_shapes(folder: Path, per_class: int = 16, size: int = 72, seed: int = 0) -> Path:
    """Draw FOLDER/<colour>/*.png: a disc or square of that colour at a random place on grey noise."""
    rng = np.random.default_rng(seed)
    for colour, rgb in COLOURS.items():
        (folder / colour).mkdir(parents=True)
        for number in range(per_class):
            image = Image.fromarray(rng.integers(90, 160, (size, size, 3), dtype=np.uint8))
            x, y = rng.integers(0, size // 3, 2).tolist()
            draw = ImageDraw.Draw(image)
            shape = draw.ellipse if number % 2 else draw.rectangle
            shape((x, y, x + size // 2, y + size // 2), fill=rgb)
            image.save(folder / colour / f"{colour}{number}.png")
    return folder


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four colours, sixteen pictures each; read only."""
    return draw_shapes(tmp_path_factory.mktemp("data") / "shapes")
