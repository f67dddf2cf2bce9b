"""The preset for pictures without an up or down is proposed for cells, and not for letters, nor where it is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

import regraft
from regraft.data import draw_cells
from regraft.utils.progress import Progress

LETTERS = {  # strokes on a grid of 4 x 4
    "L": [((1, 0), (1, 3)), ((1, 3), (3, 3))],
    "T": [((0, 0), (3, 0)), ((2, 0), (2, 3))],
}
ASKED: Any = {"img_size": 64, "method": "features", "val": 0.45, "seed": 0}


class Listener(Progress):
    """Remembers what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def trained(data: Path, out: Path, **settings: Any) -> tuple[regraft.Run, list[str]]:
    """Train; what was proposed is the same on the page."""
    listener = Listener()
    run = regraft.train(data, out=out, progress=listener, **{**ASKED, **settings})
    found = [said for said in listener.said if "--preset=microscopy" in said]
    assert ("no up or down" in (run.folder / "report.html").read_text()) == bool(found)
    return run, found


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_cells(tmp_path_factory.mktemp("drawn") / "cells", per_class=130, size=64)


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Upright letters at random places, on noise."""
    folder, rng = tmp_path_factory.mktemp("written") / "letters", np.random.default_rng(0)
    for name, strokes in LETTERS.items():
        (folder / name).mkdir(parents=True)
        for number in range(130):
            image = Image.fromarray(rng.integers(150, 220, (64, 64, 3), dtype=np.uint8))
            x, y, step = rng.integers(2, 20), rng.integers(2, 20), rng.integers(9, 14)
            for start, end in strokes:
                line = [(x + step * start[0], y + step * start[1]), (x + step * end[0], y + step * end[1])]
                ImageDraw.Draw(image).line([(int(a), int(b)) for a, b in line], fill=(20, 20, 60), width=5)
            image.save(folder / name / f"{name}{number}.png")
    return folder


@pytest.mark.parametrize("settings", [{}, {"method": "finetuned", "epochs": 1}, {"folds": 4, "val": 0.6}])
def test_it_is_proposed_once_for_cells(cells: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    _, (said,) = trained(cells, tmp_path / "run", **settings)
    assert "of 1" in said  # a hundred pictures and some


def test_it_is_not_proposed_for_what_has_an_up_and_a_down(letters: Path, tmp_path: Path) -> None:
    run, said = trained(letters, tmp_path / "run")
    assert said == []
    assert run.test.values["accuracy"] > 0.9  # it has learned them; turned, they are others


@pytest.mark.parametrize("settings", [{"preset": "microscopy"}, {"augment": "turn,flip"}, {"val": 0.15}])
def test_it_is_not_proposed_where_it_is_used_or_pictures_are_few(
    cells: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    assert trained(cells, tmp_path / "run", **settings)[1] == []
