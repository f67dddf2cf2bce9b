"""Results are values: sequences of rows as before, with the arrays and tables that people make of them."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression

import regraft
from regraft.errors import ConfigError, MissingExtra


@pytest.fixture(scope="module")
def predictions(small_run: Path, shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> regraft.Predictions:
    broken = tmp_path_factory.mktemp("broken") / "broken.png"
    broken.write_bytes(b"no picture")
    return regraft.predict(small_run, [shapes / "red", broken], top=2)


def test_predictions_are_a_sequence_of_rows_as_before(predictions: regraft.Predictions) -> None:
    rows = list(predictions)
    assert predictions == rows
    assert (len(predictions), predictions[-1], predictions[:2]) == (41, rows[40], rows[:2])
    assert list(rows[0]) == ["filename", "rank", "index", "label", "prob", "error"]
    assert json.loads(json.dumps(rows)) == rows


def test_labels_and_probabilities_have_an_entry_for_each_picture(predictions: regraft.Predictions) -> None:
    found = predictions.probabilities
    assert (found.shape, found.dtype) == ((21, 4), np.float64)
    np.testing.assert_allclose(found[:20].sum(1), 1, atol=1e-5)
    assert np.isnan(found[20]).all()
    assert predictions.labels == [row["label"] for row in predictions if row["rank"] == 1]
    assert predictions.labels[20] is None
    assert [predictions.classes[at] for at in found[:20].argmax(1)] == predictions.labels[:20]
    assert len(predictions.filenames) == 21


def test_predictions_become_tables(predictions: regraft.Predictions) -> None:
    assert predictions.to_arrow().to_pylist() == list(predictions)
    assert predictions.to_arrow().column_names == list(predictions[0])
    pytest.importorskip("pandas")
    table = predictions.to_pandas()
    assert list(table["filename"]) == [row["filename"] for row in predictions]


def test_features_and_figures_become_tables(small_run: Path, shapes: Path) -> None:
    pytest.importorskip("pandas")
    features = regraft.features(small_run, sorted(shapes.rglob("*.png"))[:3])
    table = features.to_pandas()
    assert list(table.index) == features.paths
    np.testing.assert_array_equal(table.to_numpy(), features.array)
    found = regraft.evaluate(small_run, shapes)
    figures = found.to_pandas().set_index("measure")
    assert figures["value"]["accuracy"] == found.test.values["accuracy"]


def test_without_pandas_the_line_says_how_to_get_it(
    predictions: regraft.Predictions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtra, match=r"pip install 'regraft\[pandas\]'"):
        predictions.to_pandas()


def test_a_notebook_shows_the_first_rows_with_names_that_cannot_be_code(small_run: Path, tmp_path: Path) -> None:
    picture = tmp_path / "<script>.png"
    Image.new("RGB", (64, 64), "red").save(picture)
    shown = regraft.predict(small_run, [picture] * 25)._repr_html_()
    assert shown.count("<tr>") == 21
    assert "5 more rows" in shown
    assert "&lt;script&gt;.png" in shown
    assert "<script>" not in shown


def test_features_are_taken_for_their_array(small_run: Path, shapes: Path) -> None:
    found = regraft.features(small_run, [shapes / "red", shapes / "blue"])
    assert found.array.dtype == found.dtype == np.float32
    assert found.shape == found.array.shape == (40, 1280)
    assert found.paths[0].endswith("red0.png")
    np.testing.assert_array_equal(np.asarray(found), found.array)
    np.testing.assert_array_equal(found[:, 3], found.array[:, 3])
    np.testing.assert_allclose(np.mean(found, axis=0), found.array.mean(0))
    np.testing.assert_array_equal([*found], found.array)
    np.testing.assert_array_equal(found - 1 >= 0, found.array - 1 >= 0)
    np.testing.assert_array_equal(found.mean(0), found.array.mean(0))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(found)), found)
    truth = ["red"] * 20 + ["blue"] * 20
    assert LogisticRegression(max_iter=500).fit(found, truth).score(found, truth) > 0.9
    assert "40 x 1280" in found._repr_html_()


def test_one_picture_is_the_same_in_memory_for_all_that_take_pictures(
    small_run: Path, shapes: Path, tmp_path: Path
) -> None:
    path = shapes / "red" / "red1.png"
    memory = np.asarray(Image.open(path))
    model = regraft.load(small_run)
    on_disk, in_memory = regraft.predict(small_run, str(path)), regraft.predict(model, memory)
    np.testing.assert_allclose(on_disk.probabilities, in_memory.probabilities, atol=1e-6)
    np.testing.assert_allclose(next(model.predict(memory)).probabilities, on_disk.probabilities[0], atol=1e-6)
    here, there = regraft.features(small_run, path), regraft.features(model, memory)
    np.testing.assert_allclose(here.array, there.array, atol=1e-4)
    explained = regraft.explain(small_run, memory, out=tmp_path / "maps")
    assert explained[0]["filename"] == "picture 1"
    assert explained.folder == tmp_path / "maps"
    assert str(explained[0]["heatmap"]).startswith(str(explained.folder))
    assert "data:image/png;base64," in explained._repr_html_()


def test_what_is_no_model_is_refused(shapes: Path) -> None:
    with pytest.raises(ConfigError, match="A int is no model"):
        regraft.predict(5, shapes)  # type: ignore[arg-type]


def test_a_model_answers_none_for_a_path_that_is_not_there(small_run: Path, tmp_path: Path) -> None:
    (found,) = regraft.load(small_run).predict([tmp_path / "gone.png"])
    assert (found.probabilities, found.error) == (None, "No such file or directory")


def test_whatever_is_returned_shows_itself_on_one_line(small_run: Path, shapes: Path) -> None:
    """So does what it holds, and what a notebook shows of a method; no tensor is printed."""
    model = regraft.load(small_run)
    assert isinstance(model, regraft.Classifier)
    found = regraft.evaluate(small_run, shapes)
    assert repr(found).startswith(f"<Evaluation: {small_run}, {found.test.n} pictures, accuracy ")
    assert repr(model) == f"<Classifier: {model.backbone.name}, 4 classes, in {small_run / 'model'}>"
    for shown in (found, found.test, model, model.backbone, model.predict, regraft.load):
        assert "\n" not in repr(shown)
        assert len(repr(shown)) < 300
    assert all(f"<td>{name}</td>" in model._repr_html_() for name in model.classes)


def test_a_model_yields_labels_as_predict_gives_them(small_run: Path, shapes: Path) -> None:
    model, pictures = regraft.load(small_run), sorted((shapes / "red").iterdir())
    assert [one.label for one in model.predict(pictures)] == regraft.predict(small_run, pictures).labels
    assert [one.label for one in model.predict_files(pictures)] == regraft.predict(small_run, pictures).labels


@pytest.mark.parametrize("single", ["a.png", Path("a.png"), b"a.png"])
def test_one_path_is_no_list_of_files(small_run: Path, single: Any) -> None:
    with pytest.raises(ConfigError, match="takes a list of paths"):
        regraft.load(small_run).predict_files(single)
