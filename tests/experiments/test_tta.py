"""Test-time augmentation from training to prediction: what a run has measured is what its model answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import regraft as package
from regraft import Run, run_folder
from regraft.inference import bundle
from regraft.metrics.predictions import Predicted
from regraft.utils.files import read_csv
from regraft.utils.progress import Progress

TURNING: Any = {"img_size": 64, "augment": "flip,turn", "tta": 4, "epochs": 2}


class Listener(Progress):
    """Remembers what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)

    def warn(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture(scope="module")
def run(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return package.train(shapes, out=tmp_path_factory.mktemp("tta") / "run", **TURNING)


def names_in_test(folder: Path) -> list[str]:
    return [row["filename"] for row in read_csv(folder / "predictions.csv", needed=["filename"])]


def test_a_model_answers_later_as_in_its_own_test(run: Run, shapes: Path) -> None:
    found = package.predict(run, [shapes / name for name in names_in_test(run.folder)])
    np.testing.assert_allclose(found.probabilities, Predicted.load(run.folder).probabilities, atol=5e-3)
    once = package.predict(run, [shapes / name for name in names_in_test(run.folder)], tta=1)
    assert not np.allclose(once.probabilities, found.probabilities, atol=5e-3)


def test_its_answers_are_the_mean_of_those_for_turned_files(run: Run, shapes: Path, tmp_path: Path) -> None:
    """The pictures have 72 pixels and are made smaller: that and turning them change places only up to rounding."""
    names = names_in_test(run.folder)[::3]
    each = []
    for turns in range(4):
        for name in names:
            pixels = np.asarray(Image.open(shapes / name).resize((64, 64), Image.Resampling.BICUBIC))
            Image.fromarray(np.rot90(pixels, turns)).save(tmp_path / f"{turns}-{Path(name).name}")
        files = [tmp_path / f"{turns}-{Path(name).name}" for name in names]
        each.append(package.predict(run, files, tta=1).probabilities)
    mean = np.exp(np.log(each).mean(0))
    mean /= mean.sum(1, keepdims=True)
    found = package.predict(run, [shapes / name for name in names]).probabilities
    np.testing.assert_allclose(found, mean, atol=0.02)


def test_the_figure_without_is_what_one_look_gives(run: Run, shapes: Path, tmp_path: Path) -> None:
    metrics = json.loads((run.folder / "metrics.json").read_bytes())
    assert metrics["tta"] == run.tta == json.loads(json.dumps(run.as_dict()))["tta"]
    assert run.tta
    assert run.tta["views"] == 4
    (tmp_path / "test").mkdir()
    for name in names_in_test(run.folder):
        (tmp_path / "test" / Path(name).parent).mkdir(exist_ok=True)
        (tmp_path / "test" / name).write_bytes((shapes / name).read_bytes())
    alone, found = (package.evaluate(run, tmp_path / "test", tta=views) for views in (1, None))
    once, often = alone.test.values, found.test.values
    assert alone.tta is None
    assert found.as_dict()["tta"]["views"] == 4
    assert found.as_dict()["tta"]["without"] == alone.test.as_dict()
    assert once["log_loss"] == pytest.approx(run.tta["without"]["log_loss"], abs=2e-3)
    assert often["log_loss"] == pytest.approx(run.test.values["log_loss"], abs=2e-3)
    assert once["log_loss"] != pytest.approx(often["log_loss"], abs=2e-3)


def test_page_and_terminal_say_how_often_it_looks_and_what_one_look_gives(
    run: Run, regraft: Callable[..., Any], shapes: Path, tmp_path: Path
) -> None:
    assert run.tta
    once = f"{run.tta['without']['accuracy']:.3f} (--tta 1)"
    assert once in (run.folder / "report.html").read_text()
    options = ["--img-size", 64, "--augment", "flip,turn", "--tta", 4, "--epochs", 2, "--no-report"]
    shown = " ".join(regraft("train", shapes, *options, "--out", tmp_path / "run").out.split())
    assert "looked at 4 times" in shown
    assert once in shown
    said = regraft("predict", run.folder, shapes / "red").err
    assert "looks at each picture 4 times" in said
    assert "looks at each picture" not in regraft("predict", run.folder, shapes / "red", "--tta", 1).err


def test_the_temperature_is_fitted_on_what_the_model_answers(run: Run) -> None:
    """Of the mean over views, on the validation part; the plain pictures alone would call for another one."""
    metrics = json.loads((run.folder / "metrics.json").read_bytes())
    assert metrics["calibration"]["temperature"] == bundle.load(run.folder).temperature
    assert bundle.load(run.folder).tta.views == 4


@pytest.mark.parametrize("method", ["features", "finetuned", "full"])
def test_views_kept_or_computed_again_give_the_same_answers(shapes: Path, tmp_path: Path, method: str) -> None:
    settings = {**TURNING, "method": method, "epochs": 1, "keep_dtype": "float32", "engine": "torch"}
    if method == "features":
        del settings["epochs"]
    kept, again = (
        package.train(shapes, out=tmp_path / keep, keep=keep, report=False, **settings) for keep in ("always", "never")
    )
    np.testing.assert_allclose(
        Predicted.load(kept.folder).probabilities, Predicted.load(again.folder).probabilities, atol=1e-3
    )


def test_the_same_seed_gives_the_same_bundle(run: Run, shapes: Path, tmp_path: Path) -> None:
    again = package.train(shapes, out=tmp_path / "again", report=False, **TURNING)
    for name in ("bundle.json", "model.safetensors"):
        assert (again.folder / "model" / name).read_bytes() == (run.folder / "model" / name).read_bytes()


def test_what_is_learned_does_not_depend_on_how_it_is_asked(run: Run, shapes: Path, tmp_path: Path) -> None:
    """The views of test pictures change no training: the plain answers are those of a run without them, uncooled."""
    plain = package.train(shapes, out=tmp_path / "plain", report=False, **{**TURNING, "tta": 1})
    assert plain.tta is None
    assert run.tta
    assert run.tta["without"]["accuracy"] == plain.test.values["accuracy"]
    assert run.tta["without"]["auroc"] == pytest.approx(plain.test.values["auroc"], abs=1e-3)


def test_folds_answer_from_several_views_together(shapes: Path, tmp_path: Path) -> None:
    whole = package.train(shapes, out=tmp_path / "folds", folds=2, report=False, **TURNING)
    assert whole.tta
    assert whole.tta["views"] == 4
    right = sum(fold.tta["without"]["accuracy"] * fold.test.n for fold in whole.folds if fold.tta)
    assert whole.tta["without"]["accuracy"] == pytest.approx(right / whole.test.n)
    metrics = run_folder.read_json(whole.folder / "metrics.json")
    run_folder.write_json(
        whole.folder / "metrics.json", {**metrics, run_folder.AWAITS: "report"}
    )  # as killed before it
    again = package.train(shapes, out=whole, resume=True, report=False)
    assert again.tta == whole.tta
    assert [fold.tta for fold in again.folds] == [fold.tta for fold in whole.folds]


def test_a_comparison_has_the_figure_without_beside(shapes: Path, tmp_path: Path, regraft: Callable[..., Any]) -> None:
    found = package.compare(
        shapes,
        backbones=["squeezenet1_1"],
        methods=["features"],
        weights="random",
        out=tmp_path / "found",
        control_epochs=0,
        **{**TURNING, "epochs": None},
    )
    (row,) = found.findings.rows
    assert row.accuracy_without_tta == row.tta["without"]["accuracy"]
    (line,) = read_csv(tmp_path / "found" / "leaderboard.csv", needed=["accuracy_without_tta"])
    assert float(line["accuracy_without_tta"]) == pytest.approx(row.tta["without"]["accuracy"])
    assert "accuracy at one look" in (tmp_path / "found" / "comparison.html").read_text()


def test_more_views_than_there_are_is_said_and_none_is_taken_twice(shapes: Path, tmp_path: Path) -> None:
    listener = Listener()
    run = package.train(
        shapes, out=tmp_path / "run", img_size=64, method="features", augment="flip", tta=8, progress=listener
    )
    assert any("no more than 2 different views" in said for said in listener.said)
    assert run.tta
    assert run.tta["views"] == bundle.load(run.folder).tta.views == 2
    assert not any("--augment" in said and "no use" in said for said in listener.said)
