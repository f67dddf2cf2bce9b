"""OpenVINO: runs the export on a CPU, in bfloat16 or float16 where the CPU computes these; about twice as fast then."""

from __future__ import annotations

import functools
import platform
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import torch

from regraft.activations.engines._export import PAYS_FROM, exported, is_exported
from regraft.activations.engines._job import Engine, Job
from regraft.activations.store import recipe_key, writing
from regraft.utils import files
from regraft.utils.machine import cores, processor
from regraft.utils.openvino_runtime import CALLED, core, imported, sealed, settings, streaming, unsealed

__all__ = ["AUTO", "PACKAGE", "PAYS_FROM", "RANK", "known", "open", "ready", "supports"]

RANK = 2
PACKAGE = "openvino"
AUTO = ("bfloat16", "float16", "float32")  # the fastest first
CAPABILITIES = {"bfloat16": "BF16", "float16": "FP16"}  # what a CPU computes; it takes the others for float32
ready = is_exported


def supports(device: torch.device, precision: str) -> bool:
    """Say whether it runs there, in that precision."""
    if device.type != "cpu" or precision not in CALLED or find_spec(PACKAGE) is None:
        return False
    return precision == "float32" or CAPABILITIES[precision] in _capabilities()


def known(precision: str) -> bool:
    """Say whether it was measured that nothing is faster on a CPU like this one: an x86 with bfloat16 instructions.

    There bfloat16 is 1.7 to 2 times as fast as float32, and float32 1 to 2.5 times as fast as onnxruntime.
    """
    of_kind = platform.machine().lower() in ("x86_64", "amd64") and "BF16" in _capabilities()
    return of_kind and precision in ("bfloat16", "float32")


def open(job: Job) -> Engine:
    """Run a network; its export and what OpenVINO compiles of it stay in the job's folder."""
    path = compiled_path(job)
    kept = files.read_kept(path, unsealed, job.progress.warn, "the network is compiled again")
    if kept is not None:
        compiled = imported(kept, job.precision)
    else:
        model = core().read_model(exported(job))
        # one picture a call: its layers stay in the core's own cache, and its row hangs on no other picture
        model.reshape({0: [1, job.size, job.size, 3]})
        compiled = core().compile_model(model, "CPU", settings(job.precision))
        # what is compiled is kept: importing it takes half the time of reading and compiling the export
        with writing(path.parent), files.whole(path) as temporary:
            temporary.write_bytes(sealed(compiled))
        job.prepared()
    files.in_use(path)
    return streaming(compiled)


def compiled_path(job: Job) -> Path:
    """Return where the compiled network is kept: it fits one release of OpenVINO, one CPU and one precision."""
    of_machine = {"openvino": version(PACKAGE), "processor": processor(), "cores": cores(), "precision": job.precision}
    return job.folder / f"{recipe_key({**job.recipe(), 'torch': torch.__version__, **of_machine})}.openvino"


@functools.cache
def _capabilities() -> list[str]:
    return list(core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
