"""A model leaves: written, tried on pictures, and refused where it does not answer as it did."""

from __future__ import annotations

import csv
import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import regraft as package
from regraft import exporters
from regraft.data import Tta
from regraft.errors import ConfigError, ExportError, UnknownName
from regraft.exporters import _verification as verification
from regraft.exporters._export import export
from regraft.inference.classifier import Classifier
from regraft.metrics.thresholds import Threshold
from regraft.training.head import HeadSpec, build_head
from regraft.weights.loading import filled


@pytest.fixture(scope="module")
def exported(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> package.Export:
    """The small run as ONNX; read only."""
    return export(small_run, out=tmp_path_factory.mktemp("exported") / "shapes.onnx")


def test_a_run_is_tried_on_its_test_part_and_64_pictures(exported: package.Export) -> None:
    seen = exported.verification
    assert "test part" in seen.of
    assert seen.pictures == 64
    assert seen.difference < 1e-4
    assert seen.difference_predicted < 1e-4
    assert (seen.labels_changed, seen.p_value) == (0, 1.0)
    assert seen.accuracy == seen.accuracy_model
    beside = sorted(path.name for path in exported.file.parent.iterdir())
    assert beside == ["labels.txt", "predict_onnx.py", "shapes.onnx"]
    assert (exported.file.parent / "labels.txt").read_text() == "blue\ngreen\nred\nyellow\n"


def test_the_command_prints_one_object_and_names_a_new_folder(
    regraft: Callable[..., Any], small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("run", "run-2"):
        done = regraft("export", small_run, "--input", "square", "--json")
        assert done.status == 0, done.err
        found = json.loads(done.out)
        assert found["file"] == f"exports/{folder}/model.onnx"
        assert (tmp_path / found["file"]).is_file()
    assert (found["format"], found["precision"], found["input"]) == ("onnx", "float32", "square")
    assert found["difference"] < 1e-5
    said = regraft("export", small_run, "--format", "pt2", "-o", "kept/shapes.pt2")
    assert said.status == 0, said.err
    assert "kept/shapes.pt2: pt2, float32" in said.out
    assert "0 labels" in said.out


def test_a_bare_name_is_a_file_of_the_current_folder_and_nothing_is_left_beside(
    small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert export(small_run, out="shapes.onnx", input="square").file == Path("shapes.onnx")
    assert sorted(path.name for path in Path().iterdir()) == ["labels.txt", "predict_onnx.py", "shapes.onnx"]
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


def test_where_no_picture_is_left_it_is_tried_on_drawn_ones(
    regraft: Callable[..., Any], small_run: Path, tmp_path: Path
) -> None:
    shutil.copytree(small_run / "model", tmp_path / "model")
    done = regraft("export", tmp_path / "model", "-o", tmp_path / "alone.onnx")
    assert done.status == 0, done.err
    assert "drawn" in done.err
    assert "64 pictures (drawn pictures)" in done.out
    refused = regraft("export", tmp_path / "model", "-o", tmp_path / "8/int8.onnx", "--precision", "int8")
    assert refused.status == 1
    assert "--data" in refused.err


def test_data_that_are_given_are_what_it_is_tried_on(small_run: Path, drawn: Path, tmp_path: Path) -> None:
    found = export(small_run, out=tmp_path / "few.onnx", data=drawn, precision="float16")
    assert (found.verification.pictures, found.verification.of) == (32, str(drawn))
    assert found.verification.accuracy is not None


def test_int8_is_calibrated_and_compared_in_pairs(
    small: Callable[..., Classifier], drawn: Path, tmp_path: Path
) -> None:
    model = replace(small(classes=4), classes=("blue", "green", "red", "yellow"))
    found = export(model, out=tmp_path / "few.onnx", precision="int8", data=drawn)
    assert found.verification.p_value is not None
    assert found.verification.p_value >= verification.LEVEL


def test_a_file_that_answers_otherwise_is_refused_and_nothing_is_left(
    small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(verification.BOUNDS, "float16", verification.Bound(1e-12, 1.0, 1.0))
    with pytest.raises(ExportError, match=r"differ by up to .* 1e-12 is accepted .* precision='float32' passes"):
        export(small_run, out=tmp_path / "made/few.onnx", precision="float16")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_right_less_often_is_refused() -> None:
    """Its differences may be small: what counts is whether it is right as often on the same pictures."""
    right = verification.Verification(1000, "pictures", 0.1, 0.1, 9, 0.4, 0.9, 0.99, 0.004, 0.001, 9)
    with pytest.raises(ExportError, match=r"0\.9000 of 1000 .* p = 0\.004"):
        verification.refuse_worse(right, "int8")


@pytest.mark.parametrize(("changed", "mean"), [(21, 0.001), (0, 0.021)])
def test_a_file_that_changes_many_labels_or_all_a_little_is_refused(changed: int, mean: float) -> None:
    """Though it may be right as often: other pictures are wrong then."""
    seen = verification.Verification(1000, "pictures", 0.1, 0.1, 9, 0.4, 0.9, 0.9, 1.0, mean, changed)
    with pytest.raises(ExportError, match=r"20 and 0\.02 are accepted with .*int8.*float16"):
        verification.refuse_worse(seen, "int8")
    verification.refuse_worse(replace(seen, difference_mean=0.019, labels_changed_float32=20), "int8")


@pytest.mark.parametrize("form", ["onnx", "openvino", "pt2"])
@pytest.mark.parametrize("augment", [("flip",), ("flip", "vflip"), ("turn",), ("flip", "turn")])
def test_a_file_looks_as_often_as_its_model(
    form: str, augment: tuple[str, ...], small: Callable[..., Classifier], drawn: Path, tmp_path: Path
) -> None:
    tta = Tta(8, augment).different
    model = replace(small(classes=4), classes=("blue", "green", "red", "yellow"), tta=tta)
    file = tmp_path / f"made/turned{exporters.module(form).SUFFIX}"
    seen = export(model, format=form, out=file, data=drawn).verification
    assert seen.difference_predicted < (1e-3 if form == "openvino" else 1e-4)
    plain = np.stack([one.plain for one in model.predict(drawn, device="cpu") if one.plain is not None])
    views = package.predict(model, drawn, device="cpu").probabilities
    assert np.abs(plain - views).max() > 10 * seen.difference_predicted  # the views differ by more than that
    if form == "onnx":
        found = package.predict(file, drawn)
        np.testing.assert_allclose(found.probabilities, views, atol=1e-4)
        with pytest.raises(ConfigError, match=f"looks at each picture {tta.views} times itself"):
            package.predict(file, drawn, tta=1)
        (row, *_) = csv.DictReader(
            alone(package.Export(file, form, "", "", 0, seen), drawn / "red/red0.png").stdout.splitlines()
        )
        assert float(row["prob"]) == pytest.approx(package.predict(file, drawn / "red/red0.png")[0]["prob"], abs=1e-5)


def test_views_that_only_regraft_draws_are_not_in_the_file(
    small: Callable[..., Classifier], drawn: Path, tmp_path: Path
) -> None:
    model = replace(small(classes=4), classes=("blue", "green", "red", "yellow"), tta=Tta(4, ("crop",)))
    with pytest.warns(package.RegraftWarning, match="the file looks once, at the plain one"):
        seen = export(model, out=tmp_path / "made/plain.onnx", data=drawn).verification
    assert seen.difference_predicted < 1e-4


def test_what_is_in_the_way_is_left_alone(small_run: Path, tmp_path: Path) -> None:
    taken = tmp_path / "taken.onnx"
    taken.write_text("mine")
    with pytest.raises(ConfigError, match="exists already"):
        export(small_run, out=taken)
    with pytest.raises(ConfigError, match=r"\.onnx"):
        export(small_run, out=tmp_path / "model.pt2")
    with pytest.raises(UnknownName, match="square"):
        export(small_run, out=tmp_path / "model.onnx", input="squares")
    (tmp_path / "labels.txt").write_text("mine as well")
    with pytest.raises(ConfigError, match=r"labels\.txt"):
        export(small_run, out=tmp_path / "model.onnx")
    assert taken.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.txt", "taken.onnx"]


@pytest.mark.real
def test_real_weights_predict_the_same_of_real_cells(shared: Path, tmp_path: Path) -> None:
    """MobileNetV2 on blood cells of 100 to 200 pixels, through the square in the file as through the decoder's."""
    backbone, _ = filled("mobilenet_v2", str(shared / "weights/mobilenet_v2.safetensors"))
    spec = HeadSpec(backbone.embedding_width, 2)
    model = Classifier(backbone, build_head(spec).eval(), ("Parasitized", "Uninfected"), spec)
    for name in model.classes:
        (tmp_path / "cells" / name).mkdir(parents=True)
        for cell in sorted((shared / "data/malaria" / name).glob("*.png"))[:12]:
            shutil.copy(cell, tmp_path / "cells" / name)
    found = export(model, data=tmp_path / "cells", out=tmp_path / "made/cells.onnx").verification
    assert (found.pictures, found.labels_changed) == (24, 0)
    assert max(found.difference, found.difference_predicted) < 1e-4


# ---- the program beside ---------------------------------------------------------------------------------------------

REFUSE_OTHERS = """
import sys
KNOWN = {"numpy", "PIL", "onnxruntime", "regraft_alone", "flatbuffers", "google", "packaging", "defusedxml", "olefile"}
class Others:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in KNOWN | sys.stdlib_module_names:
            raise ImportError(f"{name} is not one of three packages")
sys.meta_path.insert(0, Others())
sys.argv = sys.argv[1:]
exec(compile(open(sys.argv[0]).read(), sys.argv[0], "exec"))
"""


def alone(exported: package.Export, *pictures: Path) -> subprocess.CompletedProcess[str]:
    program = exported.file.parent / "predict_onnx.py"
    line = [sys.executable, "-c", REFUSE_OTHERS, str(program), str(exported.file), *map(str, pictures)]
    return subprocess.run(line, capture_output=True, text=True)


@pytest.fixture
def odd_pictures(tmp_path: Path) -> list[Path]:
    """Of 20 to 4000 pixels; grey, with a palette, transparent, turned by EXIF, a JPEG that is large."""
    random = np.random.default_rng(0)
    noise = Image.fromarray(random.integers(0, 256, (9, 12, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    made = {
        "small.png": noise.resize((20, 20)),
        "grey.png": noise.resize((300, 200)).convert("L"),
        "palette.png": noise.resize((90, 120)).quantize(16),
        "transparent.png": Image.merge(
            "RGBA", [*noise.resize((70, 90)).split(), Image.linear_gradient("L").resize((70, 90))]
        ),
        "large.png": noise.resize((4000, 3000), Image.Resampling.BILINEAR),
        "tall.jpg": noise.resize((150, 900)),
    }
    for name, image in made.items():
        image.save(tmp_path / name)
    noise.resize((400, 300)).save(tmp_path / "turned.jpg", exif=exif)
    return [tmp_path / name for name in (*made, "turned.jpg")]


@pytest.mark.parametrize("asked", ["any", "square"])
def test_the_program_beside_answers_as_regraft_does(
    asked: str, small_run: Path, odd_pictures: list[Path], tmp_path: Path
) -> None:
    """With onnxruntime, numpy and Pillow alone."""
    exported = export(small_run, out=tmp_path / "made/shapes.onnx", input=asked)
    done = alone(exported, *odd_pictures)
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(done.stdout.splitlines()))
    expected = package.predict(small_run, odd_pictures)
    assert [row["filename"] for row in rows] == expected.filenames
    assert [row["label"] for row in rows] == expected.labels
    found = [float(row["prob"]) for row in rows]
    # Regraft decodes a large JPEG at 1/2 to 1/8 of its sides, which shows in how the noise between its blocks is gone
    near = [0.05 if name.endswith("jpg") else 1e-5 for name in expected.filenames]
    assert (np.abs(found - np.array([row["prob"] for row in expected])) < near).all()


def test_the_program_beside_follows_the_threshold_and_names_what_it_cannot_read(
    small: Callable[..., Classifier], odd_pictures: list[Path], tmp_path: Path
) -> None:
    model = small(classes=2, threshold=Threshold("b", 0.0001, "recall", 0.9))
    exported = export(model, out=tmp_path / "made/pair.onnx")
    (tmp_path / "text.png").write_text("no picture")
    Image.fromarray(np.full((9, 9), 4000, np.uint16)).save(tmp_path / "deep.png")
    done = alone(exported, tmp_path / "text.png", odd_pictures[0], tmp_path / "deep.png")
    assert done.returncode == 0, done.stderr
    assert [row["label"] for row in csv.DictReader(done.stdout.splitlines())] == ["b"]
    text, deep = done.stderr.splitlines()
    assert "text.png: cannot be read" in text
    assert "more than 8 bits" in deep


def test_a_package_that_is_not_there_is_named(
    regraft: Callable[..., Any], small_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.import_module("regraft.exporters.openvino"), "PACKAGES", ("none_such",))
    done = regraft("export", small_run, "--format", "openvino")
    assert done.status == 1
    assert "pip install none_such" in done.err
