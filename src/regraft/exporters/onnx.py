"""ONNX: one file that ONNX Runtime, and most others, run on every system."""

from __future__ import annotations

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from regraft.utils import onnx_file
from regraft.utils.machine import cores

if TYPE_CHECKING:
    from regraft.exporters._order import Answer, Order, Pixels

SUFFIX = ".onnx"
PACKAGES = ("onnx", "onnxruntime")
PRECISIONS = ("float32", "float16", "int8")
SAME = 1e-4
OPSET = 18
BODY = "/answering/inner/inner.0/"
"""What the names of its nodes begin with."""
QUANTIZED = ("Conv", "Gemm", "MatMul")
FIRST, LAST = 8, 1
"""Of the body's layers, as many at its ends stay as they are, and so does the head. Of 809 blood cells a fine-tuned
MobileNetV2 changes 1 label so, and 10 with three at its beginning, at the same size: the first layers are small and
their ranges wide. Scales from percentiles or entropy, depthwise layers in float32, and 16 bits between layers helped
less."""


def write(order: Order, path: Path) -> None:
    """Write a model of that precision, with what is said of it, sealed."""
    _trace(order, path)
    if order.precision == "int8":
        _quantize(path, order)
    path.write_bytes(onnx_file.described(path.read_bytes(), order.about))


def run(path: Path) -> Answer:
    """Return what runs a file."""
    session = onnx_file.session(path.read_bytes(), cores())
    return lambda pixels: session.run(None, {"pixels": pixels})[0]


def _trace(order: Order, path: Path) -> None:
    import torch

    axes = ("batch", "height", "width")[: 3 if order.any_size else 1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecation and tracing notes say nothing to a user
        torch.onnx.export(
            order.network,
            (order.example,),
            str(path),
            dynamo=False,  # a third of the other one's time, with equal results
            opset_version=OPSET,
            input_names=["pixels"],
            output_names=["probabilities"],
            dynamic_axes={"pixels": dict(enumerate(axes)), "probabilities": {0: "batch"}},
        )


def _quantize(path: Path, order: Order) -> None:
    """Bring the network to whole numbers, whose scales are found on training pictures."""
    import onnx

    onnx_file.runtime()
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, quantize_static

    nodes = onnx.load(path).graph.node
    inner = [node.name for node in nodes if node.op_type in QUANTIZED and node.name.startswith(BODY)][FIRST:-LAST]
    with tempfile.TemporaryDirectory(prefix="regraft-") as folder, _quiet():
        made = Path(folder) / "model.onnx"
        quantize_static(
            str(path),
            str(made),
            _Reader(iter(order.calibration)),
            quant_format=QuantFormat.QDQ,
            nodes_to_quantize=inner,
            per_channel=True,
            calibrate_method=CalibrationMethod.MinMax,
        )
        path.write_bytes(made.read_bytes())


class _Reader:
    """Hands out pictures one by one, as ONNX Runtime asks for them."""

    def __init__(self, pictures: Iterator[Pixels]) -> None:
        self.pictures = pictures

    def get_next(self) -> dict[str, Pixels] | None:
        """Return the next picture; None behind the last one."""
        pixels = next(self.pictures, None)
        return None if pixels is None else {"pixels": pixels}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Let a library that logs at the root keep to itself what says nothing to a user."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
