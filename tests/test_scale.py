"""One scale and one choice of channels, from training to every command that uses the model."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from regraft.data import Preprocessing
from regraft.inference import bundle

SMALL = ("--img-size", 64, "--epochs", 2)
RNG = np.random.default_rng(5)


def write(folder: Path, channels: int = 1, top: float = 4095, count: int = 12) -> Path:
    """Draw two classes of 16-bit pictures that differ in the brightness of the last channel alone."""
    for label, brightness in (("bright", 1.0), ("dim", 0.3)):
        (folder / label).mkdir(parents=True)
        for number in range(count):
            planes = RNG.random((channels, 48, 48))
            planes[-1] *= brightness
            values = (planes * top).astype(np.uint16)
            about = {"imagej": True, "metadata": {"axes": "CYX"}} if channels > 1 else {}
            tifffile.imwrite(folder / label / f"{number}.tif", values if channels > 1 else values[0], **about)
    return folder


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A data set of 12 bits and a run on it; read only."""
    from regraft.experiments.train import train as train_run

    folder = tmp_path_factory.mktemp("deep")
    data = write(folder / "data")
    return data, train_run(data, out=folder / "run", img_size=64, epochs=10, report=False).folder


def test_the_scale_is_kept_in_the_bundle_and_what_8_bits_need_is_as_it_was(
    deep: tuple[Path, Path], small_run: Path
) -> None:
    assert bundle.load(deep[1]).backbone.preprocessing.value_range == (0, 4095)
    of_8_bits = json.loads((small_run / "model" / "bundle.json").read_text())["preprocessing"]
    assert sorted(of_8_bits) == ["channels", "fit", "interpolation", "mean", "resize", "scale", "size", "std"]
    assert Preprocessing.from_dict(of_8_bits).value_range is None


def test_a_dim_picture_by_itself_is_seen_as_dim(regraft, deep: tuple[Path, Path], tmp_path: Path) -> None:
    data, run = deep
    alone = tmp_path / "alone.tif"
    tifffile.imwrite(alone, tifffile.imread(data / "dim" / "0.tif"))
    one = json.loads(regraft("predict", run, alone, "--json").out)["rows"][0]
    among = json.loads(regraft("predict", run, data, "--json").out)["rows"]
    (same,) = [row for row in among if row["filename"].endswith("dim/0.tif")]
    assert one["label"] == same["label"] == "dim"
    assert one["prob"] == pytest.approx(same["prob"], abs=1e-4)


def test_another_range_is_another_answer_and_is_said(regraft, deep: tuple[Path, Path]) -> None:
    data, run = deep
    answer = regraft("predict", run, data / "dim", "--range", "0:1228", "--json")
    labels = [row["label"] for row in json.loads(answer.out)["rows"]]
    assert labels.count("bright") > 6
    assert "0 to 1228" in " ".join(answer.err.split())


def test_features_of_the_same_picture_are_the_same_in_any_company(deep: tuple[Path, Path]) -> None:
    from regraft.inference import features

    data, run = deep
    paths = [data / "dim" / "0.tif", data / "bright" / "0.tif"]
    np.testing.assert_allclose(features.features(run, paths)[0], features.features(run, paths[:1])[0], atol=1e-4)


def test_a_model_that_has_learned_from_8_bits_says_on_which_scale_it_sees_16(
    regraft, small_run: Path, deep: tuple[Path, Path]
) -> None:
    answer = regraft("predict", small_run, deep[0] / "dim")
    assert answer.status == 0
    assert "one scale, 0 to 65535. Set another with --range" in " ".join(answer.err.split())


def test_too_many_channels_are_refused_in_one_line_and_a_choice_is_learned_from(regraft, tmp_path: Path) -> None:
    data = write(tmp_path / "data", channels=5)
    refused = regraft("train", data, *SMALL, "--out", tmp_path / "run")
    assert refused.status == 1
    assert refused.err.splitlines()[-1].startswith("Error: 24 of 24 pictures hold 5 channels")
    assert "--channels 0,1,2, or one of 0 to 4" in refused.err
    assert not (tmp_path / "run").exists()
    chosen = regraft("train", data, "--channels", 4, "--img-size", 64, "--out", tmp_path / "run", "--json")
    assert json.loads(chosen.out)["test"]["accuracy"] == 1
    assert bundle.load(tmp_path / "run").backbone.preprocessing.file_channels == (4,)
    predicted = json.loads(regraft("predict", tmp_path / "run", data / "dim", "--json").out)["rows"]
    assert {row["label"] for row in predicted} == {"dim"}
    assert "Channels 4 of each file" in (tmp_path / "run" / "report.html").read_text()


def test_what_is_left_out_of_a_folder_is_said_by_every_command_that_reads_it(
    regraft, small_run: Path, drawn: Path
) -> None:
    for number in range(3):
        (drawn / "red" / f"{number}.svg").write_text("<svg/>")
    for arguments in (
        ("predict", small_run, drawn),
        ("eval", small_run, drawn),
        ("features", small_run, drawn, "-o", drawn.parent / "f.npz"),
        ("explain", small_run, drawn / "red", "-o", drawn.parent / "maps"),
        ("check", drawn, "--img-size", 64, "-o", drawn.parent / "check"),
        ("train", drawn, *SMALL, "-o", drawn.parent / "run"),
        ("recommend", drawn, "--backbones", "tf_efficientnet_lite0", "--img-size", 64),
    ):
        answer = regraft(*arguments)
        assert answer.status == 0, answer.err
        assert "3 .svg" in answer.out + answer.err, arguments[0]


def test_pictures_of_8_bits_are_seen_as_they_were(small_run: Path, drawn: Path) -> None:
    look = bundle.load(small_run).backbone.preprocessing
    from regraft.data import decode

    path = drawn / "red" / "red0.png"
    image = Image.open(path).convert("RGB").resize((64, 64), Image.Resampling.BICUBIC)
    assert {name: value for name, value in asdict(look).items() if value is None}.keys() == {
        "file_channels",
        "value_range",
        "max_megapixels",
    }
    np.testing.assert_array_equal(decode(path.read_bytes(), look), np.asarray(image))
