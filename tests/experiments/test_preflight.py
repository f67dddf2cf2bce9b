"""What cannot be meant is refused before torch is imported, with what was meant."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from regraft.errors import ConfigError, DataError, ModelMissing, RegraftError, UnknownName
from regraft.experiments.preflight import preflight, preflight_model

HEAVY = "{'torch', 'torchvision', 'timm', 'lightning_fabric', 'sklearn', 'onnxruntime', 'openvino'}"


@pytest.mark.parametrize(
    ("settings", "kind", "said"),
    [
        ({"method": "freeze"}, UnknownName, "Did you mean frozen"),
        ({"backbone": "resnet5"}, UnknownName, "Did you mean resnet50"),
        ({"val": 0.9}, ConfigError, "--val"),
    ],
)
def test_what_nothing_goes_by_is_refused(
    tmp_path: Path, settings: dict[str, Any], kind: type[RegraftError], said: str
) -> None:
    with pytest.raises(kind, match=said):
        preflight(tmp_path, settings)


def test_data_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere does not exist"):
        preflight(tmp_path / "nowhere", {})


def test_each_of_several_names_is_looked_at(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Unknown backbone 'vgg15'"):
        preflight(tmp_path, {}, backbones="resnet18, vgg15")
    with pytest.raises(UnknownName, match="Unknown method 'tuned'"):
        preflight(tmp_path, {}, named="frozen,tuned")


@pytest.mark.parametrize("name", ["resnet18", "xception", "resnet50.a1_in1k", "regnet_y_400mf", "vit_base_patch16_224"])
def test_every_name_of_the_libraries_may_be_meant(tmp_path: Path, name: str) -> None:
    preflight(tmp_path, {"backbone": name}, backbones="available")


def test_nothing_heavy_is_imported_for_it(tmp_path: Path) -> None:
    code = f"""
import sys
from regraft.cli import main
try:
    main()
finally:
    print(sorted({HEAVY} & set(sys.modules)))
"""
    command = [sys.executable, "-c", code, "train", tmp_path / "nowhere"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == "[]\n"
    assert "does not exist" in done.stderr


def test_a_model_is_a_folder_or_a_network(tmp_path: Path) -> None:
    preflight_model(str(tmp_path))
    preflight_model("resnet50")
    with pytest.raises(ModelMissing, match="There is no folder runs/cells"):
        preflight_model("runs/cells")
    with pytest.raises(UnknownName, match="Unknown backbone 'cells'"):
        preflight_model("cells")
