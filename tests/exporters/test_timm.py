"""Plain timm loads the folder, and answers as the model does; what it cannot hold is refused with the reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import regraft as package
from regraft.backbones import torchvision_compat
from regraft.data import Preprocessing
from regraft.errors import ConfigError, ExportError
from regraft.exporters import timm as writer
from regraft.exporters._order import Order, ordered
from regraft.inference.classifier import Classifier

STRETCHED = Preprocessing(size=64, resize=64, fit="stretch")


def order(classifier: Classifier) -> Order:
    return ordered(classifier, asked="any", precision="float32", calibration=())


@pytest.fixture(scope="module")
def linear(small: Callable[..., Classifier]) -> Classifier:
    """A network of timm with a linear head, whose standardisation does something."""
    made = small("mobilenetv1_100", hidden=0).looking(STRETCHED)
    squares = np.random.default_rng(1).integers(0, 256, (6, 1, 1, 3), np.uint8).repeat(64, 1).repeat(64, 2)
    with torch.inference_mode():
        made.head.standardize.set([made.backbone.prefix(len(made.backbone.stages))(torch.from_numpy(squares))])
    return made


def test_plain_timm_answers_as_the_model(linear: Classifier, tmp_path: Path) -> None:
    """With its own transform, on pictures from files."""
    writer.write(order(linear), tmp_path / "model.safetensors")
    timm = torchvision_compat.timm()
    network = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    assert network.pretrained_cfg["label_names"] == ["a", "b", "c"]
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(network))
    noise = np.random.default_rng(0)
    pixels = noise.integers(0, 80, (4, 90, 130, 3), np.uint8) + noise.integers(0, 170, (4, 1, 1, 3), np.uint8)
    for number, one in enumerate(pixels):
        Image.fromarray(one).save(tmp_path / f"{number}.png")
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    with torch.inference_mode():
        found = network(torch.stack([transform(Image.open(path)) for path in paths])).softmax(1).numpy()
    own = package.predict(linear, paths, device="cpu").probabilities
    assert np.ptp(own, axis=0).max() > 1e-3  # the pictures are told apart at all
    np.testing.assert_allclose(found, own, atol=1e-4)


def test_a_crop_is_named_as_timm_names_it(linear: Classifier, tmp_path: Path) -> None:
    cropped = linear.looking(Preprocessing(size=64, resize=80, fit="crop"))
    writer.write(order(cropped), tmp_path / "model.safetensors")
    about = json.loads((tmp_path / "config.json").read_text())["pretrained_cfg"]
    assert (about["crop_mode"], about["crop_pct"], about["input_size"]) == ("center", 0.8, [3, 64, 64])


def test_what_timm_cannot_hold_is_refused_with_the_reason(
    linear: Classifier, small: Callable[..., Classifier], tmp_path: Path
) -> None:
    file = tmp_path / "model.safetensors"
    with pytest.raises(ExportError, match="network of torchvision"):
        writer.write(order(small(hidden=0)), file)
    with pytest.raises(ExportError, match=r"hidden layer of 8.*hidden=0"):
        writer.write(order(small("mobilenetv1_100")), file)
    grey = linear.looking(replace(STRETCHED, file_channels=(0,)))
    with pytest.raises(ExportError, match="8 bits of red"):
        writer.write(order(grey), file)
    with pytest.raises(ConfigError, match=r"timm looks for model\.safetensors"):
        writer.write(order(linear), tmp_path / "other.safetensors")
    assert list(tmp_path.iterdir()) == []
