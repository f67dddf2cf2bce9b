"""The functions of Python: mistakes are told at once and by name; data in memory are trained on as files are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import regraft
from regraft.errors import ConfigError, UnknownName
from regraft.utils.keywords import Settings

MISTAKES: dict[str, tuple[str, dict[str, Any], str]] = {
    "epoch": ("train", {"epoch": 5}, "train has no setting 'epoch'. Did you mean epochs"),
    "resumed": ("train", {"resumed": True}, "train has no setting 'resumed'. Did you mean resume"),
    "backbones": ("compare", {"backbons": "a"}, "compare has no setting 'backbons'. Did you mean backbones"),
    "far": ("check", {"xyzzy": 1}, "check has no setting 'xyzzy'. docs/settings.md"),
    "text": ("train", {"epochs": "five"}, "epochs is 'five'; expected a whole number from 1 to 100000"),
    "half": ("train", {"epochs": 1.5}, "epochs is 1.5; expected a whole number"),
    "truth": ("train", {"epochs": True}, "epochs is True; expected a whole number"),
    "no text": ("recommend", {"groups": 5}, "groups is 5; expected text"),
    "no path": ("train", {"images": 5}, "images is 5; expected a path"),
    "no names": ("compare", {"backbones": 5}, "backbones is 5; expected names"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_setting_that_cannot_be_is_told_with_the_nearest_name(mistake: str, drawn: Path) -> None:
    function, settings, said = MISTAKES[mistake]
    with pytest.raises(ConfigError) as caught:
        getattr(regraft, function)(drawn, **settings)
    assert said in str(caught.value)


def test_a_mistake_is_told_before_torch_is_imported() -> None:
    code = """
import sys, regraft
for ask, settings in ((regraft.predict, {"topp": 3}), (regraft.load, {"devise": 3}), (regraft.evaluate, {"tta": "x"})):
    try:
        ask(".", **settings)
    except regraft.RegraftError as error:
        print(type(error).__name__)
for data, settings in ((5, {}), ("nowhere", {}), (".", {"epoch": 5}), (".", {"epochs": "5"}), (".", {"method": "x"})):
    try:
        regraft.train(data, **settings)
    except regraft.RegraftError as error:
        print(type(error).__name__)
print(sorted({"torch", "timm", "sklearn", "pandas"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:-1] == [
        "ConfigError",
        "ConfigError",
        "ConfigError",
        "ConfigError",
        "DataMissing",
        "ConfigError",
        "ConfigError",
        "UnknownName",
        "[]",
    ]


def test_numbers_of_numpy_are_numbers() -> None:
    config = regraft.Config(epochs=np.int64(3), lr=np.float32(0.5), val=np.float64(0.2))  # type: ignore[arg-type]
    assert (config.epochs, config.lr, config.val) == (3, 0.5, 0.2)
    assert json.loads(json.dumps(config.as_dict()))["epochs"] == 3


def test_type_checkers_are_told_of_every_setting() -> None:
    assert set(Settings.__annotations__) == set(regraft.Config().as_dict())


@pytest.fixture(scope="module")
def run(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> regraft.Run:
    """Of pictures in memory."""
    paths = sorted(shapes.rglob("*.png"))
    images = [np.asarray(Image.open(path)) for path in paths]
    place = tmp_path_factory.mktemp("memory") / "run"
    return regraft.train((images, [path.parent.name for path in paths]), out=place, img_size=64, epochs=2)


def test_pictures_in_memory_are_trained_on(run: regraft.Run) -> None:
    assert run.test.n == 12
    assert (run.folder / "report.html").exists()
    data = Path(json.loads((run.folder / "config.json").read_text())["data"])
    assert data.is_file()
    assert data.suffix == ".parquet"


def test_a_run_stands_for_its_folder(run: regraft.Run, shapes: Path, tmp_path: Path) -> None:
    picture = shapes / "red" / "red0.png"
    expected = regraft.predict(run.folder, picture)
    assert regraft.predict(run, picture) == regraft.predict(regraft.load(run), picture) == expected
    assert regraft.report(run) == run.folder / "report.html"
    assert regraft.Config(from_run=run).from_run == str(run.folder)  # type: ignore[arg-type]


def test_a_notebook_shows_the_figures_of_a_run(run: regraft.Run) -> None:
    shown = run._repr_html_()
    assert f"<td>accuracy</td><td>{run.test.values['accuracy']:.3f}</td>" in shown
    assert str(run.folder) in shown
    assert repr(run) == f"<Run: tf_efficientnet_lite0, frozen, in {run.folder}>"


def test_an_unknown_method_among_several_is_told(drawn: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean frozen"):
        regraft.compare(drawn, methods=["features", "freezen"])
