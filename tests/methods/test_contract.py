"""What every method must do, run on everything registered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from regraft import methods
from regraft.activations.devices import layout
from regraft.backbones import build
from regraft.config import Config
from regraft.errors import ConfigError, UnknownName
from regraft.experiments.run import Run
from regraft.experiments.train import train as train_run
from regraft.inference import bundle
from regraft.inference.bundle import body_state
from regraft.methods._plan import layers
from regraft.weights.loading import load

METHODS = methods.names()
SMALL: dict[str, Any] = {"img_size": 64, "batch_size": 16, "seed": 3, "patience": 100}
EPOCHS = {"frozen": 30, "finetuned": 15, "features": 1, "full": 12, "scratch": 80}
RATES: dict[str, dict[str, float]] = {"full": {"lr": 1e-3, "tail_lr": 1e-3}}  # 40 steps are few for the usual 1e-4


def run(shapes: Path, out: Path, method: str, **settings: Any) -> Run:
    return train_run(shapes, out=out, method=method, **{**SMALL, "epochs": EPOCHS.get(method, 30), **settings})


@pytest.fixture(scope="module")
def runs(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    folder = tmp_path_factory.mktemp("runs")
    return {method: run(shapes, folder / method, method, **RATES.get(method, {})) for method in METHODS}


@pytest.mark.parametrize("method", METHODS)
def test_learns_four_coloured_shapes(runs: dict[str, Run], method: str) -> None:
    assert runs[method].test.values["accuracy"] == 1.0


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_bundle(runs: dict[str, Run], shapes: Path, tmp_path: Path, method: str) -> None:
    again = run(shapes, tmp_path / "again", method, **RATES.get(method, {}))
    for name in (bundle.TENSORS, bundle.ABOUT):
        assert (runs[method].folder / "model" / name).read_bytes() == (again.folder / "model" / name).read_bytes()


def test_the_same_seed_gives_the_same_bundle_whether_or_not_the_frozen_part_has_just_run(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "cache"))
    given = {"backbone": "resnet18", "weights": "random", "epochs": 1, "keep": "always", "engine": "torch"}
    bundles = [run(shapes, tmp_path / name, "finetuned", **given).folder / "model" for name in ("ran", "kept")]
    assert (bundles[0] / bundle.TENSORS).read_bytes() == (bundles[1] / bundle.TENSORS).read_bytes()


def test_a_tail_is_trained_as_its_device_computes_it_best() -> None:
    assert layout(torch.device("cpu")) == layout(torch.device("cuda")) == torch.channels_last
    assert layout(torch.device("mps")) == torch.contiguous_format  # BatchNorm's backward pass fails otherwise


@pytest.mark.parametrize("method", METHODS)
def test_only_what_the_plan_names_changes(runs: dict[str, Run], shapes: Path, tmp_path: Path, method: str) -> None:
    """Bit for bit, running statistics included: a frozen BatchNorm does not move."""
    done = runs[method]
    if method in ("finetuned", "full"):  # a head that learns next to nothing leaves something for the tail to better
        done = run(shapes, tmp_path / "run", method, lr=1e-6, tail_lr=1e-3)
    config = Config(method=method, **SMALL)
    fresh = build(config.backbone, seed=config.seed)
    load(fresh, "random" if method == "scratch" else None, seed=config.seed)
    plan = methods.plan(fresh, config)
    before, trained = body_state(fresh), bundle.load(done.folder)
    after = body_state(trained.backbone)
    names = {id(tensor): name for name, tensor in before.items()}
    for index, stage in enumerate(fresh.stages):
        moved = [
            not torch.equal(tensor, after[names[id(tensor)]])
            for tensor in stage.module.state_dict(keep_vars=True).values()
            if tensor.ndim
        ]
        assert any(moved) == (index >= plan.cut), stage.name
        assert all(moved) or index < plan.cut, stage.name


@pytest.mark.parametrize("method", METHODS)
def test_training_on_kept_activations_equals_training_on_recomputed_ones(
    shapes: Path, tmp_path: Path, method: str
) -> None:
    """In float32, with one engine, both ways see the same numbers, augmented views included.

    The frozen part runs in batches of other sizes, which changes its rounding (1e-7); where BatchNorm trains on batches
    of 16, AdamW makes about 1e-2 of that within a few steps. On the CPU: a GPU rounds coarser than float32.
    """
    same = {
        "device": "cpu",
        "keep_dtype": "float32",
        "engine": "torch",
        "views": 2,
        "augment": "flip,turn",
        "epochs": min(EPOCHS.get(method, 2), 2),
    }
    answers = []
    for keep in ("always", "never"):
        found = run(shapes, tmp_path / keep, method, keep=keep, **same)
        answers.append(np.genfromtxt(found.folder / "predictions.csv", delimiter=",", skip_header=1, usecols=3))
    np.testing.assert_allclose(answers[0], answers[1], atol=0.03 if method in ("finetuned", "full") else 2e-4)


@pytest.mark.parametrize("method", METHODS)
def test_the_bundle_answers_on_files_as_the_run_did(runs: dict[str, Run], shapes: Path, method: str) -> None:
    """Training saw half-precision activations, prediction the files: the probabilities agree within 0.02."""
    lines = (runs[method].folder / "predictions.csv").read_text().splitlines()[1:]
    names, labels = zip(*((line.split(",")[0], line.split(",")[2]) for line in lines), strict=True)
    model = bundle.load(runs[method].folder)
    answers = list(model.predict([shapes / name for name in names]))
    assert [model.classes[int(answer.probabilities.argmax())] for answer in answers] == list(labels)  # type: ignore[union-attr]
    said = [float(line.split(",")[3]) for line in lines]
    assert np.abs(np.array(said) - [answer.probabilities.max() for answer in answers]).max() < 0.02  # type: ignore[union-attr]


def test_train_layers_trains_exactly_the_last_layers(shapes: Path, tmp_path: Path) -> None:
    found = run(shapes, tmp_path / "run", "finetuned", train_layers=2)
    fresh = build("tf_efficientnet_lite0")
    load(fresh)
    after = {name: module for _, name, module in layers(bundle.load(found.folder).backbone)}
    moved = [
        name
        for _, name, module in layers(fresh)
        if any(
            not torch.equal(tensor, after[name].state_dict()[key])
            for key, tensor in module.state_dict().items()
            if tensor.ndim
        )
    ]
    assert moved == [name for _, name, _ in layers(fresh)][-4:]  # two convolutions, each with its BatchNorm


def test_a_head_is_trained_before_the_tail(runs: dict[str, Run]) -> None:
    plan = json.loads((runs["finetuned"].folder / "config.json").read_text())["plan"]
    assert [phase["name"] for phase in plan["phases"]] == ["head", "tail"]
    assert plan["phases"][1]["tail_lr"] < plan["phases"][1]["lr"]


@pytest.mark.parametrize("method", ["finetuned", "full"])
def test_epochs_are_those_of_the_second_phase_and_the_head_is_never_slower_than_the_tail(method: str) -> None:
    head, tail = methods.plan(build("squeezenet1_1"), Config(method=method, epochs=5, tail_lr=1e-2)).phases
    assert (head.epochs, tail.epochs) == (10, 5)
    assert (tail.lr, tail.tail_lr) == (2e-2, 1e-2)


@pytest.mark.parametrize("method", [name for name in METHODS if name != "finetuned"])
def test_unfreezing_means_something_to_finetuned_only(method: str) -> None:
    with pytest.raises(ConfigError, match="method="):
        methods.plan(build("squeezenet1_1"), Config(method=method, unfreeze="1"))


def test_an_unknown_method_or_stage_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="finetuned"):
        methods.plan(build("squeezenet1_1"), Config(method="finetune"))
    with pytest.raises(UnknownName, match="layer4"):
        methods.plan(build("resnet18"), Config(method="finetuned", unfreeze="layer5"))


def test_scratch_refuses_pretrained_weights() -> None:
    with pytest.raises(ConfigError, match="random"):
        methods.plan(build("squeezenet1_1"), Config(method="scratch", weights="torchvision"))
