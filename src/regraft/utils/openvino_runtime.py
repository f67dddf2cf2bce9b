"""OpenVINO: what runs a compiled network picture by picture, as many at once as there are streams. Needs no torch."""

from __future__ import annotations

import functools
import hashlib
import io
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from regraft.utils.machine import cores

CALLED = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
MOST_AT_ONCE = 16  # pictures: half a batch, so that no stream waits long for the last one
SEAL_BYTES = 32


def runtime() -> Any:
    """Return the package, which is kept from telling its makers.

    On import it sends an event to Google Analytics and leaves an identifier in the home folder, where its package
    openvino_telemetry can be imported. None in its place is Python's way to say that it cannot.
    """
    if "openvino" not in sys.modules:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def core() -> Any:
    """Return the one `openvino.Core` of this process.

    A Core gives the thread in which it loads its CPU plugin another stack for signal handlers, and takes it back when
    it goes. Of two that do not go in the order in which stacks are laid, the thread is left with one that is gone, and
    the next signal, such as Ctrl-C, ends the process with a segmentation fault. One that stays leaves no such order.
    """
    with _making_core:
        return _core()


@functools.cache
def _core() -> Any:
    return runtime().Core()


_making_core = threading.Lock()  # two threads that ask at once would make two


def settings(precision: str) -> dict[str, Any]:
    """Return how a network is compiled and run."""
    return {
        "INFERENCE_PRECISION_HINT": CALLED[precision],
        "PERFORMANCE_HINT": "THROUGHPUT",
        "PERFORMANCE_HINT_NUM_REQUESTS": MOST_AT_ONCE,
        "INFERENCE_NUM_THREADS": cores(),
        "ENABLE_CPU_PINNING": False,  # other threads decode on the same cores, and other runs may use them
    }


def sealed(compiled: Any) -> memoryview:
    """Return what is kept of a compiled network, with its SHA-256 at the end."""
    content = io.BytesIO()
    compiled.export_model(content)
    content.seek(0, io.SEEK_END)
    content.write(hashlib.sha256(content.getbuffer()).digest())
    return content.getbuffer()


def unsealed(kept: bytes) -> bytes | None:
    """Return what was compiled; None where it is not as it was written: a changed weight would answer wrongly."""
    content = kept[:-SEAL_BYTES]
    return content if hashlib.sha256(content).digest() == kept[-SEAL_BYTES:] else None


def imported(content: bytes, precision: str) -> Any:
    """Return the compiled network that was kept."""
    return core().import_model(content, "CPU", settings(precision))


def kept(path: Path, precision: str) -> Callable[[np.ndarray], list[np.ndarray]] | None:
    """Return what runs a compiled network that is kept; None where it is gone or damaged."""
    try:
        content = unsealed(path.read_bytes())
    except OSError:
        return None
    return None if content is None else streaming(imported(content, precision))


def streaming(compiled: Any) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Run a batch picture by picture, as many at once as there are streams; each request awaits its turn.

    OpenVINO's own AsyncInferQueue calls back into Python, and hangs where it is freed while a callback ends.
    """
    streams = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
    requests = [compiled.create_infer_request() for _ in range(2 * streams)]  # one is filled while another runs
    shapes, alone = [list(output.shape)[1:] for output in compiled.outputs], threading.Lock()

    def run(pixels: np.ndarray) -> list[np.ndarray]:
        rows = [np.empty((len(pixels), *shape), np.float32) for shape in shapes]
        with alone:  # the requests serve one batch at a time
            for at in range(len(pixels) + len(requests)):
                request, done = requests[at % len(requests)], at - len(requests)
                if done >= 0:
                    _take(request, rows, done)
                if at < len(pixels):
                    request.start_async({0: pixels[at : at + 1]}, share_inputs=True)
        return rows

    return run


def _take(request: Any, rows: list[np.ndarray], at: int) -> None:
    request.wait()
    for index, into in enumerate(rows):
        into[at] = request.get_output_tensor(index).data[0]
