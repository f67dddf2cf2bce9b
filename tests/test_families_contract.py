"""What training must do on every family: learn, be kept, and answer as the run did. Random weights, tiny pictures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from regraft.backbones import FAMILIES
from regraft.experiments.run import Run
from regraft.experiments.train import train as train_run
from regraft.inference import bundle

SIZES = {"inception_v3": 96, "inception_resnet_v2": 96}
METHODS = {
    "googlenet": "full",  # with its side exits
    "nasnetalarge": "frozen",  # all its cells are one stage, and a checkpoint of them 1 GB
    "inception_resnet_v2": "frozen",  # 20 s for what the others show as well
}
NETWORKS = (
    "squeezenet1_1",
    "vgg11",
    "resnet18",
    "resnetv2_50",
    "mobilenetv1_100",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "densenet121",
    "googlenet",
    "inception_v2",
    "inception_v3",
    "inception_resnet_v2",
    "efficientnet_b0",
    "tf_efficientnet_lite0",
    "legacy_xception",
    "nasnetalarge",
    "convnext_tiny",
)
ANY_OTHER = "test_resnet"  # a tiny network of timm's without a row


@pytest.fixture
def few(drawn: Path) -> Path:
    """Five pictures of each of two colours."""
    for folder in ("red", "green"):
        shutil.rmtree(drawn / folder)
    for picture in drawn.glob("*/*[5-7].png"):
        picture.unlink()
    return drawn


def train(pictures: Path, out: Path, name: str, **settings: Any) -> Run:
    usual = {
        "method": METHODS.get(name, "finetuned"),
        "img_size": SIZES.get(name, 64),
        "epochs": 1,
        "views": 1,
        "hidden": 16,
        "keep_dtype": "float32",  # random weights give numbers that no half precision holds
        "engine": "torch",
    }
    return train_run(pictures, out=out, backbone=name, weights="random", **{**usual, **settings})


def test_every_family_has_a_network_here() -> None:
    families = {member: family.name for family in FAMILIES for member in family.members}
    assert {families[name] for name in NETWORKS} == set(families.values())


@pytest.mark.parametrize("name", [*NETWORKS, ANY_OTHER])
def test_what_was_trained_is_kept_and_answers_as_the_run_did(name: str, few: Path, tmp_path: Path) -> None:
    run = train(few, tmp_path / "run", name)
    lines = [line.split(",") for line in (run.folder / "predictions.csv").read_text().splitlines()[1:]]
    model = bundle.load(run.folder)
    answers = list(model.predict([few / line[0] for line in lines], engine="torch"))
    found = np.array([answer.probabilities.max() for answer in answers])  # type: ignore[union-attr]
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, [float(line[3]) for line in lines], atol=1e-3)
    tensors = load_file(run.folder / "model" / bundle.TENSORS)
    assert not any("aux" in tensor.lower() for tensor in tensors)
    assert json.loads((run.folder / "model" / bundle.ABOUT).read_text())["backbone"] == name
