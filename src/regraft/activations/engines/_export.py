"""Network -> ONNX in the job's folder: exported once for all engines that read it, believed only as it was written."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from regraft.activations.engines._job import Job
from regraft.activations.store import recipe_key, writing
from regraft.utils import files, onnx_file

PAYS_FROM = 256  # pictures: an export takes 1 to 3 s, what reads it saves 3 to 60 ms a picture


def is_exported(recipe: Mapping[str, Any], folder: Path) -> bool:
    """Say whether the network is exported already."""
    return export_path(recipe, folder).exists()


def exported(job: Job) -> bytes:
    """Return the network as ONNX; it stays in the job's folder for the next run with the same recipe.

    An export that is not as it was written is deleted and made again, and the user is told.
    """
    path = export_path(job.recipe(), job.folder)
    if not path.exists():
        job.progress.note(f"Exporting {job.name}, once.")
    model = files.read_kept(path, onnx_file.sound, job.progress.warn, "the network is exported again")
    if model is None:
        model = export(job.network, squares(job.size), path=path)
        job.prepared()
    files.in_use(path)
    return model


def export_path(recipe: Mapping[str, Any], folder: Path) -> Path:
    """Return where the export of that recipe is kept; another torch may export otherwise, so its version counts."""
    return folder / f"{recipe_key({**recipe, 'torch': torch.__version__})}.onnx"


def squares(size: int) -> Tensor:
    """Return pictures of that size."""
    return torch.zeros(2, size, size, 3, dtype=torch.uint8)


def export(network: nn.Module, example: Tensor, *, path: Path, about: Mapping[str, str] | None = None) -> bytes:
    """Write `network` (what is like `example`, any number of it -> a list of outputs) as ONNX, whole or not at all.

    Returns what was written, with what is said `about` it. The network is moved to the CPU.

    torch's TorchScript exporter is used for its speed: 1 to 3 s against 6 to 9 s, with equal results.

    Raises:
        StoreError, CacheFull: the folder may not be written to, or its disk is full.
    """
    network = network.eval().cpu()  # the GPU may have run its layers before
    outputs = [f"output{index}" for index in range(len(network(example)))]
    with writing(path.parent), files.whole(path) as temporary, warnings.catch_warnings():
        path.parent.mkdir(parents=True, exist_ok=True)
        warnings.simplefilter("ignore")  # the exporter's own deprecation and tracing notes say nothing to a user
        torch.onnx.export(
            network,
            (example,),
            str(temporary),
            dynamo=False,
            opset_version=17,
            input_names=["pixels"],
            output_names=outputs,
            dynamic_axes={name: {0: "batch"} for name in ("pixels", *outputs)},
        )
        model = onnx_file.described(temporary.read_bytes(), about or {})
        temporary.write_bytes(model)
    return model
