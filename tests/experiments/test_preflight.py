"""What cannot be meant is refused before torch is imported, with what was meant."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from regraft.errors import ConfigError, DataError, ModelMissing, RegraftError, UnknownName
from regraft.experiments.preflight import preflight, scanned
from regraft.inference.predict import preflight_model

HEAVY = "{'torch', 'torchvision', 'timm', 'lightning_fabric', 'sklearn', 'onnxruntime', 'openvino'}"


@pytest.mark.parametrize(
    ("settings", "kind", "said"),
    [
        ({"method": "freeze"}, UnknownName, "Did you mean frozen"),
        ({"backbone": "resnet5"}, UnknownName, "Did you mean resnet50"),
        ({"val": 0.9}, ConfigError, "val"),
        ({"augment": "flip,spin"}, UnknownName, "augmentation 'spin'"),
        ({"groups": "(["}, DataError, "The groups.*cannot be read as a regular expression"),
        ({"label_pattern": "(["}, DataError, "The label pattern.*cannot be read as a regular expression"),
    ],
)
def test_what_nothing_goes_by_is_refused(
    drawn: Path, settings: dict[str, Any], kind: type[RegraftError], said: str
) -> None:
    with pytest.raises(kind, match=said):
        preflight(drawn, settings)


def test_a_target_is_looked_at_and_the_data_that_were_read_for_it_are_kept(drawn: Path, tmp_path: Path) -> None:
    asked = {"target_recall": 0.9, "positive": "red"}
    with pytest.raises(ConfigError, match="is for two classes"):
        scanned(drawn, asked)
    for colour in ("red", "blue"):
        shutil.copytree(drawn / colour, tmp_path / "two" / colour)
    seen = scanned(tmp_path / "two", asked)
    assert seen is not None
    assert seen.manifest.classes == ("blue", "red")
    assert scanned(tmp_path / "two", {}) is None  # nothing is read twice, or for nothing


def test_data_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere does not exist"):
        preflight(tmp_path / "nowhere", {})


def test_each_of_several_names_is_looked_at(drawn: Path) -> None:
    with pytest.raises(UnknownName, match="Unknown backbone 'vgg15'"):
        preflight(drawn, {}, backbones="resnet18, vgg15")
    with pytest.raises(UnknownName, match="Unknown method 'tuned'"):
        preflight(drawn, {}, named="frozen,tuned")


@pytest.mark.parametrize("name", ["resnet18", "xception", "resnet50.a1_in1k", "regnet_y_400mf", "vit_base_patch16_224"])
def test_every_name_of_the_libraries_may_be_meant(drawn: Path, name: str) -> None:
    preflight(drawn, {"backbone": name}, backbones="available")


REFUSED: dict[str, tuple[tuple[str, ...], str]] = {
    "no data": (("train", "nowhere"), "nowhere does not exist"),
    "a folder without pictures": (("train", "empty"), "empty holds"),
    "a pattern that is none": (("train", "two", "--groups", "(["), "cannot be read as a regular expression"),
    "an augmentation": (("train", "two", "--augment", "flip,spin"), "'spin'"),
    "a class": (("train", "two", "--positive", "il", "--target-recall", "0.9"), "Did you mean ill"),
    "a picture": (("predict", "resnet18", "nowhere.png"), "nowhere.png does not exist"),
    "a picture to explain": (("explain", "resnet18", "nowhere.png"), "nowhere.png does not exist"),
    "a setting of explain": (("explain", "resnet18", "two", "--range", "a"), "--range is 'a'"),
    "a model to take features of": (("features", "resnet5", "two", "-o", "x.npz"), "Did you mean resnet50"),
    "a model to export": (("export", "runs/none"), "There is no folder runs/none"),
    "a precision": (("export", "resnet18", "--precision", "int3"), "--format=onnx has float32"),
    "an input": (("export", "resnet18", "--input", "wide"), "Unknown input 'wide'"),
    "an address": (("predict", "resnet18", "https://example.com/x.png"), "https://example.com/x.png is an address"),
    "a format": (("predict", "resnet18", "two", "--format", "xml"), "Unknown format 'xml'"),
    "labelled data": (("eval", "resnet18", "nowhere"), "nowhere does not exist"),
    "a run": (("report", "nowhere"), "nowhere"),
    "weights": (("weights", "pull", "resnet5"), "Did you mean resnet50"),
    "a file of weights": (("weights", "import", "nofile.pth", "--as", "resnet18"), "There is no file nofile.pth"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_nothing_heavy_is_imported_to_refuse(case: str, drawn: Path, tmp_path: Path) -> None:
    words, said = REFUSED[case]
    (tmp_path / "empty").mkdir()
    for name, colour in {"ill": "red", "well": "blue"}.items():
        shutil.copytree(drawn / colour, tmp_path / "two" / name)
    code = f"""
import sys
from regraft.cli import main
try:
    main()
finally:
    print(sorted({HEAVY} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == "[]\n"
    assert said in done.stderr


def test_a_model_is_a_folder_or_a_network(tmp_path: Path) -> None:
    preflight_model(str(tmp_path))
    preflight_model("resnet50")
    with pytest.raises(ModelMissing, match="There is no folder runs/cells"):
        preflight_model("runs/cells")
    with pytest.raises(UnknownName, match="Unknown backbone 'cells'"):
        preflight_model("cells")


@pytest.mark.parametrize("function", ["explain", "export", "features", "predict"])
def test_in_python_nothing_heavy_is_imported_to_refuse_a_model(function: str, drawn: Path) -> None:
    pictures = "" if function == "export" else f", {str(drawn)!r}"
    code = f"""
import sys, regraft
try:
    regraft.{function}('resnet5'{pictures})
except regraft.UnknownName:
    print(sorted({HEAVY} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr
