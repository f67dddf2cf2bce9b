"""Predictions without torch: of an exported file, and of what the cache keeps of a bundle."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import regraft as package
from regraft.errors import BundleError, ChecksumMismatch, ConfigError, ModelMissing
from regraft.inference import exported
from regraft.inference.exported import Exported
from regraft.utils import plugins
from regraft.utils.progress import Progress

HEAVY = ("torch", "timm", "torchvision", "sklearn", "matplotlib", "scipy", "pyarrow")


class Listener(Progress):
    """Remembers what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)

    warn = note


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(exported, "may_have_accelerator", lambda: False)
    return tmp_path / "cache"


@pytest.fixture
def pictures(shapes: Path) -> list[Path]:
    return sorted(shapes.rglob("*.png"))[::8]


@pytest.fixture(scope="module")
def files(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The small run as ONNX, for pictures of any size and for squares; read only."""
    made = tmp_path_factory.mktemp("exports")
    return {
        asked: package.export(small_run, out=made / asked / "shapes.onnx", input=asked).file
        for asked in ("any", "square")
    }


def of_torch(run: Path, pictures: list[Path]) -> package.Predictions:
    return package.predict(run, pictures, engine="torch", device="cpu")


PROGRAM = """
import sys
from regraft.cli.commands import main
try:
    main(sys.argv[1:])
finally:
    print([name for name in %r if name in sys.modules], file=sys.stderr)
"""


def without_torch(*words: object) -> tuple[str, str]:
    """Run a command line in a process of its own; it must have imported none of what is heavy."""
    line = [sys.executable, "-c", PROGRAM % (HEAVY,), *map(str, words)]
    done = subprocess.run(line, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr
    *said, heavy = done.stderr.splitlines()
    assert heavy == "[]"
    return done.stdout, "\n".join(said)


@pytest.mark.parametrize("asked", ["any", "square"])
def test_a_file_predicts_without_torch_what_its_run_does(
    asked: str, files: dict[str, Path], small_run: Path, pictures: list[Path]
) -> None:
    out, _ = without_torch("predict", files[asked], *pictures, "--json")
    rows = json.loads(out)["rows"]
    expected = of_torch(small_run, pictures)
    assert [row["label"] for row in rows] == expected.labels
    np.testing.assert_allclose([row["prob"] for row in rows], [row["prob"] for row in expected], atol=1e-5)


def test_a_run_predicts_without_torch_from_the_second_time_on(
    small_run: Path, pictures: list[Path], own_cache: Path
) -> None:
    listener = Listener()
    first = package.predict(small_run, pictures, progress=listener)
    assert sum("once" in said for said in listener.said) >= 1
    out, said = without_torch("predict", small_run, *pictures, "--json")
    assert "Exporting" not in said
    rows = json.loads(out)["rows"]
    assert rows == list(first)


def test_what_is_kept_answers_as_the_bundle_does(small_run: Path, pictures: list[Path], own_cache: Path) -> None:
    """With the rows that its head was trained on, or in float32 where these were such."""
    quick = package.predict(small_run, pictures, top=4)
    engine = package.load(small_run).of_training(torch.device("cpu"))
    slow = package.predict(small_run, pictures, top=4, engine=engine.engine if engine else "torch")
    assert quick.labels == slow.labels
    np.testing.assert_allclose(quick.probabilities, slow.probabilities, atol=1e-5)


def test_a_damaged_export_is_made_again(small_run: Path, pictures: list[Path], own_cache: Path) -> None:
    before = package.predict(small_run, pictures)
    for path in (own_cache / "prefixes").iterdir():
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(bytes(content))
    listener = Listener()
    again = package.predict(small_run, pictures, progress=listener)
    assert any("damaged" in said for said in listener.said)
    assert list(again) == list(before)


def test_a_changed_bundle_is_refused_whatever_is_kept_of_it(
    small_run: Path, pictures: list[Path], own_cache: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(small_run, tmp_path / "copy")
    package.predict(run, pictures)
    about = (run / "model/bundle.json").read_text()
    (run / "model/bundle.json").write_text(about.replace('"blue"', '"azure"'))
    with pytest.raises(ChecksumMismatch):
        package.predict(run, pictures)
    (run / "model/bundle.json").write_text(about)
    assert package.predict(run, pictures).labels
    with (run / "model/model.safetensors").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x77")
    with pytest.raises(ChecksumMismatch):
        package.predict(run, pictures)


def test_where_nothing_can_be_kept_torch_predicts(
    small_run: Path, pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").write_text("in the way")
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(exported, "may_have_accelerator", lambda: False)
    listener = Listener()
    assert package.predict(small_run, pictures, progress=listener).labels
    assert any("REGRAFT_CACHE" in said for said in listener.said)


def test_a_loaded_file_answers_any_number_of_times_from_any_thread(
    files: dict[str, Path], pictures: list[Path]
) -> None:
    model = package.load(files["square"])
    assert isinstance(model, Exported)
    expected = [one.probabilities for one in model.predict(pictures)]
    wrong = []

    def ask() -> None:
        for _ in range(5):
            found = [one.probabilities for one in model.predict(pictures)]
            wrong.extend(at for at, (a, b) in enumerate(zip(found, expected, strict=True)) if not np.array_equal(a, b))  # type: ignore[arg-type]

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_an_exported_file_is_measured_and_nothing_else(
    regraft: Callable[..., Any], files: dict[str, Path], small_run: Path, drawn: Path
) -> None:
    done = regraft("eval", files["any"], drawn, "--json")
    assert done.status == 0, done.err
    found, of_run = json.loads(done.out), json.loads(regraft("eval", small_run, drawn, "--json").out)
    assert found["test"]["accuracy"] == of_run["test"]["accuracy"]
    assert (found["backbone"], found["method"]) == (of_run["backbone"], of_run["method"])
    picture = next(drawn.rglob("*.png"))
    for words in (("explain", files["any"], picture), ("features", files["any"], picture, "-o", "x.npz")):
        refused = regraft(*words)
        assert (refused.status, len(refused.err.splitlines())) == (1, 1)
        assert "exported file" in refused.err


def test_what_is_no_exported_file_is_refused_in_a_line(files: dict[str, Path], tmp_path: Path) -> None:
    content = bytearray(files["any"].read_bytes())
    content[5000] ^= 4
    (tmp_path / "changed.onnx").write_bytes(bytes(content))
    with pytest.raises(BundleError, match="a byte was changed"):
        package.load(tmp_path / "changed.onnx")
    with pytest.raises(ModelMissing, match="no file"):
        package.load(tmp_path / "absent.onnx")
    with pytest.raises(ConfigError, match="device='cuda'"):
        package.predict(files["any"], files["any"], device="cuda")
    with pytest.raises(ConfigError, match="tta="):
        package.predict(files["any"], files["any"], tta=4)
    with pytest.raises(ConfigError, match="brings its own"):
        package.predict(files["any"], files["any"], weights="random")


@pytest.mark.parametrize("method", ["frozen", "finetuned"])
def test_what_was_frozen_in_a_shorter_format_predicts_at_once_as_well(
    method: str, shapes: Path, pictures: list[Path], own_cache: Path, tmp_path: Path
) -> None:
    """The rest in float32, above what OpenVINO has compiled: as torch computes it."""
    openvino = plugins.load("regraft.activations.engines", "openvino")
    if not openvino.supports(torch.device("cpu"), "bfloat16"):
        pytest.skip("this processor does not compute in bfloat16")
    asked = {"engine": "openvino", "precision": "bfloat16", "device": "cpu"}
    run = package.train(shapes, out=tmp_path / "run", method=method, img_size=64, epochs=1, report=False, **asked)
    expected = package.predict(package.load(run), pictures, device="cpu")
    first = package.predict(run, pictures)
    out, _ = without_torch("predict", run.folder, *pictures, "--json")
    assert json.loads(out)["rows"] == list(first)
    np.testing.assert_allclose(first.probabilities, expected.probabilities, atol=1e-5)
    assert any(path.suffix == ".openvino" for path in (own_cache / "prefixes").iterdir())
