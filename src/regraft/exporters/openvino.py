"""OpenVINO: an .xml with a .bin beside it, which Intel's runtime runs on its processors, graphics and accelerators."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from regraft.exporters import onnx
from regraft.utils.openvino_runtime import core, runtime

if TYPE_CHECKING:
    from regraft.exporters._order import Answer, Order

SUFFIX = ".xml"
PACKAGES = ("openvino", "onnx")
PRECISIONS = ("float32", "float16")
SAME = 5e-3
"""It computes the square in float32 where float64 is asked for, so that a few of its pixels are one level off: 0.0013
was seen on 64 real cells, without another label."""


def write(order: Order, path: Path) -> None:
    """Write a model, by way of ONNX, with what is said of it in its ``rt_info``."""
    openvino = runtime()
    with tempfile.TemporaryDirectory(prefix="regraft-") as folder:
        made = Path(folder) / "model.onnx"
        onnx.write(order, made)
        model = openvino.convert_model(made)
    for name, value in order.about.items():
        model.set_rt_info(value, ["regraft", name])
    openvino.save_model(model, path, compress_to_fp16=False)


def run(path: Path) -> Answer:
    """Return what runs a file on the CPU, in float32."""
    model = core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda pixels: model(pixels)[0]
