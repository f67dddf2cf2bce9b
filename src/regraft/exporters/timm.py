"""timm: a folder that plain timm loads, ``timm.create_model("local-dir:FOLDER", pretrained=True)``, without Regraft."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from regraft.backbones import torchvision_compat
from regraft.data import Preprocessing
from regraft.errors import ConfigError, ExportError
from regraft.exporters._order import Answer, Order, Pixels
from regraft.exporters._seeing import Seeing
from regraft.inference.bundle import body_state
from regraft.inference.classifier import Classifier

SUFFIX = ".safetensors"
PACKAGES = ("timm",)
PRECISIONS = ("float32",)
SAME = 1e-4
LOOKS_ONCE = True  # its networks hold no views
NAME, BESIDE = "model.safetensors", ("config.json",)  # as timm looks for them in a folder
TAKES = 'timm.create_model("local-dir:FOLDER", pretrained=True) loads its folder; it gives scores, before the softmax.'
POOL = "catavgmax"
"""timm's name of the mean of each channel, and then the maximum of each."""


def write(order: Order, path: Path) -> None:
    """Write a model with a linear head, into which its standardisation and temperature are folded.

    Raises:
        ExportError: timm has no such network or head; says why.
        ConfigError: the file has another name than timm looks for.
    """
    if path.name != NAME:
        raise ConfigError(f"-o {path.name}: timm looks for {NAME} in a folder. Name it so: -o FOLDER/{NAME}")
    classifier = order.classifier
    if reason := _obstacle(classifier):
        raise ExportError(f"--format timm cannot hold this model: {reason} --format onnx or pt2 hold every one.")
    network = _filled(classifier)
    save_file({name: tensor.contiguous().clone() for name, tensor in network.state_dict().items()}, path)
    about = _config(classifier, order.about, network)
    path.with_name(BESIDE[0]).write_text(json.dumps(about, indent=2), encoding="utf-8")


def run(path: Path) -> Answer:
    """Return what runs a folder."""
    timm = torchvision_compat.timm()
    about = json.loads(path.with_name(BESIDE[0]).read_text(encoding="utf-8"))
    look = Preprocessing.from_dict(json.loads(about["regraft"]["preprocessing"]))
    network = timm.create_model(f"local-dir:{path.parent}", pretrained=True).eval()
    mean, std = (torch.tensor(about["pretrained_cfg"][name]).view(3, 1, 1) for name in ("mean", "std"))
    seeing = Seeing(look) if about["regraft"]["input"] == "any" else nn.Identity()

    def answer(pixels: Pixels) -> NDArray[np.float32]:
        with torch.inference_mode():
            square = seeing(torch.from_numpy(pixels)).permute(0, 3, 1, 2).float() / 255
            found: NDArray[np.float32] = network((square - mean) / std).softmax(1).numpy()
        return found

    return answer


def _obstacle(classifier: Classifier) -> str:
    """Say why timm cannot hold a model; nothing where it may."""
    backbone, look = classifier.backbone, classifier.preprocessing
    if classifier.spec is None:
        return f"{backbone.name} has its own ImageNet head, as it was published."
    if backbone.library != "timm":
        return f"{backbone.name} is a network of {backbone.library}, and timm calls its layers otherwise."
    if classifier.spec.hidden:
        return (
            f"its head has a hidden layer of {classifier.spec.hidden}, and timm's is one linear layer; train it with "
            "--hidden 0 or --method features."
        )
    if look.channels != "RGB" or look.file_channels or look.value_range:
        return "it reads pictures in another way than as 8 bits of red, green and blue."
    return ""


def _filled(classifier: Classifier) -> nn.Module:
    """Build timm's network with mean and maximum pooled, and fill it.

    Raises:
        ExportError: the network has no such pool, or more between it and the last layer.
    """
    timm, name = torchvision_compat.timm(), classifier.backbone.name
    try:
        network: nn.Module = timm.create_model(name, num_classes=len(classifier.classes), global_pool=POOL).eval()
        last: Any = network.get_classifier()  # type: ignore[operator]
        key = next(key for key, module in network.named_modules() if module is last)
        weight, bias = _folded(classifier)
        tensors = {f"{key}.weight": weight.view_as(last.weight), f"{key}.bias": bias}
        network.load_state_dict(body_state(classifier.backbone) | tensors)
    except (RuntimeError, TypeError, AttributeError, AssertionError, StopIteration) as error:
        raise ExportError(
            f"--format timm cannot hold this model: timm's {name} has no head of mean, maximum and one linear layer. "
            "--format onnx or pt2 hold every one."
        ) from error
    return network


def _folded(classifier: Classifier) -> tuple[Tensor, Tensor]:
    """Return the last layer with standardisation before, and temperature after it: [classes, 2 c] and [classes]."""
    state = {name: tensor.double() for name, tensor in classifier.head.state_dict().items()}
    weight = state["out.weight"] / state["standardize.std"]
    bias = state["out.bias"] - weight @ state["standardize.mean"]
    return (weight / classifier.temperature).float(), (bias / classifier.temperature).float()


def _config(classifier: Classifier, about: dict[str, str], network: nn.Module) -> dict[str, Any]:
    """Return config.json as timm reads it; what only Regraft knows is below its name."""
    look = classifier.preprocessing
    known: Any = network.pretrained_cfg
    return {
        "architecture": known["architecture"],
        "num_classes": len(classifier.classes),
        "num_features": classifier.backbone.width,
        "label_names": list(classifier.classes),
        "model_args": {"global_pool": POOL},
        "pretrained_cfg": {
            "num_classes": len(classifier.classes),
            "input_size": [3, look.size, look.size],
            "fixed_input_size": bool(known.get("fixed_input_size", False)),
            "pool_size": known.get("pool_size"),
            "crop_pct": look.size / look.resize if look.fit == "crop" else 1.0,
            "crop_mode": "center" if look.fit == "crop" else "squash",
            "interpolation": look.interpolation,
            "mean": [value / look.scale for value in look.mean],
            "std": [value / look.scale for value in look.std],
            "first_conv": known.get("first_conv"),
            "classifier": known.get("classifier"),
            "license": about["licence"],
        },
        "regraft": about,
    }
