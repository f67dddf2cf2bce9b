"""What every format must do: answer as the model does, for pictures of any size, any number, and every family."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from regraft import catalog, exporters
from regraft.errors import ConfigError, ExportError, UnknownName
from regraft.exporters._order import Order, Whole, ordered
from regraft.inference.classifier import Classifier
from regraft.metrics.thresholds import Threshold
from regraft.utils import onnx_file

SIZES = {"inception_v3": 75, "inception_resnet_v2": 75, "nasnet": 75}
"""Pixels, where 32 are too few."""
FITTING: dict[str, dict[str, Any]] = {"timm": {"name": "mobilenetv1_100", "hidden": 0}}
"""Networks and heads for formats that hold not every one."""
SMALLEST = {
    row["family"]: row["name"] for row in sorted(catalog.read(), key=lambda row: row["parameters"], reverse=True)
}


def noise(width: int, height: int, count: int = 1) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)


def order(classifier: Classifier, asked: str = "any", precision: str = "float32") -> Order:
    pictures = [noise(50, 40 + number) if asked == "any" else noise(32, 32) for number in range(8)]
    return ordered(classifier, asked=asked, precision=precision, calibration=pictures)


def of_model(classifier: Classifier, pixels: np.ndarray, asked: str = "any") -> np.ndarray:
    with torch.inference_mode():
        found: np.ndarray = Whole(classifier, any_size=asked == "any").eval()(torch.from_numpy(pixels)).numpy()
    return found


@pytest.mark.parametrize("form", exporters.names())
@pytest.mark.parametrize("asked", ["any", "square"])
def test_an_exported_file_answers_as_its_model(
    form: str, asked: str, small: Callable[..., Classifier], tmp_path: Path
) -> None:
    classifier = small(**FITTING.get(form, {}))
    writer = exporters.module(form, "float32")
    file = tmp_path / f"model{writer.SUFFIX}"
    writer.write(order(classifier, asked), file)
    run = writer.run(file)
    for width, height in [(20, 20), (50, 90), (333, 21)] if asked == "any" else [(32, 32)]:
        for count in (1, 3):
            pixels = noise(width, height, count)
            np.testing.assert_allclose(run(pixels), of_model(classifier, pixels, asked), atol=writer.SAME)


@pytest.mark.parametrize("family", sorted(SMALLEST))
def test_every_family_is_exported(family: str, small: Callable[..., Classifier], tmp_path: Path) -> None:
    classifier = small(SMALLEST[family], SIZES.get(family, 32))
    writer = exporters.module("onnx", "float32")
    writer.write(order(classifier), tmp_path / "model.onnx")
    run = writer.run(tmp_path / "model.onnx")
    for pixels in (noise(20, 20, 2), noise(150, 90)):
        np.testing.assert_allclose(run(pixels), of_model(classifier, pixels), atol=writer.SAME)


@pytest.mark.parametrize(
    ("form", "precision"),
    [(form, one) for form in exporters.names() for one in exporters.module(form).PRECISIONS[1:]],
)
def test_a_lower_precision_is_smaller_and_near(
    form: str, precision: str, classifier: Classifier, tmp_path: Path
) -> None:
    """The whole network is lowered, and the square that it sees is not: that would change the picture."""
    writer = exporters.module(form, precision)
    sizes, whole = dict[str, int](), of_model(classifier, noise(50, 70))
    for one in ("float32", precision):
        (tmp_path / one).mkdir()
        writer.write(order(classifier, precision=one), tmp_path / one / f"model{writer.SUFFIX}")
        sizes[one] = sum(path.stat().st_size for path in (tmp_path / one).iterdir())
    share = {"float16": 0.65, "int8": 0.5}[precision]
    assert sizes[precision] < share * sizes["float32"]
    found = writer.run(tmp_path / precision / f"model{writer.SUFFIX}")(noise(50, 70))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, whole, atol=0.05 if precision == "int8" else 0.005)


def test_onnx_says_what_a_reader_needs(small: Callable[..., Classifier], tmp_path: Path) -> None:
    classifier = small(classes=2, threshold=Threshold("b", 0.3, "recall", 0.9), about={"method": "frozen"})
    exporters.module("onnx", "float32").write(order(classifier), tmp_path / "model.onnx")
    content = (tmp_path / "model.onnx").read_bytes()
    about = onnx_file.session(content, 1).get_modelmeta().custom_metadata_map
    assert onnx_file.is_whole(content)
    assert json.loads(about["classes"]) == ["a", "b"]
    assert json.loads(about["threshold"])["value"] == 0.3
    assert json.loads(about["preprocessing"])["resize"] == 36
    assert (about["format"], about["method"], about["input"]) == ("1", "frozen", "any")
    assert (about["backbone"], about["licence"]) == ("squeezenet1_1", "unknown")


@pytest.mark.parametrize("where", [100, -500, -1])
def test_a_changed_byte_is_seen(where: int, classifier: Classifier, tmp_path: Path) -> None:
    exporters.module("onnx", "float32").write(order(classifier, "square"), tmp_path / "model.onnx")
    content = bytearray((tmp_path / "model.onnx").read_bytes())
    content[where] ^= 1
    assert not onnx_file.is_whole(bytes(content))


def test_onnx_itself_finds_nothing_wrong(classifier: Classifier, tmp_path: Path) -> None:
    import onnx

    exporters.module("onnx", "float32").write(order(classifier), tmp_path / "model.onnx")
    onnx.checker.check_model(tmp_path / "model.onnx", full_check=True)
    assert onnx.load(tmp_path / "model.onnx").opset_import[0].version >= 18


def test_pt2_runs_with_torch_alone(classifier: Classifier, tmp_path: Path) -> None:
    exporters.module("pt2", "float32").write(order(classifier), tmp_path / "model.pt2")
    np.save(tmp_path / "pixels.npy", noise(60, 44))
    program = """
import sys, numpy, torch
class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("regraft", "timm", "torchvision", "PIL"):
            raise ImportError(name)
sys.meta_path.insert(0, Refused())
files = {"regraft.json": ""}
network = torch.export.load(sys.argv[1] + "/model.pt2", extra_files=files).module()
print(files["regraft.json"])
numpy.save(sys.argv[1] + "/found.npy", network(torch.from_numpy(numpy.load(sys.argv[1] + "/pixels.npy"))).numpy())
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(json.loads(done.stdout)["classes"]) == ["a", "b", "c"]
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), of_model(classifier, noise(60, 44)), atol=1e-5)


def test_what_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownName, match="onnx"):
        exporters.module("onx", "float32")
    with pytest.raises(ConfigError, match="float32, float16"):
        exporters.module("pt2", "int8")
    monkeypatch.setattr(importlib.import_module("regraft.exporters.openvino"), "PACKAGES", ("none_such",))
    with pytest.raises(ExportError, match="pip install none_such"):
        exporters.module("openvino", "float32")


def test_a_format_is_a_file(classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else is edited for it: it has its name by being there."""
    (tmp_path / "coreml.py").write_text("SUFFIX, PACKAGES, PRECISIONS = '.mlpackage', (), ('float32',)")
    monkeypatch.setattr(exporters, "__path__", [*exporters.__path__, str(tmp_path)])
    assert exporters.names() == ("coreml", "onnx", "openvino", "pt2", "timm")
    assert exporters.module("coreml", "float32").SUFFIX == ".mlpackage"
