import csv

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from regraft.data import Reading, draw_cells, scan
from regraft.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    return draw_cells(tmp_path_factory.mktemp("demo") / "cells", per_class=60, size=96)


def pixels(manifest):
    return np.stack([np.asarray(Image.open(item.path)) for item in manifest.items])


def test_the_folder_reads_as_two_classes_of_twelve_patients(cells):
    manifest = scan(cells, Reading(groups=r"^P\d+"))
    assert manifest.counts() == {"healthy": 60, "infected": 60}
    assert len(set(manifest.groups)) == 12
    (beside,) = manifest.notices
    assert "1 .csv (parasites.csv)" in beside
    assert pixels(manifest).shape == (120, 96, 96, 3)


def test_the_mean_colour_does_not_tell_the_classes_apart(cells):
    manifest = scan(cells)
    means = pixels(manifest).mean(axis=(1, 2))  # [n, 3]
    linear = make_pipeline(StandardScaler(), PolynomialFeatures(2), LogisticRegression(C=10, max_iter=2000))
    assert cross_val_score(linear, means, manifest.labels, cv=5).mean() < 0.75


def test_the_listed_places_are_purple(cells):
    with (cells / "parasites.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 60
    for row in rows:
        image = np.asarray(Image.open(cells / row["filename"]), float)
        y, x = np.mgrid[:96, :96]
        distance = np.hypot(x - float(row["x"]), y - float(row["y"]))
        radius = float(row["radius"])
        inside, around = distance < radius, (distance > 1.5 * radius) & (distance < 2 * radius)
        assert image[inside].mean() < np.median(image[around], axis=0).mean() - 10


def test_equal_seeds_draw_equal_pixels_and_others_do_not(tmp_path):
    first, again, other = (
        pixels(scan(draw_cells(tmp_path / name, per_class=2, patients=2, size=32, seed=seed)))
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_difficult_parasites_are_smaller(tmp_path):
    def radii(name, difficulty):
        folder = draw_cells(tmp_path / name, per_class=5, size=64, difficulty=difficulty)
        with (folder / "parasites.csv").open(newline="") as file:
            return [float(row["radius"]) for row in csv.DictReader(file)]

    assert max(radii("hard", 1)) < min(radii("easy", 0))


def test_nothing_is_overwritten_and_nothing_half_drawn_is_left(tmp_path):
    with pytest.raises(DataError, match="exists already"):
        draw_cells(tmp_path)
    with pytest.raises(ConfigError):
        draw_cells(tmp_path / "cells", difficulty=2)
    draw_cells(tmp_path / "deep" / "cells", per_class=1, size=32)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["cells"]
