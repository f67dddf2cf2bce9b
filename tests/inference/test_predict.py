"""Predictions from several views of a picture: predict and eval agree, and draw them as the training did."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import regraft as package
from regraft.errors import ConfigError, DataError
from regraft.inference import bundle, predict
from regraft.utils.progress import Progress


class Heard(Progress):
    """Keeps the warnings."""

    def __init__(self) -> None:
        self.warnings = list[str]()

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def probabilities(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for row in rows:
        found[row["filename"]][row["label"]] = row["prob"]
    return found


def test_predict_and_eval_answer_from_the_same_views(regraft: Callable[..., Any], small_run: Path, drawn: Path) -> None:
    folders = sorted(drawn.iterdir())
    rows = json.loads(regraft("predict", small_run, *folders, "--top", 4, "--tta", 3, "--json").out)["rows"]
    found = probabilities(rows)
    assert found != probabilities(predict.predict(small_run, folders, top=4))
    truth = np.array([found[name][Path(name).parent.name] for name in found])
    measured = json.loads(regraft("eval", small_run, drawn, "--tta", 3, "--json").out)
    assert measured["test"]["log_loss"] == pytest.approx(-np.log(truth).mean(), abs=1e-4)


def test_views_are_drawn_as_in_the_training_of_the_model(shapes: Path, drawn: Path, tmp_path: Path) -> None:
    """Of a model that learned without augmentation, every view is the plain picture."""
    plain = package.train(shapes, out=tmp_path / "plain", img_size=64, method="features", augment="", seed=0).folder
    flipped = package.train(shapes, out=tmp_path / "turn", img_size=64, method="features", augment="turn").folder
    pictures = sorted(drawn.iterdir())
    once, thrice = (predict.predict(plain, pictures, tta=views) for views in (1, 3))
    np.testing.assert_allclose([row["prob"] for row in once], [row["prob"] for row in thrice], atol=1e-5)
    once, thrice = (predict.predict(flipped, pictures, tta=views) for views in (1, 3))
    assert not np.allclose([row["prob"] for row in once], [row["prob"] for row in thrice], atol=1e-4)


@pytest.mark.parametrize("views", [0, 1001])
def test_no_view_and_too_many_are_refused(small_run: Path, drawn: Path, views: int) -> None:
    with pytest.raises(ConfigError, match=rf"tta is {views}; expected 1"):
        predict.predict(small_run, [drawn / "red"], tta=views)
    with pytest.raises(ConfigError, match=rf"tta is {views}; expected 1"):
        predict.evaluate(small_run, drawn, tta=views)


def test_a_model_that_is_worse_than_one_answer_for_all_says_so_first(
    regraft: Callable[..., Any], small_run: Path, drawn: Path
) -> None:
    """With every label moved on to the next colour, what the model has learned is of no use."""
    colours = sorted(path.name for path in drawn.iterdir())
    for colour in colours:
        (drawn / colour).rename(drawn / f"was {colour}")
    for colour, other in zip(colours, [*colours[1:], colours[0]], strict=True):
        (drawn / f"was {colour}").rename(drawn / other)
    found = json.loads(regraft("eval", small_run, drawn, "--json").out)
    assert list(found)[-2:] == ["test", "baseline"]
    assert found["baseline"]["accuracy"] == 0.25
    assert found["baseline"]["below"]
    said = " ".join(regraft("eval", small_run, drawn).out.split())
    right = 100 * found["test"]["accuracy"]
    assert said.startswith(
        f"Worse than always predicting '{found['baseline']['class']}': of the test pictures {right:.1f} % are "
        "predicted correctly, against 25.0 %. Nor does it rank the classes better than chance: are the labels right"
    )


def test_a_good_model_is_not_called_worse_and_of_one_class_there_is_nothing_to_be_better_than(
    regraft: Callable[..., Any], small_run: Path, drawn: Path
) -> None:
    assert json.loads(regraft("eval", small_run, drawn, "--json").out)["baseline"]["verdict"] == "better"
    assert "always predicting" not in regraft("eval", small_run, drawn).out
    for colour in ("blue", "red"):
        shutil.copytree(drawn / colour, drawn.parent / "parts" / "train" / colour)
    shutil.copytree(drawn / "red", drawn.parent / "parts" / "test" / "red")
    answer = regraft("eval", small_run, drawn.parent / "parts", "--json")
    assert (json.loads(answer.out)["n_test"], "baseline" in json.loads(answer.out)) == (8, False)
    assert "always predicting" not in regraft("eval", small_run, drawn.parent / "parts").out


def test_the_json_of_an_unfinished_model_says_so(
    regraft: Callable[..., Any], small_run: Path, drawn: Path, tmp_path: Path
) -> None:
    model, stop = bundle.load(small_run), {"phase": "head", "epochs": 1, "of": 30}
    bundle.save(tmp_path / "stopped", replace(model, about={**model.about, "unfinished": stop}))
    for command in (("predict",), ("eval",), ("explain", "--out", tmp_path / "maps")):
        asked = (command[0], tmp_path / "stopped", drawn, *command[1:], "--json")
        assert json.loads(regraft(*asked).out)["unfinished"] == stop
    assert "unfinished" not in json.loads(regraft("predict", small_run, drawn, "--json").out)


def test_one_class_is_measured_and_classes_that_the_model_does_not_know_are_refused_or_left_out(
    regraft: Callable[..., Any], small_run: Path, drawn: Path
) -> None:
    only = drawn.parent / "only"
    shutil.copytree(drawn / "red", only / "red")
    assert package.evaluate(small_run, only).test.n == 8
    shutil.copytree(drawn / "red", only / "purple")
    with pytest.raises(DataError, match=r"does not know the class purple; it knows blue, green.*known_only=True"):
        package.evaluate(small_run, only)
    answer = regraft("eval", small_run, only, "--known-only", "--json")
    assert json.loads(answer.out)["n_test"] == 8
    assert "8 pictures of classes that" in answer.err
    assert "are left out: purple" in answer.err
    shutil.rmtree(only / "red")
    with pytest.raises(DataError, match="knows none of the classes purple; it knows blue"):
        package.evaluate(small_run, only, known_only=True)


def test_a_loaded_model_is_measured_on_pictures_in_memory_as_its_run_is_on_a_folder(
    small_run: Path, drawn: Path
) -> None:
    paths = sorted(drawn.rglob("*.png"))
    pictures, labels = [Image.open(path) for path in paths], [path.parent.name for path in paths]
    found = package.evaluate(package.load(small_run), (pictures, labels))
    expected = package.evaluate(small_run, drawn)
    np.testing.assert_array_equal(found.test.confusion, expected.test.confusion)
    assert found.test.values == pytest.approx(expected.test.values, abs=1e-4)


@pytest.mark.parametrize(
    ("reading", "said"),
    [
        ({"group": "x"}, "evaluate has no setting 'group'. Did you mean groups"),
        ({"epochs": 3}, "evaluate makes no use of epochs"),
        ({"groups": 3}, "groups is 3; expected text"),
    ],
)
def test_what_says_nothing_of_how_data_are_read_is_refused(
    small_run: Path, drawn: Path, reading: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        package.evaluate(small_run, drawn, **reading)
    assert said in str(caught.value)


def test_a_loaded_model_is_measured_on_pictures_that_it_has_not_learned_from(small_run: Path, shapes: Path) -> None:
    """As its run's folder is, from wherever it was loaded; its copies that see or look otherwise are as well."""
    by_folder, loaded = package.evaluate(small_run, shapes), package.evaluate(package.load(small_run), shapes)
    assert loaded.test.n == by_folder.test.n < 80
    assert loaded.test.values == by_folder.test.values
    assert package.evaluate(package.load(small_run / "model"), shapes, tta=2).test.n == by_folder.test.n


def test_a_model_away_from_its_run_warns_that_it_may_know_the_pictures(
    small_run: Path, shapes: Path, tmp_path: Path
) -> None:
    """It was copied out of the run, or comes from a pickle."""
    alone = shutil.copytree(small_run / "model", tmp_path / "alone")
    unpickled = bundle.from_bytes(bundle.to_bytes(package.load(small_run)))
    for model in (alone, package.load(alone), unpickled):
        heard = Heard()
        assert package.evaluate(model, shapes, progress=heard).test.n == 80
        assert "has learned from cannot be told" in " ".join(heard.warnings)
