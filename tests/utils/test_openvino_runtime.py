"""A process that ran compiled networks takes a signal as before."""

import subprocess
import sys

SCRIPT = """
import faulthandler, gc, signal
import numpy as np

faulthandler.enable()  # gives the thread a stack for signal handlers, as services and test runners do
from regraft.utils.openvino_runtime import core, runtime

openvino = runtime()
ops = openvino.opset13


def compiled(factor):
    pixels = ops.parameter([1, 4], np.float32)
    model = openvino.Model([ops.multiply(pixels, np.float32(factor))], [pixels])
    return core().compile_model(model, "CPU")


first, second = compiled(2.0), compiled(3.0)
print(second(np.ones((1, 4), np.float32))[0][0, 0])
del first
gc.collect()
del second
gc.collect()
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("stopped")
"""


def test_ctrl_c_is_no_crash_after_two_networks_have_come_and_gone() -> None:
    """Each of two Cores lays a stack for signal handlers, and the second to go brought back the first one's, gone."""
    ran = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "3.0\nstopped\n", "")
