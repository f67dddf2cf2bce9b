"""Run the frozen stages: the same network through torch, or through ONNX Runtime where that is faster (on CPU)."""

from __future__ import annotations

import contextlib
import hashlib
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from regraft.activations.store import recipe_key, writing
from regraft.backbones.backbone import Backbone
from regraft.errors import UnknownName
from regraft.utils import files
from regraft.utils.machine import cores

Engine = Callable[[np.ndarray], list[np.ndarray]]
"""uint8 pixels ``[b, s, s, 3]`` -> one float32 array ``[b, ...]`` per output of the network."""

EXPORT_PAYS_FROM = 256
"""Pictures from which exporting pays: an export takes 1 to 3 s, ONNX Runtime saves 3 to 60 ms a picture."""


class Taps(nn.Module):
    """Runs the stages once and hands out what passes at each of the cuts (above 0), in ascending order."""

    def __init__(self, backbone: Backbone, cuts: Sequence[int]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(backbone.prefix(cut, start) for start, cut in pairwise([0, *sorted(cuts)]))

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """uint8 [b, s, s, 3] -> the outputs at the cuts."""
        passing, taps = pixels, []
        for part in self.parts:
            passing = part(passing)
            taps.append(passing)
        return taps


def choose(wish: str, device: torch.device, pictures: int, *, exported: bool = False) -> str:
    """Return the engine wished for; ``auto`` takes ONNX Runtime on a CPU where its export is there or pays.

    Raises:
        UnknownName: there is no such engine.
    """
    if wish not in ("auto", "torch", "onnxruntime"):
        raise UnknownName("engine", wish, ("auto", "torch", "onnxruntime"))
    pays = exported or pictures >= EXPORT_PAYS_FROM
    return wish if wish != "auto" else "onnxruntime" if device.type == "cpu" and pays else "torch"


def on_torch(network: nn.Module, device: torch.device, *, half: bool = False) -> Engine:
    """Run `network` with torch, in float32 or in half precision: faster on a GPU, and values end at 65504."""
    network = network.eval().to(device).to(memory_format=layout(device))  # type: ignore[call-overload]

    def run(pixels: np.ndarray) -> list[np.ndarray]:
        precision = torch.autocast(device.type, torch.float16) if half else contextlib.nullcontext()
        with torch.inference_mode(), precision:
            return [output.float().cpu().numpy() for output in network(torch.from_numpy(pixels).to(device))]

    return run


def layout(device: torch.device) -> torch.memory_format:
    """Return how tensors lie in memory where convolutions are fastest: with channels last, 1.1 to 1.7 times.

    Whatever runs a stage sets it: the rounding, and so what is learned, must not depend on what ran before. On MPS
    BatchNorm's backward pass fails with channels last.
    """
    return torch.contiguous_format if device.type == "mps" else torch.channels_last


def on_onnxruntime(
    network: nn.Module,
    *,
    size: int,
    recipe: Mapping[str, Any],
    folder: Path,
    warn: Callable[[str], None] = lambda line: None,
) -> Engine:
    """Run `network` with ONNX Runtime; its export stays in `folder` for the next run with the same recipe.

    An export that is not as it was written is deleted and made again, and `warn` is told.
    """
    import onnxruntime

    path = export_path(recipe, folder)
    model = _kept_export(path, warn)
    if model is None:
        model = export(network, size=size, path=path)
    with contextlib.suppress(OSError):
        os.utime(path)  # in use: `make_room` takes others first
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda pixels: session.run(None, {"pixels": pixels})


def export_path(recipe: Mapping[str, Any], folder: Path) -> Path:
    """Return where the export of that recipe is kept; another torch may export otherwise, so its version counts."""
    return folder / f"{recipe_key({**recipe, 'torch': torch.__version__})}.onnx"


def _kept_export(path: Path, warn: Callable[[str], None]) -> bytes | None:
    """Return the export that is kept, if it is as it was written: a changed weight would load and answer wrongly."""
    try:
        model = path.read_bytes()
    except OSError:  # not there; why none can be written either, writing it will tell
        return None
    if model[-_SEAL_BYTES:] == _seal(memoryview(model)[:-_SEAL_BYTES]):
        return model
    path.unlink(missing_ok=True)
    warn(
        f"{path} had been damaged, as by a loss of power or a failing disk, and was deleted; "
        "the network is exported again."
    )
    return None


def _seal(model: bytes | memoryview) -> bytes:
    """Return what is put at the end of an export: its SHA-256, as one more entry of ONNX's ``metadata_props``.

    A file that tells by itself whether it is whole cannot lose its digest, and two runs that export at once cannot mix
    theirs. Protocol buffers may be continued by appending (field 14 of the model: key 1, value 2), and loading onnx for
    it would take half a second.
    """
    entry = b"\n\x06sha256\x12\x40" + hashlib.sha256(model).hexdigest().encode()
    return b"\x72" + bytes([len(entry)]) + entry


_SEAL_BYTES = len(_seal(b""))


def export(network: nn.Module, *, size: int, path: Path) -> bytes:
    """Write `network` (uint8 ``[b, size, size, 3]`` -> a list of outputs, any b) as ONNX, whole or not at all.

    Returns what was written. The network is moved to the CPU.

    torch's TorchScript exporter is used for its speed: 1 to 3 s against 6 to 9 s, with equal results.

    Raises:
        StoreError, CacheFull: the folder may not be written to, or its disk is full.
    """
    network = network.eval().cpu()  # the GPU may have run its layers before
    pixels = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    outputs = [f"output{index}" for index in range(len(network(pixels)))]
    with writing(path.parent), files.whole(path) as temporary, warnings.catch_warnings():
        path.parent.mkdir(parents=True, exist_ok=True)
        warnings.simplefilter("ignore")  # the exporter's own deprecation and tracing notes say nothing to a user
        torch.onnx.export(
            network,
            (pixels,),
            str(temporary),
            dynamo=False,
            opset_version=17,
            input_names=["pixels"],
            output_names=outputs,
            dynamic_axes={name: {0: "batch"} for name in ("pixels", *outputs)},
        )
        model = temporary.read_bytes()
        model += _seal(model)
        temporary.write_bytes(model)
    return model


def pick_device(wish: str) -> torch.device:
    """Return the device to compute on; ``auto`` takes CUDA, then Apple's MPS, then the CPU.

    Raises:
        UnknownName: the wish names a device that this machine does not have.
    """
    at_hand = ["cpu"]
    if torch.backends.mps.is_available():
        at_hand.insert(0, "mps")
    if torch.cuda.is_available():
        at_hand.insert(0, "cuda")
    if wish not in ("auto", *at_hand):
        raise UnknownName(
            "device",
            wish,
            at_hand,
            "These are the devices that torch finds on this machine; `regraft doctor` says more.",
        )
    return torch.device(at_hand[0] if wish == "auto" else wish)
