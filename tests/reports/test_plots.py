import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from regraft.metrics.curves import Covered, Curve
from regraft.reports.plots import (
    AXIS_COLUMNS,
    LABEL_COLUMNS,
    confusion_matrix,
    coverage_curve,
    embedding_map,
    threshold_curve,
    training_curves,
)

SVG = "{http://www.w3.org/2000/svg}"
STRANGE = [
    "猫",
    "собака",
    "القط",
    "$5_bill$",
    "a<b & c",
    "tab\there",
    "undecodable \udcff",
    "日本の長いクラス名" * 5,
    "é" * 200,
]


def drawn(path: Path, confusion: np.ndarray, classes: list[str]) -> tuple[ET.Element, list[str]]:
    """The written file, parsed, and every text in it."""
    confusion_matrix(confusion, classes, path)
    root = ET.parse(path).getroot()
    return root, ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]


def some_counts(k: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 50, (k, k)) + 200 * np.eye(k, dtype=int)


@pytest.mark.parametrize("k", [2, 3, 30, 31, 100])
def test_every_class_is_named_on_both_axes(tmp_path, k):
    classes = [f"class {i}" for i in range(k)]
    _, texts = drawn(tmp_path / "c.svg", some_counts(k), classes)
    assert all(texts.count(name) == 2 for name in classes)
    assert {"Predicted", "True"} <= set(texts)


def test_cells_hold_count_and_share_of_the_row_and_rows_are_the_truth(tmp_path):
    root, texts = drawn(tmp_path / "c.svg", np.array([[90, 10], [1, 399]]), ["a", "b"])
    assert {"90", "90%", "10", "10%", "1", "<1%", "399", ">99%"} <= set(texts)
    drawing = ET.tostring(root, encoding="unicode")
    places = re.findall(r"translate\(([\d.]+) ([\d.]+)\)[^>]*>(\d+)<", drawing)
    where = {text: (float(x), float(y)) for x, y, text in places}
    assert where["10"][0] > where["90"][0]  # predicted b: to the right
    assert where["1"][1] > where["90"][1]  # truly b: further down


def test_above_thirty_classes_colour_speaks_alone(tmp_path):
    _, texts = drawn(tmp_path / "c.svg", some_counts(31), [f"class {i}" for i in range(31)])
    assert not any(re.fullmatch(r"\d+", text) for text in texts)
    assert (tmp_path / "c.svg").stat().st_size < 200_000


def test_names_of_every_script_stay_text_and_long_ones_keep_both_ends(tmp_path):
    _, texts = drawn(tmp_path / "c.svg", some_counts(len(STRANGE)), STRANGE)
    assert all(texts.count(name) == 2 for name in STRANGE[:5])
    assert {r"tab\there", "undecodable \ufffd"} <= set(texts)
    assert max(map(len, texts)) <= LABEL_COLUMNS
    _, texts = drawn(
        tmp_path / "c.svg", some_counts(2), [f"a species with a very long name, variant {i}" for i in (1, 2)]
    )
    assert sum(text.startswith("a species") and text.endswith(("variant 1", "variant 2")) for text in texts) == 4


@pytest.mark.parametrize(("more", "zeros"), [(0, 6), (3, 4)])
def test_a_class_without_pictures_has_a_row_of_its_own_without_numbers_but_0(tmp_path, more, zeros):
    """Of few classes every cell says 0, of more only the diagonal."""
    counts = np.pad(np.array([[5, 0, 0], [0, 0, 0], [0, 1, 7]]), (0, more))
    _, texts = drawn(tmp_path / "c.svg", counts, ["a", "empty", "c", "d", "e", "f"][: 3 + more])
    assert texts.count("empty") == 2
    assert texts.count("0") == zeros
    assert "nan%" not in texts


def test_an_axis_that_does_not_begin_at_0_says_so():
    rows = [{"epoch": at, "phase": "head", "train_loss": 1, "val_loss": 1, "val_accuracy": 0.954} for at in (1, 2)]
    loss, accuracy = training_curves(rows, 1)
    assert "axis begins" not in loss
    assert re.search(r"\(axis begins at 0\.\d\d\)", accuracy)
    assert "(axis begins at 94)" in coverage_curve([Covered(0.9, 0.5, 1.0), Covered(0.5, 1.0, 0.95)])
    assert "axis begins" not in coverage_curve([Covered(0.9, 0.5, 1.0), Covered(0.5, 1.0, 0.0)])


def test_names_beside_an_axis_are_text_and_fit():
    line = Curve(*[np.array([0.0, 1.0])] * 6, 0.5, (0.4, 0.6))
    drawing = threshold_curve(line, "$5_bill$ called a<b", "a species with a very long name " * 5)
    assert "$5_bill$ called a&lt;b" in drawing
    assert max(map(len, re.findall(r">([^<>]+)</text>", drawing))) <= AXIS_COLUMNS


@pytest.mark.filterwarnings("error")
def test_equal_input_gives_equal_bytes_and_no_warnings(tmp_path):
    for name in ("1.svg", "2.svg"):
        confusion_matrix(some_counts(len(STRANGE)), STRANGE, tmp_path / name)
    assert (tmp_path / "1.svg").read_bytes() == (tmp_path / "2.svg").read_bytes()


def test_the_file_reaches_for_nothing_outside(tmp_path):
    confusion_matrix(some_counts(40), [f"{i}" for i in range(40)], tmp_path / "c.svg")
    references = re.findall(r'(?:href="|url\()([^")]*)', (tmp_path / "c.svg").read_text(encoding="utf-8"))
    assert references
    assert all(reference.startswith(("#", "data:image/png")) for reference in references)


def test_a_map_of_many_pictures_is_one_small_image_with_the_class_names_as_text() -> None:
    places, labels = np.random.default_rng(0).normal(size=(2000, 2)), np.arange(2000) % 3
    drawn = embedding_map(places, labels, ["ant", "bee", "wasp"], ringed=labels == 5)
    assert drawn.startswith("<svg")
    assert len(drawn) < 250_000
    assert all(f">{name}<" in drawn for name in ("ant", "bee", "wasp"))
