"""All engines give what the stages give, at every cut, and what one tap hands out no later stage spoils."""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from regraft.activations.devices import pick_device
from regraft.activations.engines import Engine, Job, Runner, Taps, able, choose, module, names, open_engine
from regraft.activations.engines._export import PAYS_FROM, export, export_path, squares
from regraft.backbones import FAMILIES, Backbone, build
from regraft.errors import ConfigError, UnknownName
from regraft.utils import onnx_file
from regraft.utils.progress import Progress

SIZE = 64
LEAST = {"inception_v3": 96, "inception_resnet_v2": 96}  # px; below, nothing is left for their last layers
SMALLEST = [family.members[0] for family in FAMILIES]  # one real network a row
# NASNet's export alone takes 12 s; measured by hand, both engines agree within 1e-6
EXPORTED = [name for name in SMALLEST if name not in ("nasnetalarge", "pnasnet5large")]
CPU = torch.device("cpu")
RUNNERS = [
    Runner(name, precision)
    for name in names()
    for precision in ("float32", "bfloat16", "float16")
    if module(name).supports(CPU, precision) and (name != "torch" or precision == "float32")  # the others take minutes
]
BOUNDS = {"float32": 1e-4, "bfloat16": 0.1, "float16": 0.02}


class Heard(Progress):
    """Keeps the warnings."""

    def __init__(self, said: list[str]) -> None:
        self.said = said

    def warn(self, text: str) -> None:
        self.said.append(text)


def opened(
    runner: Runner,
    network: nn.Module,
    folder: Path,
    recipe: dict[str, Any],
    size: int = SIZE,
    said: list[str] | None = None,
) -> Engine:
    heard = Heard([] if said is None else said)
    return open_engine(
        runner.engine, Job(network, size, lambda: recipe, folder, precision=runner.precision, progress=heard)
    )


def on_onnxruntime(network: nn.Module, folder: Path, recipe: dict[str, Any], size: int = SIZE) -> Engine:
    return opened(Runner("onnxruntime"), network, folder, recipe, size)


def on_torch(network: nn.Module, device: torch.device, precision: str = "float32") -> Engine:
    return open_engine("torch", Job(network, SIZE, dict, Path(), device=device, precision=precision))


@functools.cache
def real(name: str) -> Backbone:
    return build(name)


def pixels_of(size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, size, size, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return pixels_of(SIZE)


def each_alone(backbone: Backbone, cuts: Sequence[int], pixels: np.ndarray) -> list[torch.Tensor]:
    with torch.inference_mode():
        return [backbone.prefix(cut)(torch.from_numpy(pixels)).clone() for cut in cuts]


@pytest.mark.parametrize("name", SMALLEST)
def test_all_taps_at_once_equal_each_prefix_alone(name: str) -> None:
    """An in-place ReLU at the start of the next stage must not change what was handed out before it."""
    backbone, pixels = real(name), pixels_of(LEAST.get(name, SIZE))
    cuts = range(1, len(backbone.stages) + 1)
    with torch.inference_mode():
        together = Taps(backbone, cuts)(torch.from_numpy(pixels))
    for cut, tap, alone in zip(cuts, together, each_alone(backbone, cuts, pixels), strict=True):
        assert torch.equal(tap, alone), cut


@pytest.mark.parametrize("name", EXPORTED)
def test_every_engine_equals_the_stages_at_every_cut(name: str, tmp_path: Path) -> None:
    """In float32 up to rounding, in a shorter format within a thousand times as much."""
    backbone, size = real(name), LEAST.get(name, SIZE)
    pixels = pixels_of(size)
    cuts = range(1, len(backbone.stages) + 1)
    expected = each_alone(backbone, cuts, pixels)
    for runner in RUNNERS:  # torch last: it changes the memory layout
        run = opened(runner, Taps(backbone, cuts), tmp_path, {"backbone": name}, size)
        for cut, found, alone in zip(cuts, run(pixels), expected, strict=True):
            assert found.dtype == np.float32
            largest = alone.abs().max().item()
            np.testing.assert_allclose(
                found, alone.numpy(), rtol=0, atol=BOUNDS[runner.precision] * largest, err_msg=f"{runner}, cut {cut}"
            )
    assert len(list(tmp_path.glob("*.onnx"))) == 1  # one for all engines that read it


@pytest.mark.parametrize("runner", RUNNERS, ids="-".join)
def test_a_batch_of_any_size_gives_the_same_rows(runner: Runner, pixels: np.ndarray, tmp_path: Path) -> None:
    run = opened(runner, Taps(real("squeezenet1_1"), [2, 4]), tmp_path, {})
    whole = run(pixels)
    for position in range(len(pixels)):
        for one, all_of_them in zip(run(pixels[position : position + 1]), whole, strict=True):
            np.testing.assert_allclose(one[0], all_of_them[position], rtol=1e-4, atol=1e-5 * np.abs(all_of_them).max())


def test_an_export_is_written_once_and_used_again(pixels: np.ndarray, tmp_path: Path) -> None:
    recipe = {"backbone": "squeezenet1_1"}
    first = on_onnxruntime(Taps(real("squeezenet1_1"), [3]), tmp_path, recipe)
    (path,) = tmp_path.iterdir()  # no temporary file beside it
    assert path == export_path(recipe, tmp_path)
    written = path.stat().st_ino, path.read_bytes()
    second = on_onnxruntime(Taps(real("squeezenet1_1"), [3]), tmp_path, recipe)
    assert (path.stat().st_ino, path.read_bytes()) == written
    np.testing.assert_array_equal(first(pixels)[0], second(pixels)[0])


def test_an_export_knows_its_own_digest_and_is_still_onnx(tmp_path: Path) -> None:
    model = export(Taps(real("squeezenet1_1"), [2]), squares(SIZE), path=tmp_path / "network.onnx")
    loaded = onnx.load(tmp_path / "network.onnx")
    onnx.checker.check_model(loaded)
    (entry,) = loaded.metadata_props
    assert entry.key == "sha256"
    assert entry.value == hashlib.sha256(model[: -onnx_file.SEAL_BYTES]).hexdigest()


def cut_off(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flip_a_weight(content: bytes) -> bytes:
    return content[:50_000] + bytes([content[50_000] ^ 64]) + content[50_001:]


def of_zeros(content: bytes) -> bytes:
    return bytes(len(content))


def nothing(content: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("harm", [cut_off, flip_a_weight, of_zeros, nothing])
@pytest.mark.parametrize(
    ("engine", "ending", "then"),
    [("onnxruntime", "onnx", "exported again"), ("openvino", "openvino", "compiled again")],
)
def test_what_is_damaged_is_said_and_made_again(
    engine: str, ending: str, then: str, harm: Any, pixels: np.ndarray, tmp_path: Path
) -> None:
    said: list[str] = []

    def run() -> list[np.ndarray]:
        return opened(Runner(engine), Taps(real("squeezenet1_1"), [3]), tmp_path, {}, said=said)(pixels)

    first = run()
    np.testing.assert_array_equal(run()[0], first[0])
    assert not said
    (path,) = tmp_path.glob(f"*.{ending}")
    path.write_bytes(harm(path.read_bytes()))
    np.testing.assert_array_equal(run()[0], first[0])
    assert len(said) == 1
    assert then in said[0]
    np.testing.assert_array_equal(run()[0], first[0])
    assert len(said) == 1


def test_another_recipe_is_another_export(tmp_path: Path) -> None:
    assert export_path({"cuts": [3]}, tmp_path) != export_path({"cuts": [4]}, tmp_path)


def test_an_export_that_fails_leaves_no_file(tmp_path: Path) -> None:
    class Unexportable(torch.nn.Module):
        def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
            return [torch.linalg.matrix_exp(pixels[..., 0].float() / 1e4)]  # ONNX has no such operator

    with pytest.raises(torch.onnx.errors.OnnxExporterError):
        export(Unexportable(), squares(SIZE), path=tmp_path / "network.onnx")
    assert not list(tmp_path.iterdir())


def test_running_moves_no_statistics_and_keeps_no_gradient(pixels: np.ndarray) -> None:
    backbone = build("resnet18")
    backbone.model.train()
    before = {name: tensor.clone() for name, tensor in backbone.model.state_dict().items()}
    run = on_torch(Taps(backbone, [5]), CPU)
    run(pixels)
    assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.model.state_dict().items())


def test_an_unknown_device_names_those_at_hand() -> None:
    assert pick_device("cpu") == CPU
    with pytest.raises(UnknownName, match="cpu"):
        pick_device("tpu")


@pytest.mark.parametrize(
    ("wish", "device", "pictures", "exported", "engine"),
    [
        ("auto", "cpu", PAYS_FROM - 1, False, "torch"),
        ("auto", "cpu", PAYS_FROM, False, "openvino"),
        ("auto", "cpu", 1, True, "openvino"),
        ("auto", "cuda", 1_000_000, True, "torch"),
        ("torch", "cpu", 1_000_000, True, "torch"),
        ("onnxruntime", "cpu", 1, False, "onnxruntime"),
    ],
)
def test_an_export_is_made_on_a_cpu_where_it_pays_or_where_it_is_asked_for(
    wish: str, device: str, pictures: int, exported: bool, engine: str
) -> None:
    ready = ["onnxruntime", "openvino"] if exported else []
    assert choose(wish, torch.device(device), pictures, ready=ready).engine == engine


def test_an_unknown_engine_names_those_that_there_are() -> None:
    with pytest.raises(UnknownName, match="Did you mean onnxruntime"):
        choose("onnx-runtime", CPU, 1)


def test_what_an_engine_does_not_compute_in_is_refused_with_what_some_do() -> None:
    with pytest.raises(ConfigError, match="engine='onnxruntime' does not compute in bfloat16"):
        able(Runner("onnxruntime", "bfloat16"), CPU)


def test_openvino_tells_nobody_that_it_is_used(tmp_path: Path) -> None:
    """Its package sends an event to Google Analytics on import, and leaves an identifier in the home folder."""
    code = (
        "import sys, torch; from regraft.activations.engines import module; "
        "module('openvino').supports(torch.device('cpu'), 'bfloat16'); "
        "assert 'openvino' in sys.modules; "
        "print(sum(name.startswith('openvino_telemetry') and found is not None for name, found in sys.modules.items()))"
    )
    home = {"HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | home, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "0"
    assert not list(tmp_path.iterdir())


def test_half_precision_is_computed_only_where_it_is_asked_for(pixels: np.ndarray) -> None:
    large = torch.nn.Conv2d(3, 1, 1)
    torch.nn.init.constant_(large.weight, 1e6)

    class Large(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = large

        def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
            return [self.inner(pixels.permute(0, 3, 1, 2).float())]

    assert np.isinf(on_torch(Large(), CPU, "float16")(pixels)[0]).any()
    assert on_torch(Large(), CPU)(pixels)[0].max() > 65504


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_network_that_a_gpu_has_run_is_exported_on_the_cpu(pixels: np.ndarray, tmp_path: Path) -> None:
    network = Taps(build("squeezenet1_1"), [3])
    on_gpu = on_torch(network, torch.device("cuda"))(pixels)[0]
    on_cpu = on_onnxruntime(network, tmp_path, {})(pixels)[0]
    np.testing.assert_allclose(on_gpu, on_cpu, rtol=0, atol=1e-2 * np.abs(on_cpu).max())
